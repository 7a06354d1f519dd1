"""What the bench learns from the service's metrics, and from a timer of its event loop."""

import asyncio
import json
import time

import pytest

from streamrnn.bench.heartbeat import Heartbeat
from streamrnn.bench.metering import Counted, Recovered, Unmetered
from streamrnn.bench.progress import Progress
from streamrnn.commands.benching import run_bench
from streamrnn.metrics import Metrics
from tests.bench.test_bench import arguments, stepped


def ticks_of(metrics: Metrics) -> float:
    lines = metrics.text().decode().splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("streamrnn_ticks_total "))


@pytest.mark.parametrize(("kind", "counted"), [(Counted, 8.0), (Unmetered, 0.0)])
def test_the_bench_is_told_whether_anything_is_counted_or_not(kind: type[Counted], counted: float) -> None:
    stop = asyncio.Event()
    metrics = kind(Progress(6, 1e9, stop))
    metrics.batch(stepped(4, arrival_ms=0), time.time() * 1000)
    assert not stop.is_set()
    metrics.batch(stepped(4, arrival_ms=0), time.time() * 1000)
    assert stop.is_set()
    assert ticks_of(metrics) == counted


def test_a_recovery_is_timed_from_the_first_partition_to_the_last() -> None:
    stop = asyncio.Event()
    metrics = Recovered(1000, stop)
    metrics.state({0: "live", 1: "live"})
    with pytest.raises(ValueError, match="no recovery"):
        metrics.measured()
    metrics.state({0: "recovering", 1: "gated"})
    time.sleep(0.05)
    metrics.state({0: "live", 1: "recovering"})
    assert not stop.is_set()
    metrics.state({0: "live", 1: "live"})
    assert stop.is_set()
    assert 100 < metrics.measured().ticks_per_s <= 1000 / 0.05


async def test_a_loop_that_was_busy_is_seen_by_its_timer() -> None:
    heartbeat, began_s = Heartbeat(), time.time()
    beating = asyncio.create_task(heartbeat.beat())
    await asyncio.sleep(0.02)
    busy_s = time.thread_time() + 0.1
    while time.thread_time() < busy_s:
        pass
    await asyncio.sleep(0.02)
    beating.cancel()
    p99_ms, longest_ms, own_ms = heartbeat.late_ms(began_s, time.time())
    assert longest_ms >= p99_ms
    assert longest_ms >= own_ms > 90
    assert heartbeat.late_ms(0.0, began_s) == (0.0, 0.0, 0.0)


async def test_a_loop_whose_thread_had_no_processor_is_late_by_no_work_of_its_own() -> None:
    heartbeat, began_s = Heartbeat(), time.time()
    beating = asyncio.create_task(heartbeat.beat())
    await asyncio.sleep(0.02)
    time.sleep(0.1)  # noqa: ASYNC251 - as if another process had it
    await asyncio.sleep(0.02)
    beating.cancel()
    _, longest_ms, own_ms = heartbeat.late_ms(began_s, time.time())
    assert longest_ms > 90
    assert own_ms < 50


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("part", "other"), [("metrics", "unmetered"), ("replay", "replay")])
def test_a_small_run_has_both_sides(part: str, other: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"--only {part} --rounds 1 --ticks 20000 --limit-s 5 --streams 100 --partitions 2 --hidden 16"
    assert run_bench(arguments(*words.split(), "--device", "cpu")) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])["catching_up" if part == "replay" else part]
    assert list(report) == ["service", other]
    assert all(side["ticks_per_s"] > 0 and side["cpu_us_per_tick"] > 0 for side in report.values())
    assert report["service"]["late_max_ms"] >= report["service"]["late_p99_ms"] > 0
