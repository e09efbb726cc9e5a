"""A small real HTTP server in a thread, whose answers a test writes, with every fault a network can have."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What goes back, and how badly."""

    body: object = None
    """JSON, or bytes as they are."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds before the first byte."""
    promised: int = 0
    """Bytes that the header promises beyond those that come."""
    dropped: bool = False
    """The connection ends without a byte."""

    @property
    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Asked:
    """One request as the server saw it."""

    path: str
    headers: Mapping[str, str]
    body: Any
    """JSON, or bytes where the request is of another type."""
    method: str = "POST"


Handler = Callable[[Asked], Awaitable[Answer]]


@dataclass
class Server:
    """A running server and what it has been asked."""

    handler: Handler
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    busy: int = 0
    most_busy: int = 0
    """Most requests at once."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while await self._one(reader, writer):
                pass
        with suppress(ConnectionError, RuntimeError):
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) if ": " in line else (line, "") for line in head[1:] if line)
        sent = {line.split(": ", 1)[0].lower(): line.split(": ", 1)[1] for line in head[1:] if ": " in line}
        data = await reader.readexactly(int(headers.get("content-length", "0")))
        body = json.loads(data) if data and "json" in headers.get("content-type", "json") else data or None
        asked = Asked(head[0].split()[1], sent, body, head[0].split()[0])
        self.asked.append(asked)
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        try:
            answer = await self.handler(asked)
            await asyncio.sleep(answer.delay)
        finally:
            self.busy -= 1
        if answer.dropped:
            return False
        headers = {"content-type": "application/json", **answer.headers}
        lines = [f"HTTP/1.1 {answer.status} Any", *(f"{name}: {value}" for name, value in headers.items())]
        lines.append(f"content-length: {len(answer.data) + answer.promised}")
        writer.write("\r\n".join([*lines, "", ""]).encode() + answer.data)
        await writer.drain()
        return not answer.promised


@contextmanager
def serving(handler: Handler) -> Iterator[Server]:
    """Runs a server on a free port of this machine while the context lasts."""
    server = Server(handler)
    ready = threading.Event()
    stop: list[Callable[[], None]] = []

    async def main() -> None:
        finished = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(finished.set))
        listener = await asyncio.start_server(server._serve, "127.0.0.1", 0)
        server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
        ready.set()
        await finished.wait()
        listener.close()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        stop[0]()
        thread.join()


def said(asked: Asked) -> str:
    """The prompt of a request to either endpoint."""
    return asked.body["messages"][-1]["content"] if "messages" in asked.body else asked.body["prompt"]


def heard(asked: Asked) -> str:
    """All that a request says, in one text."""
    messages = asked.body.get("messages") or [{"content": asked.body.get("prompt", "")}]
    return "\n".join(message["content"] for message in messages)


def reply(text: str | None, *, reason: str = "stop", api: str = "chat", **more: Any) -> dict[str, Any]:
    """The body of a proper answer; `more` goes into its only choice."""
    content: dict[str, Any] = {"message": {"role": "assistant", "content": text}} if api == "chat" else {"text": text}
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    return {"choices": [{"index": 0, "finish_reason": reason, **content, **more}], "usage": usage}


async def echo(asked: Asked) -> Answer:
    """Answers every prompt with itself in capitals."""
    return Answer(reply(said(asked).upper(), api="chat" if "messages" in asked.body else "completions"))
