"""Many requests: from the cache where they were answered before, else from the server, each answer kept as it comes."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from outgrow.models.server.asking import Asker, Limits, PassingError, RefusedError, run
from outgrow.models.server.cache import ResponseCache
from outgrow.models.server.wire import Reply, Request, read_reply


@dataclass
class Gathered:
    """What became of requests, by key."""

    replies: dict[str, Reply] = field(default_factory=dict)
    """Answers."""
    asked: set[str] = field(default_factory=set)
    """Those that the server answered just now."""
    refused: dict[str, str] = field(default_factory=dict)
    """Requests that the server declined, and why."""
    failed: dict[str, str] = field(default_factory=dict)
    """Requests that failed more often than they may, though others were answered, and how."""
    retried: int = 0
    """Times that a request was sent again after a failure that passed."""
    logprobs_refused: bool = False
    """Whether the server declines requests for log-probabilities."""


def gather(
    requests: Sequence[Request],
    cache: ResponseCache,
    base_url: str | None,
    limits: Limits,
    on_answer: Callable[[], None],
) -> Gathered:
    """Gathers the answers to distinct requests.

    One request goes first, so that a wrong key, name or URL costs one request and not thousands.

    Args:
        requests: What to ask; no two with the same key.
        cache: Where answers are looked for and kept, and failures recorded.
        base_url: The server.
        limits: How hard it is pressed.
        on_answer: Told of every request that is done with.

    Raises:
        ModelError: The server does not answer, wants another key, or does not know the model.
        MissingExtraError: The client is not installed.
    """
    gathered = Gathered()
    kept = cache.get([request.key for request in requests])
    for request in requests:
        if request.key in kept:
            gathered.replies[request.key] = read_reply(kept[request.key], request.api)
            on_answer()
    missing = [request for request in requests if request.key not in kept]
    if missing:
        run(lambda: _Round(gathered, cache, on_answer).all(missing, base_url, limits))
    return gathered


@dataclass
class _Round:
    """One round of asking."""

    gathered: Gathered
    cache: ResponseCache
    on_answer: Callable[[], None]
    logprobs_known: bool = False

    async def all(self, requests: Sequence[Request], base_url: str | None, limits: Limits) -> None:
        async with Asker(base_url, limits) as asker:
            await self._one(asker, requests[0])
            rest = iter(requests[1:])
            try:
                async with asyncio.TaskGroup() as workers:
                    for _ in range(min(limits.concurrency, len(requests) - 1)):
                        workers.create_task(self._work(asker, rest))
            except BaseExceptionGroup as group:
                raise group.exceptions[0] from None
            self.gathered.retried = asker.retried

    async def _work(self, asker: Asker, requests: Iterator[Request]) -> None:
        for request in requests:
            await self._one(asker, request)

    async def _one(self, asker: Asker, request: Request) -> None:
        """Asks one request and keeps what comes of it."""
        gathered = self.gathered
        try:
            body = await self._answered(asker, request)
            reply = read_reply(body, request.api)
            if reply.reason == "content_filter":
                raise RefusedError("its content filter withheld the answer")
        except RefusedError as problem:
            gathered.refused[request.key] = str(problem)
            self.cache.fail(request.key, str(problem))
        except PassingError as problem:
            gathered.failed[request.key] = str(problem)
            self.cache.fail(request.key, str(problem))
        else:
            self.cache.put(request.key, body)
            gathered.replies[request.key] = reply
            gathered.asked.add(request.key)
        self.on_answer()

    async def _answered(self, asker: Asker, request: Request) -> str:
        """The reply; without log-probabilities if asking for them is what the server declines."""
        if "logprobs" not in request.body or self.logprobs_known:
            return await asker.ask(request)
        plain = dataclasses.replace(
            request, body={name: value for name, value in request.body.items() if name != "logprobs"}
        )
        if self.gathered.logprobs_refused:
            return await asker.ask(plain)
        try:
            body = await asker.ask(request)
        except RefusedError as problem:
            try:
                body = await asker.ask(plain)
            except RefusedError:
                raise problem from None
            self.gathered.logprobs_refused = True
        else:
            self.logprobs_known = True
        return body
