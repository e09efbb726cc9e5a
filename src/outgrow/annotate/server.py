"""The local web server of the annotation page.

There are one page, the same for everyone, and two calls that need an annotator's token in a header: so another site
can make a browser send nothing that counts, and nothing here reads a path of the disk.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
from contextlib import suppress
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from outgrow.annotate.session import Session, StaleTurnError
from outgrow.errors import ConfigError, MissingExtraError, OutgrowError, StoreError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

_LONGEST_BODY = 2**16
_ACTIONS = ("vote", "skip", "undo")
_STATUS: dict[type[OutgrowError], int] = {StaleTurnError: 409, StoreError: 507}


def make_app(session: Session, tokens: dict[str, str]) -> Starlette:
    """Return the ASGI app.

    Args:
        session: Who votes on what.
        tokens: By annotator the random part of the link.

    Raises:
        MissingExtraError: The extra `web` is not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import HTMLResponse, JSONResponse
        from starlette.routing import Route
    except ImportError as error:
        raise MissingExtraError("outgrow annotate", "web") from error

    html = files("outgrow.annotate").joinpath("page.html").read_text(encoding="utf-8")
    headers = _headers(html)
    # Looked up by hash, so that the time of a comparison tells nothing about tokens.
    workers = {_digest(token): name for name, token in tokens.items()}

    async def page(request: Request) -> Response:
        return HTMLResponse(html, headers=headers)

    def refused(status: int, error: OutgrowError | str, **more: Any) -> Response:
        return JSONResponse({"error": str(error), **more}, status, headers=headers)

    async def state(request: Request) -> Response:
        worker = workers.get(_digest(request.headers.get("x-annotator", "")))
        if worker is None:
            return refused(401, "This link is not known. Ask for a new one.")
        if request.method == "GET":
            return JSONResponse(await run_in_threadpool(session.state, worker), headers=headers)
        origin = request.headers.get("origin")
        if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
            return refused(403, "Answers are taken from the annotation page only.")
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > _LONGEST_BODY:
                return refused(413, "An answer is longer than any can be.")
        asked = _answer(body)
        if asked is None:
            return refused(400, "This is not an answer.")
        try:
            return JSONResponse(await run_in_threadpool(session.act, worker, *asked), headers=headers)
        except OutgrowError as error:
            now = await run_in_threadpool(session.state, worker)
            return refused(_STATUS.get(type(error), 400), error, state=now)

    return Starlette(routes=[Route("/", page), Route("/state", state, methods=["GET", "POST"])])


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ConfigError: The port is taken, or the host is none of this machine.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ConfigError(
            f"Cannot listen on {host}, port {port}: {error.strerror}.", fix="Choose another one with --port."
        ) from error


def serve(app: Starlette, listening: socket.socket) -> None:
    """Serve until interrupted."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    with suppress(KeyboardInterrupt):  # uvicorn raises it again when it has shut down
        uvicorn.Server(config).run(sockets=[listening])


def _answer(body: bytes) -> tuple[int, Any, str, int | None] | None:
    try:
        sent = json.loads(body)
        turn, action, task, choice = (sent[name] for name in ("turn", "action", "task", "choice"))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    fits = type(turn) is int and turn >= 0 and action in _ACTIONS and isinstance(task, str)
    return (turn, action, task, choice) if fits and type(choice) is (int if action == "vote" else type(None)) else None


def _headers(html: str) -> dict[str, str]:
    inline = {
        tag: " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()}'"
            for own in re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        )
        for tag in ("script", "style")
    }
    policy = (
        f"default-src 'none'; script-src {inline['script']}; style-src {inline['style']}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
