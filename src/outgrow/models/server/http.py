"""The HTTP client for servers: no redirects, bounded replies, JSON in UTF-8, and the key for one host alone.

A server's reply is foreign data: its headers choose neither another host nor a decoder. Needs the extra `api`.
"""

from __future__ import annotations

import ssl
from contextlib import closing
from functools import cache
from typing import Any, TypeVar

import httpx2
import openai

from outgrow import bounds
from outgrow.models.server.keys import is_for

Client = TypeVar("Client", openai.AsyncOpenAI, openai.OpenAI)

_ENCODINGS = frozenset({"", "identity", "gzip", "deflate"})
_PLAIN = frozenset(
    {"accept", "accept-encoding", "authorization", "connection", "content-length", "content-type", "host", "user-agent"}
)
"""Headers that any host may see; others, such as an organization's, belong to the host of the key."""


def connect(kind: type[Client], base_url: str | None, key: str | None, *, retries: int, timeout: float) -> Client:
    """Return a client of the openai package that sends the key to the host that it is for.

    Args:
        kind: `openai.AsyncOpenAI` or `openai.OpenAI`.
        base_url: Base URL of the server. Default: OPENAI_BASE_URL, or that of OpenAI.
        key: The API key, if any.
        retries: Retries of a request by the client itself.
        timeout: Seconds for a step of a request.
    """
    known = is_for(base_url)
    own: Any = _AsyncClient(known) if issubclass(kind, openai.AsyncOpenAI) else _Client(known)
    told = key if key and known else "none"  # local servers need none
    return kind(api_key=told, base_url=base_url, max_retries=retries, timeout=timeout, http_client=own)


@cache
def _trusted() -> ssl.SSLContext:
    return httpx2.create_ssl_context()  # reads all certificates, which takes longer than many a request


class _AsyncClient(openai.DefaultAsyncHttpxClient):
    def __init__(self, known: bool) -> None:
        super().__init__(follow_redirects=False, verify=_trusted())
        self._known = known

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        _strip(request, self._known)
        response = await super().send(request, **{**options, "stream": True})
        try:
            body = _Body(response)
            async for part in response.aiter_bytes():
                body.add(part)
        finally:
            await response.aclose()
        return body.response()


class _Client(openai.DefaultHttpxClient):
    def __init__(self, known: bool) -> None:
        super().__init__(follow_redirects=False, verify=_trusted())
        self._known = known

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        _strip(request, self._known)
        with closing(super().send(request, **{**options, "stream": True})) as response:
            body = _Body(response)
            for part in response.iter_bytes():
                body.add(part)
        return body.response()


def _strip(request: httpx2.Request, known: bool) -> None:
    if not known:
        for name in [name for name in request.headers if name not in _PLAIN]:
            del request.headers[name]
        request.headers["authorization"] = "Bearer none"  # OPENAI_CUSTOM_HEADERS may have set another


class _Body:
    """The body of a response while it is read."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response, self._parts = response, bytearray()
        encoding = response.headers.get("content-encoding", "").strip().lower()
        if encoding not in _ENCODINGS:  # several, one in the other, could inflate without end
            raise httpx2.DecodingError(f"a reply with the content-encoding {encoding[:40]!r}", request=response.request)

    def add(self, part: bytes) -> None:
        self._parts += part
        if len(self._parts) > bounds.REPLY_BYTES.most:
            raise httpx2.DecodingError(f"a reply of more than {bounds.REPLY_BYTES}", request=self._response.request)

    def response(self) -> httpx2.Response:
        """Return the response, read; its text is UTF-8, as RFC 8259 says of JSON, whatever charset it names."""
        kept = [
            (name, value) for name, value in self._response.headers.multi_items() if not name.startswith("content-")
        ]
        own = self._response
        return httpx2.Response(
            own.status_code, headers=[*kept, ("content-type", "application/json")], content=bytes(self._parts),
            request=own.request, default_encoding="utf-8",
        )  # fmt: skip
