"""How tests speak to an HTTP server: over real sockets, answers read by the standard library."""

import asyncio
import http.client
import io
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from streamrnn.http.routing import Endpoint, route
from streamrnn.http.server import HttpServer

SOON_S = 2.0
Start = Callable[..., Awaitable[HttpServer]]
Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def said(body: bytes, status: int = 200) -> Endpoint:
    async def answer(_: Request) -> Response:
        return PlainTextResponse(body, status)

    return answer


def routed(gets: Mapping[str, Endpoint], posts: Mapping[str, Endpoint] | None = None) -> list[Route]:
    """Routes from what answers a GET and a POST of a path."""
    posts = posts or {}
    return [route(path, gets.get(path), posts.get(path)) for path in dict.fromkeys([*gets, *posts])]


async def connect(server: HttpServer) -> Peer:
    return await asyncio.open_connection("127.0.0.1", server.port)


async def received(peer: Peer) -> bytes:
    """All a peer still gets until the server closes, which it must do soon; a reset is an end too."""
    got = b""
    try:
        async with asyncio.timeout(SOON_S):
            while chunk := await peer[0].read(2**20):
                got += chunk
    except ConnectionError:
        pass
    finally:
        peer[1].close()
    return got


class Wire(io.BytesIO):
    """Received bytes in the place of a socket."""

    def makefile(self, mode: str) -> "Wire":
        return self


def hosted(raw: bytes) -> bytes:
    """A request with the host that HTTP/1.1 asks for."""
    return raw if b"\r\nHost:" in raw else raw.replace(b" HTTP/1.1\r\n", b" HTTP/1.1\r\nHost: x\r\n", 1)


async def ask(server: HttpServer, raw: str | bytes) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Send bytes, or GET a path; the status, headers and body as http.client reads them."""
    peer = await connect(server)
    peer[1].write(hosted(raw if isinstance(raw, bytes) else f"GET {raw} HTTP/1.1\r\n\r\n".encode()))
    got = await received(peer)
    response = http.client.HTTPResponse(cast(Any, Wire(got)))
    response.begin()
    return response.status, response.msg, got.split(b"\r\n\r\n", 1)[1]
