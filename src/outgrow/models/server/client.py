"""Concurrent requests to one server: cached replies, retries with jitter, rate limits."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import random
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from outgrow.errors import ConfigError, MissingExtraError, ModelError
from outgrow.models.server.cache import ResponseCache
from outgrow.models.server.keys import api_key, key_fix, redact, redact_body
from outgrow.models.server.pacing import LONGEST_HOLD, retry_after, until_reset
from outgrow.models.server.wire import PATHS, MalformedReplyError, Reply, Request, read_reply

_MOST_FAILED = 3
"""Requests that fail for good in a row, without a reply to any other, before the server counts as down."""
_RETRIED = frozenset({408, 409, 425, 429})
_FATAL = {401, 403, 404, 405}


class RefusedError(Exception):
    """The server rejects this request; a retry would not help."""


class TransientError(Exception):
    """A failure worth a retry, perhaps after `wait` seconds; `limited` by a rate limit or not."""

    def __init__(self, reason: str, *, wait: float = 0.0, limited: bool = False) -> None:
        super().__init__(reason)
        self.wait, self.limited = wait, limited


@dataclass(frozen=True)
class Limits:
    """Concurrency, timeout and retries."""

    concurrency: int = 16
    """Requests at once."""
    timeout: float = 120.0
    """Seconds for one request and its whole reply."""
    retries: int = 6
    """Retries of a request after no connection, a timeout, or status 408, 409, 425, 429 or 5xx. A rate limit does not
    count while other requests are answered."""
    first_wait: float = 0.5
    """Longest wait before the first retry, in seconds; it doubles with every retry. Waits are drawn uniformly."""
    longest_wait: float = 30.0
    """Where the doubling ends, in seconds."""

    def __post_init__(self) -> None:
        waits = (self.timeout, self.first_wait, self.longest_wait)
        if self.concurrency < 1 or self.retries < 0 or not all(math.isfinite(wait) and wait > 0 for wait in waits):
            raise ConfigError(
                "A server cannot be asked within these limits.",
                found=self,
                wanted="a concurrency of at least 1, retries of at least 0, seconds above 0",
            )


@dataclass
class Replies:
    """Results of requests, by key."""

    replies: dict[str, Reply] = field(default_factory=dict)
    """Replies, cached ones included."""
    asked: set[str] = field(default_factory=set)
    """Requests that the server answered in this call."""
    paid: set[str] = field(default_factory=set)
    """Cached replies that were asked for the same artefact before, by an attempt that was interrupted."""
    refused: dict[str, str] = field(default_factory=dict)
    """Requests that the server rejected, and why."""
    failed: dict[str, str] = field(default_factory=dict)
    """Requests that failed after all retries, and how."""
    retried: int = 0
    """Number of retries."""


def fetch(
    requests: Sequence[Request],
    cache: ResponseCache,
    base_url: str | None,
    limits: Limits,
    on_reply: Callable[[], None],
    owner: str | None = None,
) -> Replies:
    """Fetch the replies to requests with distinct keys, from the cache or the server; each is cached as it arrives.

    One request goes first, so that a wrong key, name or URL costs one request and not thousands. `on_reply` is called
    for every finished request. `owner` is the artefact that the replies are for. Without a `base_url` the client takes
    OPENAI_BASE_URL, or its own default.
    """
    result = Replies()
    cached = cache.get([request.key for request in requests])
    for request in requests:
        try:
            result.replies[request.key] = read_reply(cached[request.key], request.api)
        except MalformedReplyError:  # damaged, or kept by an older version
            cache.forget([request.key])
        except KeyError:
            continue
        else:
            on_reply()
    if owner is not None:  # an attempt that was interrupted has asked for them
        result.paid = cache.owned(list(result.replies), owner)
    missing = [request for request in requests if request.key not in result.replies]
    if missing:
        _run(_Client(base_url, limits, cache, result, on_reply, owner).fetch(missing))
    return result


class _Client:
    def __init__(
        self,
        base_url: str | None,
        limits: Limits,
        cache: ResponseCache,
        result: Replies,
        on_reply: Callable[[], None],
        owner: str | None,
    ) -> None:
        try:
            import openai

            from outgrow.models.server.http import connect
        except ImportError as error:
            raise MissingExtraError("A model behind a server", "api") from error
        self._errors, self._key, self._limits = openai, api_key(), limits
        self._cache, self._result, self._on_reply, self._owner = cache, result, on_reply, owner
        self._client = connect(openai.AsyncOpenAI, base_url, self._key, retries=0, timeout=limits.timeout)
        self._jitter = random.Random()
        self._open_at = 0.0
        self._answered = self._failed = 0
        self._gives_logprobs: bool | None = None

    async def fetch(self, requests: Sequence[Request]) -> None:
        async with self._client:
            await self._one(requests[0])
            rest = iter(requests[1:])
            try:
                async with asyncio.TaskGroup() as workers:
                    for _ in range(min(self._limits.concurrency, len(requests) - 1)):
                        workers.create_task(self._work(rest))
            except BaseExceptionGroup as group:
                raise group.exceptions[0] from None

    async def _work(self, requests: Iterator[Request]) -> None:
        for request in requests:
            await self._one(request)

    async def _one(self, request: Request) -> None:
        result = self._result
        try:
            body = await self._body(request)
            reply = read_reply(body, request.api)
            if reply.reason == "content_filter":
                raise RefusedError("its content filter withheld the answer")
        except (RefusedError, TransientError) as problem:
            (result.refused if isinstance(problem, RefusedError) else result.failed)[request.key] = str(problem)
            self._cache.fail(request.key, str(problem))
        else:
            self._cache.put(request.key, body, self._owner)
            result.replies[request.key] = reply
            result.asked.add(request.key)
        self._on_reply()

    async def _body(self, request: Request) -> str:
        if "logprobs" not in request.body or "echo" in request.body or self._gives_logprobs:
            return await self._retried(request)
        # Without log-probabilities if the server rejects requests for them.
        bare = {name: value for name, value in request.body.items() if name != "logprobs"}
        plain = dataclasses.replace(request, body=bare)
        if self._gives_logprobs is False:
            return await self._retried(plain)
        try:
            body = await self._retried(request)
        except RefusedError as problem:
            try:
                body = await self._retried(plain)
            except RefusedError:
                raise problem from None
            self._gives_logprobs = False
        else:
            self._gives_logprobs = True
        return body

    async def _retried(self, request: Request) -> str:
        failures, seen = 0, self._answered
        while True:
            await self._turn()
            try:
                body = await self._send(request)
            except TransientError as problem:
                self._hold(problem.wait)
                progress, seen = self._answered > seen, self._answered
                failures += not (problem.limited and progress)
                if failures > self._limits.retries:
                    self._failed += 1
                    if not self._answered or self._failed >= _MOST_FAILED:
                        raise self._down(problem, failures) from problem
                    raise
                await asyncio.sleep(self._backoff(failures))
                self._result.retried += 1
            else:
                self._answered += 1
                self._failed = 0
                return body

    async def _send(self, request: Request) -> str:
        import httpx2

        openai = self._errors
        problem: Exception | None = None
        response: Any = None
        try:
            async with asyncio.timeout(self._limits.timeout):
                path, body = PATHS[request.api], dict(request.body)
                response = await self._client.post(path, cast_to=httpx2.Response, body=body)
        except (TimeoutError, openai.APITimeoutError):
            problem = TransientError(f"no whole reply within {self._limits.timeout:g} s")
        except openai.APIStatusError as error:
            problem = self._status_error(error)
        except openai.APIConnectionError as error:
            reason = f"no connection, or one that broke: {error.__cause__ or error}"
            problem = TransientError(redact(reason, self._key))
        if problem is not None:  # raised here, without the client's error, whose text may repeat the key
            raise problem
        self._hold(until_reset(response.headers))
        text = redact_body(response.text, self._key)
        try:
            read_reply(text, request.api)
        except MalformedReplyError as error:
            raise TransientError(str(error)) from error
        return text

    def _status_error(self, error: Any) -> Exception:
        status, headers = int(error.status_code), error.response.headers
        said = f"status {status}: {message_of(error, self._key)}"
        if 300 <= status < 400:
            return redirected(self._url, headers)
        if status in _FATAL:
            fix = {
                401: key_fix(self._url),
                403: "Ask for access to the model, or set OPENAI_API_KEY to another key.",
            }.get(status, "Check the server's URL (it usually ends in /v1), the model's name, and `api`.")
            return ModelError(f"The server {self._url} does not serve this model.", found=said, fix=fix)
        if status in _RETRIED or status >= 500:
            wait = max(retry_after(headers, now=time.time()), until_reset(headers))
            if wait > LONGEST_HOLD:
                return ModelError(
                    f"The server {self._url} wants no request for {wait:.0f} s.",
                    found=said,
                    fix="Run the same command again after that time; finished answers are kept.",
                )
            return TransientError(said, wait=wait, limited=status == 429)
        return RefusedError(said)

    @property
    def _url(self) -> str:
        return str(self._client.base_url)

    def _down(self, problem: TransientError, times: int) -> ModelError:
        return ModelError(
            f"The server {self._url} does not answer.",
            found=f"{problem} ({times} times)",
            fix="Check that it runs, that the URL is right and that the model has the endpoint that `api` names (chat "
            "needs a chat template), then run the same command again: finished answers are kept.",
        )

    def _hold(self, wait: float) -> None:
        self._open_at = max(self._open_at, time.monotonic() + wait)

    async def _turn(self) -> None:
        # With jitter, so that not all requests arrive at once.
        while (wait := self._open_at - time.monotonic()) > 0:
            await asyncio.sleep(wait + self._jitter.uniform(0, min(wait, self._limits.first_wait)))

    def _backoff(self, failures: int) -> float:
        # Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
        most = min(self._limits.longest_wait, self._limits.first_wait * 2.0 ** min(max(failures - 1, 0), 32))
        return self._jitter.uniform(0, most)


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
    else:  # a notebook has an event loop already
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, work).result()


def redirected(url: str, headers: Mapping[str, str]) -> ModelError:
    """Return the error of a server that sends its client elsewhere: another host's answers are not the model's."""
    try:
        host = urlsplit(urljoin(url, headers.get("location", "")[:500])).netloc.rpartition("@")[2]
    except ValueError:
        host = ""
    return ModelError(
        f"The server {urlsplit(url).netloc} redirects to another address, which is not followed.",
        found=f"a redirect to {''.join(one if one.isprintable() else ' ' for one in host) or 'nowhere'}",
        wanted="an answer",
        fix="If you trust that host, name its base URL as `server`.",
    )


def message_of(error: Any, key: str | None) -> str:
    """Return the message in a status error of the client, printable, short and without the key."""
    body = error.body
    said = body.get("message") or body.get("detail") if isinstance(body, dict) else None
    text = redact(said if said and isinstance(said, str) else error.response.text, key)[:500]
    return "".join(one if one.isprintable() else " " for one in text)  # it may be printed on a terminal
