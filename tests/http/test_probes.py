"""What the probes say of a service, asked without a socket."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from streamrnn.errors import DataError
from streamrnn.http.probes import LONGEST_LIST, probe_routes
from streamrnn.http.routing import make_application
from streamrnn.metrics import Metrics
from tests.http.asking import Start
from tests.http.asking import ask as ask_server

EXPOSED, KIND = b"# TYPE x counter\nx_total 1.0\n", "text/plain; version=0.0.4; charset=utf-8"
NOT_WHOLE = ["", "x", "-1", "1.0", "1e3", "+1", " 1", "0x1", "9" * 10, "²"]


class View:
    """A service that holds one stream, in partition 3, and remembers what it was asked."""

    def __init__(self, is_alive: bool = True, ready: tuple[bool, str] = (True, "ok")) -> None:
        self._is_alive, self._ready = is_alive, ready
        self.asked: list[tuple[Any, Any]] = []

    def is_alive(self) -> bool:
        return self._is_alive

    def ready(self) -> tuple[bool, str]:
        return self._ready

    async def stream(self, stream: str, partition: int | None) -> dict[str, Any] | None:
        self.asked.append((stream, partition))
        return {"stream": stream, "steps": 5} if stream == "a/b" and partition in (None, 3) else None

    async def streams(self, limit: int, prefix: str) -> list[dict[str, Any]]:
        self.asked.append((limit, prefix))
        return [{"stream": prefix, "steps": 5}]

    def status(self) -> dict[str, Any]:
        return {"partitions": {3: "live"}, "uptime_s": float("nan")}


async def exposition(scope: Scope, receive: Receive, send: Send) -> None:
    await Response(EXPOSED, media_type=KIND)(scope, receive, send)


async def asked(view: View, path: str, **query: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of what the routes answer to a GET."""
    said: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        said.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": urlencode(query).encode(),
        "headers": [],
    }
    await make_application(probe_routes(view, exposition))(scope, receive, send)
    begin, *bodies = said
    headers = {name.decode(): value.decode() for name, value in begin["headers"]}
    return begin["status"], headers, b"".join(message["body"] for message in bodies).decode()


async def ask(view: View, path: str, **query: str) -> tuple[int, str]:
    status, _, body = await asked(view, path, **query)
    return status, body


async def test_alive_and_ready_are_told_apart_with_the_reason() -> None:
    assert await ask(View(), "/livez") == (200, "ok\n")
    assert await ask(View(is_alive=False), "/livez") == (503, "stalled\n")
    assert await ask(View(), "/readyz") == (200, "ok\n")
    recovering = View(ready=(False, "partitions not live: 0 is recovering"))
    assert await ask(recovering, "/readyz") == (503, "partitions not live: 0 is recovering\n")
    assert await ask(recovering, "/livez") == (200, "ok\n")


async def test_metrics_are_passed_on_untouched_in_prometheus_own_type() -> None:
    status, headers, body = await asked(View(), "/metrics")
    assert (status, headers["content-type"], body) == (200, KIND, EXPOSED.decode())


@pytest.mark.parametrize("accept", [b"\xff", b"application/openmetrics-text;version=x"])
async def test_a_form_of_metrics_that_nobody_can_read_is_the_common_one_and_fills_no_log(
    start: Start, caplog: pytest.LogCaptureFixture, accept: bytes
) -> None:
    server = await start(probe_routes(View(), Metrics().application()))
    status, headers, body = await ask_server(server, b"GET /metrics HTTP/1.1\r\nAccept: " + accept + b"\r\n\r\n")
    assert (status, headers["content-type"], b"# HELP" in body) == (200, KIND, True)
    assert caplog.messages == []


async def test_the_status_is_json_whatever_numbers_are_in_it() -> None:
    assert await ask(View(), "/status") == (200, '{"partitions": {"3": "live"}, "uptime_s": null}')


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ({}, (100, "")),
        ({"limit": "7", "prefix": "pump/é"}, (7, "pump/é")),
        ({"limit": "0"}, (0, "")),
        ({"limit": "999999999"}, (LONGEST_LIST, "")),
    ],
)
async def test_a_list_of_streams_is_as_long_as_asked_for_within_bounds(
    query: dict[str, str], asked: tuple[int, str]
) -> None:
    view = View()
    status, body = await ask(view, "/streams", **query)
    assert (status, json.loads(body)) == (200, [{"stream": asked[1], "steps": 5}])
    assert view.asked == [asked]


@pytest.mark.parametrize("limit", NOT_WHOLE)
async def test_a_limit_that_is_no_whole_number_is_refused_and_not_asked_for(limit: str) -> None:
    view = View()
    assert await ask(view, "/streams", limit=limit) == (400, '{"error": "limit must be a whole number"}')
    assert view.asked == []


@pytest.mark.parametrize(("query", "partition"), [({}, None), ({"partition": "3"}, 3), ({"partition": "0"}, 0)])
async def test_a_stream_is_looked_up_in_the_partition_given_or_in_all(
    query: dict[str, str], partition: int | None
) -> None:
    view = View()
    status, body = await ask(view, "/streams/a/b", **query)
    assert view.asked == [("a/b", partition)]
    assert (status, json.loads(body)) == (
        (404, {"error": "no such stream here"}) if partition == 0 else (200, {"stream": "a/b", "steps": 5})
    )


@pytest.mark.parametrize("partition", NOT_WHOLE)
async def test_a_partition_that_is_no_whole_number_is_refused_and_not_asked_for(partition: str) -> None:
    view = View()
    status, body = await ask(view, "/streams/a/b", partition=partition)
    assert (status, body) == (400, '{"error": "partition must be a whole number"}')
    assert view.asked == []


async def test_a_stream_that_cannot_be_is_a_bad_request_that_says_why() -> None:
    class Numbered(View):
        async def stream(self, stream: str, partition: int | None) -> dict[str, Any] | None:
            raise DataError("'pump' is no key")

    assert await ask(Numbered(), "/streams/pump") == (400, '{"error": "\'pump\' is no key"}')
