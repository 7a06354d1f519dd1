"""The bench on a small backlog, and its arithmetic against clocks made up here."""

import argparse
import asyncio
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from rich.console import Console

from streamrnn.bench.child import READERS
from streamrnn.bench.daemons import Moment, _measure
from streamrnn.bench.job import CONTENDERS, Job, Measured, make_settings, make_spec
from streamrnn.bench.metering import Counted
from streamrnn.bench.progress import Progress
from streamrnn.bench.rounds import Results, _half_rates, _rotated, run_engine
from streamrnn.bench.snapshots import restored, steps_during, written
from streamrnn.bench.tables import contenders, daemons
from streamrnn.bench.ticker import ticks_of
from streamrnn.codecs import make_decoder
from streamrnn.commands.benching import add_arguments, run_bench
from streamrnn.config.input import Codec
from streamrnn.errors import EngineError
from streamrnn.nn.model import Model
from streamrnn.service import Service
from streamrnn.ticks import Errors, PredictionBatch, Record, TickBatch


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(words)


class Clock:
    """Time and processor time as a test sets them."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.cpu_s = 0.0


def progress(clock: Clock, ticks: int, stop: asyncio.Event, limit_s: float = 1e9, **more: object) -> Progress:
    return Progress(ticks, limit_s, stop, now=lambda: clock.now_s, cpu=lambda: clock.cpu_s, **more)  # type: ignore[arg-type]


def test_the_steady_middle_leaves_out_a_slow_start_and_a_slow_end() -> None:
    clock, stop = Clock(), asyncio.Event()
    run = progress(clock, 1000, stop)
    for batch in range(100):
        clock.now_s += 5.0 if batch < 15 or batch > 95 else 0.1
        clock.cpu_s += 0.05
        run.published([0] * 10)
    assert stop.is_set()
    measured = run.measured()
    assert measured.ticks_per_s == pytest.approx(100)
    assert measured.cpu_us_per_tick == pytest.approx(5000)
    assert (measured.ticks, measured.p99_ms) == (700, 0.0)


def test_acknowledgements_told_together_count_when_they_came() -> None:
    clock, stop = Clock(), asyncio.Event()
    run = progress(clock, 10_000, stop)
    for _ in range(20):  # commits, each telling of ten batches, 10 ms and 40 ticks apart, the last one first
        clock.now_s += 0.1
        clock.cpu_s += 0.02
        for back in range(10):
            run.published([0] * 40, (clock.now_s - 0.01 * back) * 1000)
    measured = run.measured()
    assert measured.ticks_per_s == pytest.approx(4000, rel=0.001)
    assert measured.cpu_us_per_tick == pytest.approx(50, rel=0.001)


@pytest.mark.parametrize("batches", [1, 7])
def test_what_one_commit_shows_counts_at_one_moment_however_many_batches_it_was(batches: int) -> None:
    clock = Clock()
    run = progress(clock, 10**6, asyncio.Event())
    for commit in range(20):
        clock.now_s += 0.1 if commit % 2 else 0.3
        at_ms = clock.now_s * 1000
        for batch in range(batches):
            run.published([0] * (700 // batches), at_ms)
            clock.now_s += 1e-4 * (batch + 1 < batches)  # counting takes time, too
    # From the first commit after 20 % of the ticks (the 4th) to that which reaches 90 % (the 18th): 14 of 0.2 s.
    assert run.measured().ticks_per_s == pytest.approx(14 * 700 / (7 * 0.4), rel=0.01)


def test_the_latency_is_to_the_moment_told_not_to_when_it_was_told() -> None:
    clock = Clock()
    run = progress(clock, 10**6, asyncio.Event(), on_first=lambda: None)
    for _ in range(100):
        clock.now_s += 0.1
        run.published([int(clock.now_s * 1000) - 90], clock.now_s * 1000 - 80)
        run.published([])
    assert run.measured().p50_ms == pytest.approx(10, abs=1.0)


def test_a_run_stops_at_its_ticks_or_at_its_time() -> None:
    clock, by_ticks, by_time = Clock(), asyncio.Event(), asyncio.Event()
    progress(clock, 10, by_ticks).published([0] * 10)
    late = progress(clock, 10_000, by_time, limit_s=3.0)
    late.published([0])
    assert by_ticks.is_set()
    assert not by_time.is_set()
    clock.now_s += 3.0
    late.published([0])
    assert by_time.is_set()


def test_latencies_are_taken_from_the_timestamp_to_the_acknowledgement() -> None:
    clock, said = Clock(), []
    run = progress(clock, 1000, asyncio.Event(), on_first=lambda: said.append("live"))
    for number in range(1000):
        clock.now_s += 0.01
        run.published([int(clock.now_s * 1000) - (50 if number % 100 == 0 else 4)])
    assert said == ["live"]
    measured = run.measured()
    assert measured.p50_ms == pytest.approx(4, abs=1.0)
    assert measured.p999_ms == pytest.approx(50, abs=1.0)


def test_too_few_batches_are_no_measurement() -> None:
    run = progress(Clock(), 10, asyncio.Event())
    run.published([0] * 10)
    with pytest.raises(ValueError, match="too few"):
        run.measured()


def speeds(*ticks_per_s: float) -> list[Measured]:
    return [Measured(ticks=1, ticks_per_s=speed, cpu_us_per_tick=1.0) for speed in ticks_per_s]


def test_the_service_counts_with_the_time_it_is_given() -> None:
    clock = Clock()
    run = progress(clock, 10**6, asyncio.Event(), on_first=lambda: None)
    counted = Counted(run)
    for _ in range(20):
        clock.now_s += 0.1
        counted.batch(stepped(4, arrival_ms=int(clock.now_s * 1000) - 70), clock.now_s * 1000 - 50)
    assert run.measured().p50_ms == pytest.approx(20, abs=1.0)
    assert run.measured().ticks_per_s == pytest.approx(3 / 0.1)  # one of the four was refused


async def test_the_benched_service_keeps_the_rolling_errors_as_a_users_daemon_does() -> None:
    job = Job(role="service", bootstrap="", ticks=100, limit_s=1.0)
    counted = Counted(Progress(job.ticks, 1.0, asyncio.Event()))
    service = Service(make_settings(job), Model(make_spec(job.cell, job.hidden)), counted)
    assert service.metrics is counted
    await service.load()
    truths = Errors(*(np.ones((1, 1)) for _ in range(6)))
    counted.batch(replace(stepped(4, arrival_ms=0), errors=truths), 0.0)
    assert "streamrnn_rolling_mse{" in service.metrics.text().decode()


def stepped(n: int, arrival_ms: int) -> PredictionBatch:
    """n ticks that arrived together, the last of them refused."""
    no_errors = Errors(*(np.zeros((1, 1)) for _ in range(6)))
    at = np.full(n, arrival_ms, np.int64)
    read = np.zeros((n, 2), np.float32)
    ticks = TickBatch(np.zeros(n, np.int32), np.arange(n), at, at, [b"a"] * n, read, at)
    status = np.array([0] * (n - 1) + [1], np.uint8)
    said, residual = np.zeros((n, 1, 1, 1), np.float32), np.zeros((n, 1), np.float32)
    return PredictionBatch(
        ticks, said, residual, np.ones(n, np.int64), np.zeros(n, np.uint8), status, no_errors, [n]
    )


def test_exactly_once_runs_where_there_are_transactions() -> None:
    job = Job(role="service", bootstrap="", ticks=1, limit_s=1.0)
    there = msgspec.structs.replace(job, bootstrap="kafka:9092", idempotent=True)
    assert job.contenders == ("service", "relay", "loop")
    assert there.contenders == ("service", "exact", "relay", "loop")
    roles = {who: make_settings(msgspec.structs.replace(there, role=who)).delivery for who in there.contenders}
    assert [who for who, delivery in roles.items() if delivery.guarantee == "exactly_once"] == ["exact"]
    assert {delivery.commit_interval_ms for delivery in roles.values()} == {100}


@pytest.mark.parametrize("is_exact", [False, True])
def test_the_table_has_exactly_once_or_says_why_not(is_exact: bool) -> None:
    full = {"service": speeds(100), "exact": speeds(80), "relay": speeds(200), "loop": speeds(10)}
    results = Results(full={who: runs for who, runs in full.items() if is_exact or who != "exact"})  # type: ignore[misc]
    console = Console(width=110, record=True, file=io.StringIO())
    console.print(contenders(results))
    text = console.export_text()
    assert ("0.80 x streamrnn" in text) == is_exact
    assert ("transactions, which the embedded broker has not" in text) != is_exact
    assert "streamrnn 0.50 x" in text


def test_ratios_are_medians_of_each_rounds_own_ratio() -> None:
    results = Results(full={"service": speeds(10, 40, 90), "relay": speeds(20, 40, 60), "loop": speeds(1, 1, 1)})
    assert results.ratio("service", "relay") == 1.0
    assert _half_rates(results) == {"service": 20.0, "relay": 20.0, "loop": 0.5}


def test_each_round_begins_with_another_contender() -> None:
    assert {_rotated(CONTENDERS, number)[0] for number in range(4)} == set(CONTENDERS)
    assert _rotated(CONTENDERS, 4) == _rotated(CONTENDERS, 0) == CONTENDERS


async def test_a_child_that_fails_says_why() -> None:
    job = Job(role="engine", bootstrap="", ticks=1, limit_s=0.1, cells=("nonsense",))  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="nonsense"):
        await run_engine(job)


class FakeDaemon:
    """Two workers, of which the second serves from the third look on; so many ticks at each moment."""

    def __init__(self, ticks: list[float]) -> None:
        self._ticks, self._looks = ticks, 0

    async def workers(self) -> list[dict[str, Any]]:
        self._looks += 1
        phases = {"2": "live", "3": "live" if self._looks > 2 else "recovering"}
        return [{"pid": 1, "partitions": {"0": "live", "1": "live"}}, {"pid": 2, "partitions": phases}]

    async def moment(self, pids: list[int]) -> Moment:
        assert (pids, self._looks) == ([1, 2], 3)
        ticks = self._ticks.pop(0)
        return Moment(ticks / 50, ticks, ticks / 1000)


def workers_job(ticks: int) -> Job:
    return Job(role="daemon", bootstrap="", ticks=ticks, limit_s=1e9, workers=2)


async def test_daemons_are_measured_from_when_all_workers_serve_until_most_is_done() -> None:
    daemon = FakeDaemon([300.0, 500.0, 800.0, 950.0])
    measured = await _measure(workers_job(1000), daemon)  # type: ignore[arg-type]
    assert (measured.ticks, measured.ticks_per_s) == (500, pytest.approx(50))
    assert measured.cpu_us_per_tick == pytest.approx(1000)


@pytest.mark.parametrize("ticks", [[980.0], [300.0, 980.0], [300.0, 300.0, 980.0]])
async def test_a_backlog_that_is_done_too_soon_measures_nothing(ticks: list[float]) -> None:
    with pytest.raises(ValueError, match="more --ticks"):
        await _measure(workers_job(1000), FakeDaemon(ticks))  # type: ignore[arg-type]


def test_daemons_stand_beside_the_first() -> None:
    text = io.StringIO()
    results = Results(daemons={1: speeds(10, 40), 2: speeds(17, 70)})
    Console(file=text, width=100).print(daemons(results))
    assert "1.00 x" in text.getvalue()
    assert "1.73 x" in text.getvalue() or "1.72 x" in text.getvalue()


def snapshot_job(folder: Path, streams: int) -> Job:
    return Job(role="write", bootstrap="", ticks=1, limit_s=1.0, hidden=8, streams=streams, folder=str(folder))


async def test_what_is_written_is_weighed_and_restored_whole(tmp_path: Path) -> None:
    job = snapshot_job(tmp_path, 9000)
    wrote = await written(job)
    assert (wrote.streams, wrote.changed) == (9000, 90)
    assert 1.0 < wrote.full_bytes / (9000 * wrote.row_bytes) < 1.4  # keys, and headers, come on top
    assert 0.009 < wrote.changed_bytes / wrote.full_bytes < 0.03
    back = await restored(job)
    assert 0 < back.start_bytes <= back.peak_bytes
    with pytest.raises(ValueError, match="9000 of 9001"):
        await restored(msgspec.structs.replace(job, streams=9001))


async def test_as_many_steps_are_timed_without_a_snapshot_as_during_one(tmp_path: Path) -> None:
    row = await steps_during(snapshot_job(tmp_path, 3000))
    assert row.steps_during >= row.snapshots > 0
    assert 0 < row.without_p50_us <= row.without_p99_us
    assert 0 < row.during_p50_us <= row.during_p99_us <= row.during_turn_p99_us
    assert row.ratio == row.during_p99_us / row.without_p99_us


@pytest.mark.timeout(240)
def test_the_last_line_of_a_small_bench_is_json_with_every_contender(capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "--rounds 1 --ticks 30000 --limit-s 2 --latency-s 1 --rates 500 --streams 100 --partitions 2 --device cpu"
    )
    words += " --cells gru mingru --hiddens 16 --batches 8 --engine-s 0.05 --streams-kept 3000 5000"
    assert run_bench(arguments(*words.split())) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    for who in ("service", "relay", "loop"):
        assert report["full_speed"][who]["ticks_per_s"] > 0
        assert 0 < report["half_load"][who]["p50_ms"] <= report["half_load"][who]["p99_ms"]
    assert set(report["rates"]["500"]) == {"service", "relay"}
    assert all(0 < run["p50_ms"] <= run["p99_ms"] for run in report["rates"]["500"].values())
    assert set(report["ratios"]) == {"service/relay", "service/loop"}
    assert report["steps"]["streams"] == 3000
    assert report["steps"]["p99 during/without"]["is"] > 0
    assert list(report["written"]) == list(report["restored"]) == ["3000", "5000"]
    assert report["restore_s"]["5000"]["is"] > 0
    assert [(row["cell"], row["batch"]) for row in report["engine"]] == [("gru", 8), ("mingru", 8)]
    assert all(row["step_us"] > 0 and row["speedup"] > 0 for row in report["engine"])


@pytest.mark.parametrize("codec", get_args(Codec))
def test_the_service_and_the_loop_read_the_same_ticks_in_every_codec(codec: Codec) -> None:
    job = Job(role="service", bootstrap="", ticks=1, limit_s=1.0, streams=3, partitions=2, codec=codec)
    told = [next(made) for made in [ticks_of(job)] for _ in range(6)]
    records = [Record(t.partition, n, t.timestamp_ms, t.key, t.value) for n, t in enumerate(told)]
    ticks, dead = make_decoder(make_spec("gru", 8), make_settings(job)).decode(records)
    read = [READERS[codec](record.value or b"") for record in records]
    assert not dead
    assert ticks.values.tolist() == np.float32([[tick["temp"], tick["load"]] for tick in read]).tolist()
    assert codec == "float32" or ticks.time_ms.tolist() == [tick["time"] for tick in read]
