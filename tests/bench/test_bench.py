"""The bench on a small backlog, and its arithmetic against clocks made up here."""

import argparse
import asyncio
import json

import pytest

from streamrnn.bench import add_arguments, run_bench
from streamrnn.bench.job import Job, Measured
from streamrnn.bench.progress import Progress
from streamrnn.bench.rounds import Results, _half_rates, _rotated, run_engine
from streamrnn.errors import EngineError


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


def test_ratios_are_medians_of_each_rounds_own_ratio() -> None:
    results = Results(full={"service": speeds(10, 40, 90), "relay": speeds(20, 40, 60), "loop": speeds(1, 1, 1)})
    assert results.ratio("service", "relay") == 1.0
    assert _half_rates(results) == {"service": 20.0, "relay": 20.0, "loop": 0.5}


def test_each_round_begins_with_another_contender() -> None:
    assert {_rotated(number)[0] for number in range(3)} == {"service", "relay", "loop"}
    assert _rotated(3) == _rotated(0)


async def test_a_child_that_fails_says_why() -> None:
    job = Job(role="engine", bootstrap="", ticks=1, limit_s=0.1, cells=("nonsense",))  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="nonsense"):
        await run_engine(job)


@pytest.mark.timeout(240)
def test_the_last_line_of_a_small_bench_is_json_with_every_contender(capsys: pytest.CaptureFixture[str]) -> None:
    words = "--rounds 1 --ticks 30000 --limit-s 2 --latency-s 1 --streams 100 --partitions 2 --device cpu"
    words += " --cells gru mingru --hiddens 16 --batches 8 --engine-s 0.05"
    assert run_bench(arguments(*words.split())) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    for who in ("service", "relay", "loop"):
        assert report["full_speed"][who]["ticks_per_s"] > 0
        assert 0 < report["half_load"][who]["p50_ms"] <= report["half_load"][who]["p99_ms"]
    assert set(report["ratios"]) == {"service/relay", "service/loop"}
    assert [(row["cell"], row["batch"]) for row in report["engine"]] == [("gru", 8), ("mingru", 8)]
    assert all(row["step_us"] > 0 and row["speedup"] > 0 for row in report["engine"])
