"""A small HTTP/1.1 server for probes and inspection: reads only, everything bounded. Knows no service."""

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from streamrnn.errors import ConfigError

log = logging.getLogger(__name__)
LARGEST_HEAD_BYTES = 8192
REQUEST_S = 5.0
MOST_CONNECTIONS = 64
REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
BUSY = "too many connections\n"


class Request(NamedTuple):
    """What a handler sees: the decoded path below its route, and the query."""

    rest: str
    query: dict[str, str]


class Response(NamedTuple):
    """What a handler gives."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


Handler = Callable[[Request], Awaitable[Response]]


def json_response(status: int, payload: Any) -> Response:
    """A JSON body; NaN and Inf become null."""
    return Response(status, json.dumps(_finite(payload)).encode(), "application/json")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class HttpServer:
    """Routes are exact paths, or prefixes where they end with a slash."""

    def __init__(self, host: str, port: int, routes: Mapping[str, Handler]) -> None:
        self._host, self._port, self._routes = host, port, routes
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}

    @property
    def port(self) -> int:
        """The port listened on."""
        assert self._server is not None, "not started"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        """Listen; ConfigError when the address is taken or not ours."""
        try:
            self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=LARGEST_HEAD_BYTES)
        except OSError as error:
            why = error.strerror or error
            raise ConfigError(f"http: cannot listen on {self._host}:{self._port}: {why}") from error

    async def stop(self) -> None:
        """Stop listening and end what is open at once; a second stop does nothing."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        open_now = dict(self._connections)
        for writer, task in open_now.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*open_now.values(), return_exceptions=True)
        await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer, closed; who neither asks nor reads in time is cut off.

        CancelledError ends here: only `stop` cancels, and asyncio's own callback cannot take it.
        """
        task = asyncio.current_task()
        assert task is not None, "asyncio runs it as a task"
        crowded = len(self._connections) >= MOST_CONNECTIONS
        self._connections[writer] = task
        try:
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.CancelledError):
                async with asyncio.timeout(REQUEST_S):
                    writer.write(_wire(Response(503, BUSY.encode())) if crowded else await self._answer(reader))
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
        finally:
            del self._connections[writer]
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        """The bytes to send for the next request."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, path, query = _parse(head)
        except asyncio.LimitOverrunError:
            return _wire(Response(431, b"the request is too large\n"))
        except ValueError:
            return _wire(Response(400, b"bad request\n"))
        if method not in ("GET", "HEAD"):
            return _wire(Response(405, b"only GET and HEAD\n"))
        return _wire(await self._respond(path, query), with_body=method == "GET")

    async def _respond(self, path: str, query: dict[str, str]) -> Response:
        handler, rest = self._find(path)
        if handler is None:
            return Response(404, b"not found; try " + " ".join(sorted(self._routes)).encode() + b"\n")
        try:
            return await handler(Request(unquote(rest), query))
        except Exception:
            log.exception("GET %r failed", path)
            return Response(500, b"internal error\n")

    def _find(self, path: str) -> tuple[Handler | None, str]:
        if path in self._routes:
            return self._routes[path], ""
        for route, handler in self._routes.items():
            if route.endswith("/") and path.startswith(route):
                return handler, path[len(route) :]
        return None, ""


def _parse(head: bytes) -> tuple[str, str, dict[str, str]]:
    """Method, path still percent-encoded, and query of a request's head; ValueError if it is none."""
    method, target, protocol = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
    if not protocol.startswith("HTTP/1."):
        raise ValueError(protocol)
    parts = urlsplit(target)
    return method, parts.path, dict(parse_qsl(parts.query, keep_blank_values=True))


def _wire(response: Response, with_body: bool = True) -> bytes:
    lines = [
        f"HTTP/1.1 {response.status} {REASONS[response.status]}",
        f"Content-Type: {response.content_type}",
        f"Content-Length: {len(response.body)}",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    if response.status == 405:
        lines.append("Allow: GET, HEAD")
    return "\r\n".join([*lines, "", ""]).encode() + (response.body if with_body else b"")
