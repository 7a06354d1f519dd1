"""Owns what one request and all connections together may take, and holds requests to it. Knows no route."""

import asyncio
import logging
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from streamrnn.http.responses import text_response

log = logging.getLogger(__name__)


class Limits(NamedTuple):
    """The bounds of a server. request_s runs from a connection's beginning to the last byte of its answer."""

    head_bytes: int = 8192
    body_bytes: int = 65_536
    request_s: float = 5.0
    connections: int = 64


DEFAULT_LIMITS = Limits()


class BoundedApplication:
    """An application whose requests have bodies of known and bounded length, and end in time.

    What fails is logged, never told. A connection is cut off by its own timer, so nobody is answered too late.
    """

    def __init__(self, application: ASGIApp, limits: Limits) -> None:
        self._application, self._limits = application, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. CancelledError ends here: only the server's stop cancels."""
        with suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(self._limits.request_s):
                await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = _refusal(scope, self._limits)
        if refusal is not None:
            return await refusal(scope, receive, send)
        try:
            await self._application(_local(scope), receive, send)
        except ClientDisconnect:
            log.debug("%s %r: the asker has gone", scope["method"], scope["path"])
        except Exception:
            log.exception("%s %r failed", scope["method"], scope["path"])


def _refusal(scope: Scope, limits: Limits) -> Response | None:
    """The answer to a request that is not looked at any further."""
    headers = Headers(scope=scope)
    try:
        urlsplit(scope["raw_path"])
    except ValueError:
        return text_response(400, "bad request\n")
    if scope["method"] != "POST":
        return None
    if "transfer-encoding" in headers:
        return text_response(411, "send the body's length\n")
    # h11 has refused what is no number, and two lengths that differ.
    if int(headers.get("content-length", "0")) > limits.body_bytes:
        return text_response(413, f"at most {limits.body_bytes} bytes\n")
    return None


def _local(scope: Scope) -> Scope:
    """A proxy asks for http://host/path: the same with the path alone."""
    if scope["path"].startswith("/"):
        return scope
    path = urlsplit(scope["raw_path"]).path
    return {**scope, "path": unquote(path), "raw_path": path}
