"""Asking politely: so many requests at once, retries with jitter, and no request before the server wants one."""

from __future__ import annotations

import asyncio
import math
import os
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from outgrow.errors import ConfigError, MissingExtraError, ModelError
from outgrow.models.server.pacing import LONGEST_HOLD, retry_after, until_reset
from outgrow.models.server.wire import PATHS, MalformedReplyError, Request, read_reply

Result = TypeVar("Result")

_HOPELESS = 3
"""Requests given up one after the other, without an answer to any other, before the server counts as down."""
_PASSING = frozenset({408, 409, 425, 429})
_STOPPING = {401, 403, 404, 405}


class RefusedError(Exception):
    """The server declines this one request; to ask again would change nothing."""


@dataclass(frozen=True)
class Limits:
    """How hard a server is pressed.

    Raises:
        ConfigError: A limit is out of range.
    """

    concurrency: int = 16
    """Requests at once."""
    timeout: float = 120.0
    """Seconds for one request, from its first byte to the last of the reply."""
    retries: int = 6
    """Times that a request is sent again after a passing failure: no connection, no whole reply in time, status 408,
    409, 425, 429 or 5xx. A rate limit does not count while other requests are answered."""
    first_wait: float = 0.5
    """Seconds before the first retry at most; doubled for every further one, and each drawn at random below that."""
    longest_wait: float = 30.0
    """Where the doubling ends."""

    def __post_init__(self) -> None:
        waits = (self.timeout, self.first_wait, self.longest_wait)
        if self.concurrency < 1 or self.retries < 0 or not all(math.isfinite(wait) and wait > 0 for wait in waits):
            raise ConfigError(
                "A server cannot be asked within these limits.",
                found=self,
                wanted="a concurrency of at least 1, retries of at least 0, seconds above 0",
            )


class PassingError(Exception):
    """A failure that may pass.

    Args:
        reason: What happened.
        wait: Seconds that the server asks everyone to wait.
        limited: Whether a rate limit was met.
    """

    def __init__(self, reason: str, *, wait: float = 0.0, limited: bool = False) -> None:
        super().__init__(reason)
        self.wait, self.limited = wait, limited


