"""The HTTP server over real sockets, its answers read by the standard library."""

import asyncio
import json
import logging
import math
import signal
import time
from http.client import HTTPMessage

import pytest
from starlette.requests import Request
from starlette.responses import Response

from streamrnn.errors import ConfigError
from streamrnn.http.limits import DEFAULT_LIMITS, Limits
from streamrnn.http.responses import json_response
from streamrnn.http.routing import Endpoint, rest_of
from streamrnn.http.server import HttpServer
from tests.http.asking import SOON_S, Start, ask, connect, hosted, received, said


def lowered(headers: HTTPMessage) -> dict[str, str]:
    return {name.lower(): text for name, text in headers.items()}


async def test_an_answer_is_whole_typed_never_cached_and_the_connections_last(start: Start) -> None:
    server = await start({"/x": said(b"hello\n")})
    status, headers, body = await ask(server, "/x?y=1")
    assert (status, body) == (200, b"hello\n")
    assert lowered(headers) == {
        "content-type": "text/plain; charset=utf-8",
        "content-length": "6",
        "cache-control": "no-store",
        "connection": "close",
    }


async def test_head_is_get_without_the_body(start: Start) -> None:
    server = await start({"/x": said(b"hello\n", 503)})
    for path in ("/x", "/y"):
        get, head = await ask(server, path), await ask(server, f"HEAD {path} HTTP/1.0\r\n\r\n".encode())
        assert head[2] == b""
        assert get[2] != b""
        assert (get[0], lowered(get[1])) == (head[0], lowered(head[1]))


