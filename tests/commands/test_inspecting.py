"""`streamrnn inspect` against the real HTTP server: what is asked, what is shown, how it fails."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from streamrnn.cli import main
from streamrnn.http.probes import probe_routes
from streamrnn.http.routing import Endpoint, route
from streamrnn.http.server import HttpServer
from streamrnn.metrics import Metrics

ESCAPE = "\x1b]0;owned\x07\x1b[2J"
STATUS = {"model": "oil@7", "device": "cpu", "ready": True, "reason": "ok", "streams": 2, "slab_bytes": 4096}
VIEW = {
    "stream": "pump/7",
    "partition": 1,
    "steps": 1234,
    "origin": "carried",
    "last_offset": 99,
    "last_time_ms": 1_700_000_000_123,
    "last_values": {"OT": 21.5, "load": float("nan")},
    "last_prediction": {"OT": [22.25, float("nan")]},
    "mse": {"OT": 0.5},
    "persistence_mse": {"OT": 0.75},
    "state": {"cell.0.h": [0.5] * 9},
}


class View:
    """A daemon that holds the given streams and remembers what it was asked."""

    def __init__(self, *views: dict[str, Any], **status: Any) -> None:
        self.views, self.said, self.asked = views, STATUS | status, []

    def status(self) -> dict[str, Any]:
        return self.said

    async def stream(self, stream: str, partition: int | None) -> dict[str, Any] | None:
        self.asked.append((stream, partition))
        found = [v for v in self.views if v["stream"] == stream and partition in (None, v["partition"])]
        return found[0] if found else None

    async def streams(self, limit: int, prefix: str) -> list[dict[str, Any]]:
        self.asked.append((limit, prefix))
        return [{k: v[k] for k in ("partition", "stream", "steps")} for v in self.views]


def routes_of(view: View) -> list[Route]:
    return probe_routes(view, Metrics().application())  # type: ignore[arg-type]


Served = Callable[[list[Route]], str]


@pytest.fixture
def served() -> Iterator[Served]:
    """Serve routes from a thread; gives the address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    servers: list[HttpServer] = []

    def start(routes: list[Route]) -> str:
        servers.append(HttpServer("127.0.0.1", 0, routes))
        asyncio.run_coroutine_threadsafe(servers[-1].start(), loop).result(5)
        return f"http://127.0.0.1:{servers[-1].port}"

    yield start
    for server in servers:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