class Asker:
    """Sends requests of any number of workers to one server, within limits that all of them share.

    Use as an asynchronous context manager, in one event loop.

    Args:
        base_url: The server's base URL, such as `http://localhost:8000/v1`; None takes OPENAI_BASE_URL, or the client's
            own default.
        limits: How hard it is pressed.

    Raises:
        MissingExtraError: The client is not installed.
        ConfigError: OPENAI_API_KEY holds no key.
    """

    def __init__(self, base_url: str | None, limits: Limits) -> None:
        try:
            import openai
        except ImportError as error:
            raise MissingExtraError("A model behind a server", "api") from error
        self._errors = openai
        self._key = _key()
        self._limits = limits
        self._client = openai.AsyncOpenAI(
            api_key=self._key or "none",  # servers of one's own want none
            base_url=base_url,
            max_retries=0,
            timeout=limits.timeout,
        )
        self._jitter = random.Random()
        self._open_at = 0.0
        self._answered = 0
        self._given_up = 0
        self.retried = 0
        """Times that a request was sent again."""

    @property
    def url(self) -> str:
        """The server's base URL."""
        return str(self._client.base_url)

    async def __aenter__(self) -> Asker:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._client.close()

    async def ask(self, request: Request) -> str:
        """The body of the reply to one request, sent again after passing failures.

        Raises:
            RefusedError: The server declines this request.
            PassingError: It failed more often than it may, though others are answered.
            ModelError: The server does not answer, wants another key, or does not know the model.
        """
        failures, seen = 0, self._answered
        while True:
            await self._turn()
            try:
                body = await self._send(request)
            except PassingError as problem:
                self._hold(problem.wait)
                progress, seen = self._answered > seen, self._answered
                failures += not (problem.limited and progress)
                if failures > self._limits.retries:
                    self._given_up += 1
                    if not self._answered or self._given_up >= _HOPELESS:
                        raise self._down(problem, failures) from problem
                    raise
                await asyncio.sleep(self._backoff(failures))
                self.retried += 1
            else:
                self._answered += 1
                self._given_up = 0
                return body

    async def _send(self, request: Request) -> str:
        openai = self._errors
        try:
            async with asyncio.timeout(self._limits.timeout):
                response: Any = await self._client.post(
                    PATHS[request.api], cast_to=_response_type(), body=dict(request.body)
                )
        except (TimeoutError, openai.APITimeoutError) as error:
            raise PassingError(f"no whole reply within {self._limits.timeout:g} s") from error
        except openai.APIStatusError as error:
            raise self._judged(error) from error
        except openai.APIConnectionError as error:
            raise PassingError(self.redact(f"no connection, or one that broke: {error.__cause__ or error}")) from error
        self._hold(until_reset(response.headers))
        body = self.redact(response.text)
        try:
            read_reply(body, request.api)
        except MalformedReplyError as error:
            raise PassingError(str(error)) from error
        return body

    def _judged(self, error: Any) -> Exception:
        """What a status other than 200 means."""
        status, headers = int(error.status_code), error.response.headers
        said = self.redact(f"status {status}: {_message(error)}")
        if status in _STOPPING:
            fix = {
                401: "Set the environment variable OPENAI_API_KEY to a key of this server.",
                403: "Ask for access to the model, or set OPENAI_API_KEY to another key.",
            }.get(status, "Check the server's URL (it usually ends in /v1), the model's name, and `api`.")
            return ModelError(f"The server {self.url} does not serve this model.", found=said, fix=fix)
        if status in _PASSING or status >= 500:
            wait = max(retry_after(headers, now=time.time()), until_reset(headers))
            if wait > LONGEST_HOLD:
                return ModelError(
                    f"The server {self.url} wants no request for {wait:.0f} s.",
                    found=said,
                    fix="Run the same command again then; what was answered is kept.",
                )
            return PassingError(said, wait=wait, limited=status == 429)
        return RefusedError(said)

    def redact(self, text: str) -> str:
        """The text without the key, should a server repeat it."""
        return text.replace(self._key, "[key]") if self._key else text

    def _down(self, problem: PassingError, times: int) -> ModelError:
        return ModelError(
            f"The server {self.url} does not answer.",
            found=f"{problem} ({times} times)",
            fix="Check that it runs, that the URL is right and that the model has the endpoint that `api` names (chat "
            "needs a chat template), then run the same command again: what was answered is kept.",
        )

    def _hold(self, wait: float) -> None:
        self._open_at = max(self._open_at, time.monotonic() + wait)

    async def _turn(self) -> None:
        """Waits until the server wants requests again, and a little more, so that not all come at once."""
        while (wait := self._open_at - time.monotonic()) > 0:
            await asyncio.sleep(wait + self._jitter.uniform(0, min(wait, self._limits.first_wait)))

    def _backoff(self, failures: int) -> float:
        # Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
        most = min(self._limits.longest_wait, self._limits.first_wait * 2.0 ** min(max(failures - 1, 0), 32))
        return self._jitter.uniform(0, most)


def run(work: Callable[[], Awaitable[Result]]) -> Result:
    """Runs asynchronous work from ordinary code, also where an event loop is running already (notebooks)."""

    async def whole() -> Result:
        return await work()

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(whole())
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, whole()).result()


def _key() -> str | None:
    """The key, without white space around it that came along when it was copied.

    Raises:
        ConfigError: It cannot be one; what it is stays unsaid.
    """
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(
            "The environment variable OPENAI_API_KEY holds no key.",
            found="characters that no key has, such as line breaks",
            fix="Copy it once more.",
        )
    return key or None


def _message(error: Any) -> str:
    body = error.body
    said = body.get("message") or body.get("detail") if isinstance(body, dict) else None
    text = str(said or error.response.text)[:500]
    return "".join(one if one.isprintable() else " " for one in text)  # it may end in a terminal


def _response_type() -> Any:
    import httpx2

    return httpx2.Response
