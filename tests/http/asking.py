"""How tests speak to an HTTP server: over real sockets, answers read by the standard library."""

import asyncio
import http.client
import io
from collections.abc import Awaitable, Callable
from typing import Any, cast

from streamrnn.http.server import Handler, HttpServer, Request, Response

SOON_S = 2.0
Start = Callable[..., Awaitable[HttpServer]]
Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def said(body: bytes, status: int = 200) -> Handler:
    async def answer(_: Request) -> Response:
        return Response(status, body)

    return answer


async def connect(server: HttpServer) -> Peer:
    return await asyncio.open_connection("127.0.0.1", server.port)


async def rest_of(peer: Peer) -> bytes:
    """All a peer still gets until the server closes, which it must do soon; a reset is an end too."""
    received = b""
    try:
        async with asyncio.timeout(SOON_S):
            while chunk := await peer[0].read(2**20):
                received += chunk
    except ConnectionError:
        pass
    finally:
        peer[1].close()
    return received


class Wire(io.BytesIO):
    """Received bytes in the place of a socket."""

    def makefile(self, mode: str) -> "Wire":
        return self


async def ask(server: HttpServer, raw: str | bytes) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Send bytes, or GET a path; the status, headers and body as http.client reads them."""
    peer = await connect(server)
    peer[1].write(raw if isinstance(raw, bytes) else f"GET {raw} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    received = await rest_of(peer)
    response = http.client.HTTPResponse(cast(Any, Wire(received)))
    response.begin()
    return response.status, response.msg, received.split(b"\r\n\r\n", 1)[1]
