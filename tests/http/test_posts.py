"""What may be posted: only to routes that take it, of known and bounded length; over real sockets."""

import asyncio
import logging
import time

import pytest
from starlette.requests import Request
from starlette.responses import Response

from streamrnn.http.limits import DEFAULT_LIMITS, Limits
from streamrnn.http.server import HttpServer
from tests.http.asking import SOON_S, Start, ask, connect, hosted, received, said


async def count(request: Request) -> Response:
    body = await request.body()
    return Response(b"%d %s" % (len(body), body[:5]), 202, headers={"X-Odd": "1"})


async def posting(start: Start, limits: Limits = DEFAULT_LIMITS) -> HttpServer:
    return await start({"/x": said(b"read\n"), "/y": said(b"y")}, {"/x": count, "/p/": count}, limits)


def post(body: bytes, *headers: bytes, path: bytes = b"/x") -> bytes:
    lines = [b"POST " + path + b" HTTP/1.1", b"Content-Length: %d" % len(body), *headers, b"", body]
    return hosted(b"\r\n".join(lines))


async def test_a_route_that_takes_posts_gets_the_body(start: Start) -> None:
    status, headers, body = await ask(await posting(start), post(b"hello"))
    assert (status, body, headers["X-Odd"]) == (202, b"5 hello", "1")


@pytest.mark.parametrize("size", [1, 9000, DEFAULT_LIMITS.body_bytes])
async def test_a_body_arrives_whole_however_it_is_cut(start: Start, size: int) -> None:
    peer = await connect(await posting(start))
    raw = post(b"b" * size)
    for at in range(0, len(raw), 20_000):
        peer[1].write(raw[at : at + 20_000])
        await peer[1].drain()
        await asyncio.sleep(0.01)
    assert (await received(peer)).endswith(b"\r\n\r\n%d %s" % (size, b"b" * min(5, size)))


async def test_without_a_length_there_is_no_body(start: Start) -> None:
    assert (await ask(await posting(start), b"POST /x HTTP/1.1\r\n\r\nhello"))[2] == b"0 "


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (b"Content-Length: 65537", 413),
        (b"Content-Length: " + b"9" * 20, 413),
        (b"Content-Length: " + b"9" * 5000, 400),
        (b"Content-Length: -1", 400),
        (b"Content-Length: +1", 400),
        (b"Content-Length: 0x1", 400),
        (b"Content-Length: ", 400),
        ("Content-Length: ²".encode("latin-1"), 400),
        (b"Content-Length: 1\r\ncontent-length: 2", 400),
        (b"Transfer-Encoding: chunked", 411),
    ],
)
async def test_a_body_of_no_or_too_great_a_length_is_not_read(start: Start, header: bytes, status: int) -> None:
    assert (await ask(await posting(start), b"POST /x HTTP/1.1\r\n" + header + b"\r\n\r\n"))[0] == status


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("POST", "/y", 405, "GET, HEAD"),
        ("DELETE", "/x", 405, "GET, HEAD, POST"),
        ("GET", "/p/q", 405, "POST"),
        ("POST", "/nowhere", 404, None),
        ("DELETE", "/nowhere", 404, None),
        ("POST", "/p/q", 202, None),
    ],
)
async def test_what_a_path_takes_is_said(
    start: Start, method: str, path: str, status: int, allowed: str | None
) -> None:
    got, headers, body = await ask(await posting(start), f"{method} {path} HTTP/1.1\r\n\r\n".encode())
    assert (got, headers["Allow"]) == (status, allowed)
    assert status != 404 or body == b"not found; try /p/ /x /y\n"


async def test_a_get_of_a_path_that_takes_both_reads(start: Start) -> None:
    assert (await ask(await posting(start), "/x"))[2] == b"read\n"


async def test_one_who_waits_to_be_asked_for_the_body_is_asked(start: Start) -> None:
    peer = await connect(await posting(start))
    peer[1].write(post(b"hello", b"Expect: 100-continue").removesuffix(b"hello"))
    async with asyncio.timeout(SOON_S):
        assert await peer[0].readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    peer[1].write(b"hello")
    assert (await received(peer)).endswith(b"5 hello")


@pytest.mark.parametrize("ends", [True, False])
async def test_a_body_that_does_not_come_is_not_waited_for_long(start: Start, ends: bool) -> None:
    peer = await connect(await posting(start, Limits(request_s=0.2)))
    peer[1].write(post(b"hello")[:-1])
    if ends:
        peer[1].write_eof()
    began = time.monotonic()
    assert await received(peer) == b""
    assert time.monotonic() - began < 1


async def test_who_asks_is_told_to_the_handler_and_no_log(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(request: Request) -> Response:
        assert request.headers["authorization"] == "Bearer hunter2"
        raise RuntimeError("odd")

    caplog.set_level(logging.DEBUG)
    server = await start({}, {"/x": fail})
    status, _, body = await ask(server, post(b"", b"aUTHORIZATION:Bearer hunter2  "))
    assert (status, body) == (500, b"internal error\n")
    assert "POST '/x' failed" in caplog.text
    assert "hunter2" not in caplog.text