def constant(body: bytes, status: int = 200) -> Endpoint:
    async def answer(_: Request) -> Response:
        return Response(body, status, media_type="application/json")

    return answer


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_the_list_shows_the_model_and_each_stream(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    view = View(VIEW, VIEW | {"stream": "pump/8", "steps": 5})
    url = served(routes_of(view))
    assert main(["inspect", "--url", url + "/", "--prefix", "pump/&", "--limit", "7"]) == 0
    shown = capsys.readouterr().out
    assert "oil@7 on cpu, ready, 2 streams, 0.0 MB of state" in shown
    assert "pump/7" in shown
    assert "1,234" in shown
    assert "pump/8" in shown
    assert view.asked == [(7, "pump/&")]


def test_one_stream_is_shown_with_its_values_errors_and_state(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    url = served(routes_of(View(VIEW)))
    assert main(["inspect", "pump/7", "--url", url, "--partition", "1"]) == 0
    shown = capsys.readouterr().out
    for part in (
        "partition 1",
        "1,234 steps",
        "offset 99",
        "2023-11-14 22:13:20.123+00:00",
        "21.5",
        "22.25",
        "0.75",
    ):
        assert part in shown
    assert "cell.0.h (9): +0.500" in shown


@pytest.mark.parametrize("key", ["a/b?c#d%20é", "pump 7", "%", "..", "[/]", "日本"])
def test_any_key_reaches_the_daemon_as_it_was_typed(served: Served, key: str) -> None:
    view = View(VIEW | {"stream": key})
    assert main(["inspect", key, "--url", served(routes_of(view))]) == 0
    assert view.asked == [(key, None)]


@pytest.mark.parametrize("key", ["[/]", "[bold]x[/bold]", "[link=http://x]y", ":smile:", "a\\[b"])
def test_a_key_is_never_taken_for_markup(served: Served, capsys: pytest.CaptureFixture[str], key: str) -> None:
    view = View(VIEW | {"stream": key, "last_values": {key: 1.0}, "state": {key: [1.0]}}, model=key, reason=key)
    url = served(routes_of(view))
    assert main(["inspect", "--url", url]) == 0
    assert capsys.readouterr().out.count(key) == 2
    assert main(["inspect", key, "--url", url]) == 0
    assert capsys.readouterr().out.count(key) == 3


def test_no_terminal_escape_passes_through(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    key = f"x{ESCAPE}\r\n\u202ey"
    view = View(VIEW | {"stream": key, "last_values": {key: 1.0}, "state": {key: [1.0]}}, model=key)
    url = served(routes_of(view))
    for arguments in ([], [key]):
        assert main(["inspect", *arguments, "--url", url]) == 0
        shown = capsys.readouterr().out
        assert all(c.isprintable() or c == "\n" for c in shown)
        assert r"x\x1b]0;owned\x07\x1b[2J\r\n\u202ey" in shown


def test_an_event_time_past_the_calendar_is_shown_as_a_number(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", "pump/7", "--url", served(routes_of(View(VIEW | {"last_time_ms": 2**53})))]) == 0
    assert f"{2**53} ms" in capsys.readouterr().out


def test_json_is_one_line_that_parses(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    url = served(routes_of(View(VIEW | {"stream": ESCAPE})))
    assert main(["inspect", ESCAPE, "--url", url, "--json"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "\x1b" not in out
    assert json.loads(out)["stream"] == ESCAPE
    assert json.loads(out)["last_values"] == {"OT": 21.5, "load": None}


def failing(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and the one line said on standard error."""
    code = main(["inspect", *arguments])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("streamrnn: ")
    assert err.count("\n") == 1
    assert "\x1b" not in err
    return code, err


def test_a_stream_that_is_not_held_is_an_error(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = failing(["nobody", "--url", served(routes_of(View()))], capsys)
    assert code == 2
    assert said.endswith("/streams/nobody: no such stream here\n")


@pytest.mark.parametrize("argument", ["--limit=-1", "--limit=0", "--limit=x", "--partition=-1"])
def test_a_number_that_cannot_be_is_refused_before_anybody_is_asked(
    argument: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["inspect", argument])
    name, _, value = argument.partition("=")
    assert left.value.code == 2
    assert f"argument {name}: '{value}' is no whole number" in capsys.readouterr().err


def test_nobody_listening_is_an_error_that_names_the_address(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        code, said = failing(["--url", url], capsys)
    assert code == 5
    assert url in said


@pytest.mark.parametrize(
    "url", ["", "localhost:9464", "file:///etc", "ftp://x", "http://", "http://[::1", "http://h:port",
            "http://a b/", "http://127.0.0.1:99999", "http://x\x1b[2J\n"],
)  # fmt: skip
def test_a_bad_address_is_an_error(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert failing(["--url", url], capsys)[0] in (2, 5)


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"\xff", b"[]", b"{}", b"null", b'{"stream": 1}', b"[" * 100_000, json.dumps(STATUS).encode()],
)
def test_an_answer_that_is_not_streamrnns_is_an_error(
    served: Served, capsys: pytest.CaptureFixture[str], body: bytes
) -> None:
    url = served([route(path, constant(body)) for path in ("/status", "/streams", "/streams/")])
    for arguments in ([], ["pump"]):
        code, said = failing([*arguments, "--url", url], capsys)
        assert code == 2
        assert "not as streamrnn does" in said


def test_a_refusal_in_terminal_escapes_is_made_harmless(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    url = served([route("/status", constant(ESCAPE.encode() + b"\nsecond line", 503))])
    assert r"\x1b[2J\nsecond line" in failing(["--url", url], capsys)[1]


def test_one_that_does_not_speak_http_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as peer:
                peer.recv(1000)
                peer.sendall(b"220 smtp ready\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        code, _ = failing(["--url", f"http://127.0.0.1:{server.getsockname()[1]}"], capsys)
        thread.join(5)
    assert code == 5
