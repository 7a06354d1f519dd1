"""A small HTTP/1.1 server for probes and inspection: GET only, everything bounded. Knows no service."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from streamrnn.errors import ConfigError

log = logging.getLogger(__name__)
LARGEST_HEAD_BYTES = 8192
REQUEST_S = 5.0
MOST_CONNECTIONS = 64
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 500: "Internal Server Error",
           503: "Service Unavailable"}  # fmt: skip


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
    return None if isinstance(value, float) and not -1e308 < value < 1e308 else value


class HttpServer:
    """Routes are exact paths, or prefixes where they end with a slash."""

    def __init__(self, host: str, port: int, routes: dict[str, Handler]) -> None:
        self._host, self._port, self._routes = host, port, routes
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    @property
    def port(self) -> int:
        """The port listened on."""
        assert self._server is not None, "not started"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        """Listen; ConfigError when the address is taken or not ours."""
        try:
            self._server = await asyncio.start_server(
                self._serve, self._host, self._port, limit=LARGEST_HEAD_BYTES
            )
        except OSError as error:
            raise ConfigError(f"http: cannot listen on {self._host}:{self._port}: {error.strerror}") from error

    async def stop(self) -> None:
        """Stop listening and close what is open."""
        if self._server is not None:
            server, self._server = self._server, None
            server.close()
            for writer in list(self._connections):
                writer.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer, closed."""
        if len(self._connections) >= MOST_CONNECTIONS:
            writer.close()
            return
        self._connections.add(writer)
        try:
            with suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(REQUEST_S):
                    response = await self._answer(reader)
                    writer.write(_wire(response))
                    await writer.drain()
        finally:
            self._connections.discard(writer)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader) -> Response:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
        except (asyncio.LimitOverrunError, ValueError):
            return Response(400, b"bad request\n")
        if method != "GET":
            return Response(405, b"only GET\n")
        parts = urlsplit(target)
        handler, rest = self._find(parts.path)
        if handler is None:
            return Response(404, b"not found; try " + " ".join(sorted(self._routes)).encode() + b"\n")
        try:
            return await handler(Request(unquote(rest), dict(parse_qsl(parts.query))))
        except Exception:
            log.exception("GET %s failed", parts.path)
            return Response(500, b"internal error\n")

    def _find(self, path: str) -> tuple[Handler | None, str]:
        if path in self._routes:
            return self._routes[path], ""
        for route, handler in self._routes.items():
            if route.endswith("/") and path.startswith(route):
                return handler, path[len(route) :]
        return None, ""


def _wire(response: Response) -> bytes:
    head = (
        f"HTTP/1.1 {response.status} {REASONS[response.status]}\r\n"
        f"Content-Type: {response.content_type}\r\n"
        f"Content-Length: {len(response.body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + response.body
