"""A small HTTP/1.1 server for probes, inspection and a few commands: everything bounded. Knows no service."""

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
LARGEST_BODY_BYTES = 65_536
REQUEST_S = 5.0
MOST_CONNECTIONS = 64
REASONS = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    411: "Length Required",
    413: "Content Too Large",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
BUSY = "too many connections\n"


class Request(NamedTuple):
    """What a handler sees: the decoded path below its route, the query, who asks, and a POST's body."""

    rest: str
    query: dict[str, str]
    authorization: str = ""
    body: bytes = b""


class Response(NamedTuple):
    """What a handler gives."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


Handler = Callable[[Request], Awaitable[Response]]


class _Head(NamedTuple):
    """A request's first lines; the path still percent-encoded, header names in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]


class _Unreadable(Exception):
    """A request whose body is not read, and the answer to it."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


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
    """Routes are exact paths, or prefixes where they end with a slash: `routes` for GET and HEAD, `posts`."""

    def __init__(
        self, host: str, port: int, routes: Mapping[str, Handler], posts: Mapping[str, Handler] | None = None
    ) -> None:
        self._host, self._port = host, port
        self._routes = {"GET": routes, "HEAD": routes, "POST": posts or {}}
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
                    busy = _wire(Response(503, BUSY.encode()))
                    writer.write(busy if crowded else await self._answer(reader, writer))
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
        finally:
            del self._connections[writer]
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """The bytes to send for the next request."""
        try:
            head = _parse(await reader.readuntil(b"\r\n\r\n"))
            response = await self._respond(head, reader, writer)
        except asyncio.LimitOverrunError:
            return _wire(Response(431, b"the request is too large\n"))
        except ValueError:
            return _wire(Response(400, b"bad request\n"))
        except _Unreadable as why:
            response = why.response
        return _wire(response, with_body=head.method != "HEAD")

    async def _respond(self, head: _Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Response:
        handler, rest = _find(self._routes.get(head.method, {}), head.path)
        if handler is None:
            return self._not_here(head.path)
        body = await _read_body(head.headers, reader, writer) if head.method == "POST" else b""
        request = Request(unquote(rest), head.query, head.headers.get("authorization", ""), body)
        try:
            return await handler(request)
        except Exception:
            log.exception("%s %r failed", head.method, head.path)
            return Response(500, b"internal error\n")

    def _not_here(self, path: str) -> Response:
        allowed = [method for method, routes in self._routes.items() if _find(routes, path)[0]]
        if allowed:
            only = Response(405, f"only {' and '.join(allowed)}\n".encode())
            return only._replace(headers=(("Allow", ", ".join(allowed)),))
        known = sorted({route for routes in self._routes.values() for route in routes})
        return Response(404, b"not found; try " + " ".join(known).encode() + b"\n")


def _find(routes: Mapping[str, Handler], path: str) -> tuple[Handler | None, str]:
    """What answers a path, and the path's rest below its route."""
    if path in routes:
        return routes[path], ""
    for route, handler in routes.items():
        if route.endswith("/") and path.startswith(route):
            return handler, path[len(route) :]
    return None, ""


def _parse(head: bytes) -> _Head:
    """ValueError if it is none."""
    first, *lines = head[:-4].split(b"\r\n")
    method, target, protocol = first.decode("ascii").split(" ")
    if not protocol.startswith("HTTP/1."):
        raise ValueError(protocol)
    headers: dict[str, str] = {}
    for name, _, value in (line.decode("latin-1").partition(":") for line in lines):
        said = headers.get(name.lower())
        headers[name.lower()] = value.strip() if said is None else f"{said}, {value.strip()}"
    parts = urlsplit(target)
    return _Head(method, parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), headers)


async def _read_body(
    headers: Mapping[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bytes:
    """A body of known length, none where no length is given; ValueError when the length is no number."""
    if "transfer-encoding" in headers:
        raise _Unreadable(Response(411, b"send the body's length\n"))
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise ValueError(length)
    if len(length) > 9 or int(length) > LARGEST_BODY_BYTES:
        raise _Unreadable(Response(413, f"at most {LARGEST_BODY_BYTES} bytes\n".encode()))
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return await reader.readexactly(int(length))


def _wire(response: Response, with_body: bool = True) -> bytes:
    lines = [
        f"HTTP/1.1 {response.status} {REASONS[response.status]}",
        f"Content-Type: {response.content_type}",
        f"Content-Length: {len(response.body)}",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    lines += [f"{name}: {value}" for name, value in response.headers]
    return "\r\n".join([*lines, "", ""]).encode() + (response.body if with_body else b"")