async def test_only_get_and_head_are_answered(start: Start) -> None:
    server = await start({"/x": said(b"")})
    for method in (b"POST", b"DELETE", b"OPTIONS", b"get", b"X"):
        status, headers, _ = await ask(server, method + b" /x HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
        assert (status, headers["Allow"]) == (405, "GET, HEAD")


async def test_a_path_is_exact_unless_its_route_ends_with_a_slash(start: Start) -> None:
    server = await start({"/x": said(b"x"), "/s/": echo})
    assert (await ask(server, "/x"))[0] == 200
    for path in ("/", "/x/", "/X", "/xy", "/s", "//x", "*", "/%58"):
        status, _, body = await ask(server, path)
        assert (status, body) == (404, b"not found; try /s/ /x\n"), path


async def test_a_path_is_the_same_however_it_is_written(start: Start) -> None:
    server = await start({"/x": said(b"x"), "/s/": echo})
    for path in ("/x", "/%78", "http://daemon:9464/x", "HTTP://daemon/x?y=1"):
        assert (await ask(server, path))[2] == b"x", path


async def echo(request: Request) -> Response:
    return json_response(200, [rest_of(request), dict(request.query_params), (await request.body()).decode()])


async def test_a_handler_gets_the_decoded_rest_of_the_path_and_the_query(start: Start) -> None:
    server = await start({"/s/": echo})
    _, _, body = await ask(server, "/s/a%2Fb%20%C3%A9/c%0A%0D?d=%26&e=&d=2")
    assert json.loads(body) == ["a/b é/c\n\r", {"d": "2", "e": ""}, ""]


@pytest.mark.parametrize(
    "head",
    [b"", b"GET", b"GET /x", b"GET  /x HTTP/1.1", b"GET /x y HTTP/1.1", b"GET /x HTTP/2", b"GET /x FTP/1.1",
     b"GET /\xff HTTP/1.1", b"GET http://[::1 HTTP/1.1", b"\x16\x03\x01\x02"],
)  # fmt: skip
async def test_what_is_no_request_is_a_bad_one(start: Start, head: bytes) -> None:
    status, _, body = await ask(await start({"/x": said(b"")}), head + b"\r\n\r\n")
    assert (status, body) == (400, b"bad request\n")


@pytest.mark.parametrize(("padding", "end", "status"), [
    (8000, b"\r\n\r\n", 200), (8300, b"\r\n\r\n", 431), (60_000, b"\r\n\r\n", 431), (60_000, b"", 431),
])  # fmt: skip
async def test_a_head_is_bounded(start: Start, padding: int, end: bytes, status: int) -> None:
    server = await start({"/x": said(b"")})
    assert (await ask(server, b"GET /x HTTP/1.1\r\nA: " + b"a" * padding + end))[0] == status


async def test_an_exceptions_text_is_logged_and_not_told(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_: Request) -> Response:
        raise TimeoutError("hunter2")

    server = await start({"/x": broken})
    status, _, body = await ask(server, "/x")
    assert (status, body) == (500, b"internal error\n")
    [record] = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert record.exc_text is not None
    assert "hunter2" in record.exc_text


@pytest.mark.parametrize("sent", [b"", b"GET /x HT", b"GET /x HTTP/1.1\nHost: x\n\n"])
async def test_who_asks_too_late_is_cut_off(start: Start, sent: bytes) -> None:
    peer = await connect(await start({"/x": said(b"")}, limits=Limits(request_s=0.1)))
    peer[1].write(sent)
    assert await received(peer) == b""


async def test_who_asks_byte_by_byte_is_cut_off_too(start: Start) -> None:
    peer = await connect(await start({"/x": said(b"")}, limits=Limits(request_s=0.2)))
    began = time.monotonic()
    while time.monotonic() - began < SOON_S and not peer[0].at_eof() and peer[0].exception() is None:
        peer[1].write(b"a")
        await asyncio.sleep(0.02)
    assert time.monotonic() - began < 1
    assert await received(peer) == b""


async def test_who_does_not_read_in_time_is_cut_off(start: Start) -> None:
    body = b"x" * 30_000_000
    peer = await connect(await start({"/x": said(body)}, limits=Limits(request_s=0.2)))
    peer[1].write(hosted(b"GET /x HTTP/1.1\r\n\r\n"))
    await asyncio.sleep(0.4)
    assert 0 < len(await received(peer)) < len(body)


async def test_a_handler_that_takes_too_long_is_given_up(start: Start) -> None:
    ended = asyncio.Event()
    peer = await connect(await start({"/x": waiting(ended)}, limits=Limits(request_s=0.1)))
    peer[1].write(hosted(b"GET /x HTTP/1.1\r\n\r\n"))
    assert await received(peer) == b""
    await asyncio.wait_for(ended.wait(), SOON_S)


def waiting(ended: asyncio.Event, began: asyncio.Event | None = None) -> Endpoint:
    """An endpoint that never answers and says when it was ended."""

    async def wait(_: Request) -> Response:
        if began is not None:
            began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    return wait


async def test_more_than_64_connections_are_turned_away_until_one_ends(start: Start) -> None:
    server = await start({"/x": said(b"hello\n")})
    assert DEFAULT_LIMITS.connections == 64
    idle = [await connect(server) for _ in range(64)]
    status, _, body = await ask(server, "/x")
    assert (status, body) == (503, b"too many connections\n")
    idle[0][1].write(hosted(b"GET /x HTTP/1.1\r\n\r\n"))
    assert (await received(idle[0])).endswith(b"hello\n")
    idle[1][1].close()
    async with asyncio.timeout(SOON_S):
        while (await ask(server, "/x"))[0] != 200:
            await asyncio.sleep(0.01)
    for _, writer in idle:
        writer.close()


async def test_stop_ends_what_is_open_at_once_and_listens_no_more(start: Start) -> None:
    began, ended = asyncio.Event(), asyncio.Event()
    server = await start({"/x": waiting(ended, began)})
    port, asking, idle = server.port, await connect(server), await connect(server)
    asking[1].write(hosted(b"GET /x HTTP/1.1\r\n\r\n"))
    await asyncio.wait_for(began.wait(), SOON_S)
    async with asyncio.timeout(SOON_S):
        await server.stop()
        await server.stop()
    assert ended.is_set()
    assert [await received(peer) for peer in (asking, idle)] == [b"", b""]
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_server_that_never_started_may_be_stopped_and_started_then() -> None:
    server = HttpServer("127.0.0.1", 0, [])
    await server.stop()
    await server.start()
    port = server.port
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    await server.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_an_address_that_is_taken_or_not_ours_is_a_wrong_setting(start: Start) -> None:
    port = (await start({})).port
    for host in ("127.0.0.1", "192.0.2.1"):
        with pytest.raises(ConfigError, match=f"cannot listen on {host}:{port}"):
            await HttpServer(host, port, []).start()


async def test_numbers_json_does_not_know_become_null(start: Start) -> None:
    async def odd(_: Request) -> Response:
        return json_response(200, {"a": [math.nan, (math.inf, 1.5)], 2: {"b": -math.inf}})

    status, headers, body = await ask(await start({"/x": odd}), "/x")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert body == b'{"a": [null, [null, 1.5]], "2": {"b": null}}'


@pytest.mark.parametrize("sent", ["GET /x HTTP/1.1", "POST /p HTTP/1.1\r\nContent-Length: 2"])
async def test_one_who_has_said_all_and_listens_on_is_answered(start: Start, sent: str) -> None:
    server = await start({"/x": slowly}, {"/p": slowly})
    peer = await connect(server)
    peer[1].write(hosted(f"{sent}\r\n\r\n{'{}' if sent.startswith('POST') else ''}".encode()))
    peer[1].write_eof()
    assert (await received(peer)).endswith(b"at last")


async def slowly(_: Request) -> Response:
    await asyncio.sleep(0.1)
    return Response(b"at last")


async def test_one_connection_asks_once(start: Start) -> None:
    peer = await connect(await start({"/x": said(b"hello\n")}))
    peer[1].write(hosted(b"GET /x HTTP/1.1\r\n\r\n") * 2)
    assert (await received(peer)).count(b"HTTP/1.1 200") == 1


async def test_neither_requests_nor_bad_ones_are_logged(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    server = await start({"/x": said(b"hello\n")})
    caplog.set_level(logging.INFO)
    for raw in (b"GET /x HTTP/1.1\r\n\r\n", b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n"):
        await ask(server, raw)
    assert caplog.records == []


async def test_signals_stay_whose_they_were(start: Start) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    server = await start({"/x": said(b"hello\n")})
    await ask(server, "/x")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
