"""Two workers' answers as one daemon's: real sockets, views that say what a test wants."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.routing import Route

from streamrnn.errors import DataError
from streamrnn.http.probes import probe_routes
from streamrnn.http.responses import text_response
from streamrnn.http.server import HttpServer
from streamrnn.http.workers import supervised_routes
from streamrnn.metrics import Metrics, WorkerCounts
from streamrnn.process.seats import Seat
from streamrnn.supervising.overview import Overview
from tests.http.asking import ask

NUMBER_OF_OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class View:
    """A worker that owns partitions and holds streams of these, and perhaps of one that it has lost."""

    def __init__(self, partitions: dict[int, str], held: dict[tuple[int, str], int]) -> None:
        self.partitions, self._held = partitions, held
        self.alive, self.reason = True, ""

    def is_alive(self) -> bool:
        return self.alive

    def ready(self) -> tuple[bool, str]:
        return not self.reason, self.reason or "ok"

    async def stream(self, stream: str, partition: int | None) -> dict[str, Any] | None:
        if stream == "bad":
            raise DataError("no key is shown so")
        found = [(p, steps) for (p, s), steps in self._held.items() if s == stream and partition in (None, p)]
        return {"stream": stream, "partition": found[0][0], "steps": found[0][1]} if found else None

    async def streams(self, limit: int, prefix: str) -> list[dict[str, Any]]:
        rows = [
            {"partition": p, "stream": s, "steps": n} for (p, s), n in self._held.items() if s.startswith(prefix)
        ]
        return rows[:limit]

    def status(self) -> dict[str, Any]:
        is_ready, reason = self.ready()
        return {
            "model": "oil@7",
            "device": "cpu",
            "streams": len(self._held),
            "parked": 1,
            "evicted": 2,
            "slab_bytes": 100,
            "ready": is_ready,
            "reason": reason,
            "partitions": self.partitions,
            "features_missing": {"temp": {"share": 0.6 + 0.1 * len(self.partitions)}},
            "guarantee": "exactly_once",
            "uptime_s": 5.0 * len(self.partitions),
        }


class OfProcesses:
    """The part of a crew that an overview asks."""

    def __init__(self) -> None:
        self.pids: dict[int, int] = {0: 100, 1: 101}

    def pid(self, number: int) -> int | None:
        return self.pids.get(number)

    def why(self, number: int) -> str:
        return "it ended with exit code 137 and is begun anew"


class Daemon(NamedTuple):
    """Its seats, views and servers by worker, and the server that shows all."""

    seats: list[Seat]
    views: list[View]
    servers: list[HttpServer]
    crew: OfProcesses
    shown: HttpServer

    async def get(self, path: str) -> tuple[int, str]:
        status, _, body = await ask(self.shown, path)
        return status, body.decode()

    async def json(self, path: str) -> Any:
        status, body = await self.get(path)
        return status, json.loads(body)


Serve = Callable[..., Any]


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    """Worker 0 owns 0 and 2, worker 1 owns 1; worker 1 still has old rows of 0."""
    views = [
        View({0: "live", 2: "live"}, {(0, "a/b"): 10, (2, "c"): 3}),
        View({1: "live"}, {(0, "a/b"): 4, (1, "é x"): 7}),
    ]
    seats, crew, counts = [Seat(number, tmp_path) for number in (0, 1)], OfProcesses(), WorkerCounts((0, 1))
    servers = []
    for view, seat in zip(views, seats, strict=True):
        counted = Metrics()
        counted.rebalance()
        counted.retrain_enabled()
        routes: list[Route] = probe_routes(view, counted.application())
        servers.append(HttpServer("", 0, routes, path=seat.socket))
        await servers[-1].start()
    overview = Overview(seats, crew, counts, "exactly_once")  # type: ignore[arg-type]
    shown = HttpServer("127.0.0.1", 0, supervised_routes(overview))
    await shown.start()
    yield Daemon(seats, views, servers, crew, shown)
    for server in (shown, *servers):
        await server.stop()


async def lose(daemon: Daemon, number: int, is_process_gone: bool = True) -> None:
    await daemon.servers[number].stop()
    if is_process_gone:
        del daemon.crew.pids[number]


async def test_it_is_ready_when_all_are_and_else_says_who_is_not_and_why(daemon: Daemon) -> None:
    assert await daemon.get("/readyz") == (200, "ok\n")
    daemon.views[1].reason = "partitions not live: 1 is recovering"
    assert await daemon.get("/readyz") == (503, "worker 1: partitions not live: 1 is recovering\n")
    await lose(daemon, 0)
    status, why = await daemon.get("/readyz")
    assert (status, why.split("; ")[0]) == (503, "worker 0: it ended with exit code 137 and is begun anew")


async def test_it_is_alive_while_no_loop_has_stalled(daemon: Daemon) -> None:
    assert await daemon.get("/livez") == (200, "ok\n")
    daemon.views[1].alive = False
    assert await daemon.get("/livez") == (503, "worker 1: stalled\n")
    await lose(daemon, 1)
    assert await daemon.get("/livez") == (200, "ok\n"), "one that is begun anew has not stalled"


async def test_a_worker_whose_loop_hangs_is_not_alive(daemon: Daemon) -> None:
    async def hang(*_: object) -> None:
        await asyncio.sleep(60)

    daemon.servers[1]._application._application = hang  # type: ignore[assignment]
    overview = Overview(daemon.seats, daemon.crew, WorkerCounts((0, 1)), "", ask_s=1.0)  # type: ignore[arg-type]
    assert await overview.alive() == (False, "worker 1: it does not answer")


async def test_the_status_has_sums_all_partitions_and_each_worker(daemon: Daemon) -> None:
    status, said = await daemon.json("/status")
    assert status == 200
    rows = said.pop("workers")
    assert said == {
        "model": "oil@7",
        "device": "cpu",
        "streams": 4,
        "parked": 2,
        "evicted": 4,
        "slab_bytes": 200,
        "ready": True,
        "reason": "ok",
        "partitions": {"0": "live", "1": "live", "2": "live"},
        "features_missing": {"temp": {"share": 0.8}},
        "guarantee": "exactly_once",
        "uptime_s": 10.0,
    }
    assert [(row["worker"], row["pid"], row["restarts"]) for row in rows] == [(0, 100, 0), (1, 101, 0)]


async def test_the_status_says_what_there_is_when_nobody_answers(daemon: Daemon) -> None:
    await lose(daemon, 0)
    await lose(daemon, 1)
    status, said = await daemon.json("/status")
    assert (status, said["model"], said["streams"], said["partitions"]) == (200, None, 0, {})
    assert [row["pid"] for row in said["workers"]] == [None, None]


async def test_streams_are_listed_by_their_partitions_owners_in_order(daemon: Daemon) -> None:
    _, rows = await daemon.json("/streams")
    assert [(row["partition"], row["stream"], row["steps"]) for row in rows] == [
        (0, "a/b", 10),
        (1, "é x", 7),
        (2, "c", 3),
    ]
    assert len((await daemon.json("/streams?limit=2"))[1]) == 2
    assert [row["stream"] for row in (await daemon.json("/streams?prefix=%C3%A9%20"))[1]] == ["é x"]
    assert (await daemon.get("/streams?limit=x"))[0] == 400


async def test_a_stream_is_shown_by_the_owner_of_its_partition(daemon: Daemon) -> None:
    assert await daemon.json("/streams/a%2Fb") == (200, {"stream": "a/b", "partition": 0, "steps": 10})
    assert await daemon.json("/streams/%C3%A9%20x?partition=1") == (
        200,
        {"stream": "é x", "partition": 1, "steps": 7},
    )
    assert (await daemon.get("/streams/a%2Fb?partition=2"))[0] == 404
    assert (await daemon.get("/streams/nobody"))[0] == 404
    assert await daemon.json("/streams/bad") == (400, {"error": "no key is shown so"})


async def test_a_stream_of_a_worker_that_is_silent_is_not_said_to_be_absent(daemon: Daemon) -> None:
    await lose(daemon, 0)
    assert await daemon.json("/streams/c") == (503, {"error": "worker 0 does not answer"})
    assert (await daemon.json("/streams/%C3%A9%20x"))[0] == 200


async def test_a_worker_that_cannot_answer_is_as_one_that_is_silent(daemon: Daemon) -> None:
    async def busy(scope: Any, receive: Any, send: Any) -> None:
        await text_response(503, "too many connections\n")(scope, receive, send)

    daemon.servers[0]._application._application = busy
    assert await daemon.get("/readyz") == (503, "worker 0: it does not answer\n")
    assert (await daemon.json("/status"))[1]["partitions"] == {"1": "live"}
    assert [row["stream"] for row in (await daemon.json("/streams"))[1]] == ["a/b", "é x"]
    assert await daemon.json("/streams/c") == (503, {"error": "worker 0 does not answer"})
    status, body = await daemon.get("/metrics")
    assert status == 200
    assert 'streamrnn_worker_up{worker="0"} 0.0' in body


async def test_metrics_are_one_exposition_in_which_each_sample_says_whose_it_is(daemon: Daemon) -> None:
    status, body = await daemon.get("/metrics")
    assert status == 200
    for number in "01":
        assert f'streamrnn_rebalances_total{{worker="{number}"}} 1.0' in body
        assert f'streamrnn_worker_up{{worker="{number}"}} 1.0' in body
        assert f'streamrnn_latency_seconds_bucket{{worker="{number}",le="+Inf"}} 0.0' in body
    assert body.count("# TYPE streamrnn_rebalances_total counter") == 1
    assert "streamrnn_retrain_running{" not in body, "the supervisor's own"
    await lose(daemon, 1)
    _, body = await daemon.get("/metrics")
    assert 'streamrnn_worker_up{worker="1"} 0.0' in body
    assert 'streamrnn_rebalances_total{worker="1"}' not in body


async def test_who_asks_for_openmetrics_gets_it_and_who_asks_for_nonsense_gets_the_common_form(
    daemon: Daemon,
) -> None:
    raw = f"GET /metrics HTTP/1.1\r\nAccept: {NUMBER_OF_OPENMETRICS}\r\n\r\n".encode()
    _, headers, body = await ask(daemon.shown, raw)
    assert headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert re.findall(rb"# EOF\n?", body) == [b"# EOF\n"]
    assert b'streamrnn_rebalances_total{worker="1"} 1.0' in body
    raw = b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text;version=x\r\n\r\n"
    status, headers, _ = await ask(daemon.shown, raw)
    assert (status, headers["content-type"].partition(";")[0]) == (200, "text/plain")


async def test_many_who_ask_at_once_are_all_answered(daemon: Daemon) -> None:
    answers = await asyncio.gather(*(daemon.get("/streams/c") for _ in range(60)))
    assert {status for status, _ in answers} == {200}
