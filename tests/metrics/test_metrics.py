"""Metrics against plain Python counting, and the exposition as Prometheus reads it."""

import math
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from streamrnn import metrics
from streamrnn.metrics import OUTCOMES, PHASES, STAGES, Held, Metrics
from streamrnn.metrics.counting import WINDOW, Histogram, Recent, RollingErrors
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.ticks import DeadLetter, Endings, Errors, PredictionBatch, Record, TickBatch, tallied

NOW_MS = 1_700_000_000_000
SPEC = ModelSpec(
    name='oil "x"\n', features=("a", "b"), targets=("a", "b"), channels=(Channel("a"),), horizons=(1, 6)
)
Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def errors(count: Iterable[float], size: float = 1.0) -> Errors:
    """Errors of one size for 2 horizons x 2 targets; persistence errs twice as much."""
    n = np.array(list(count), dtype=np.float64).reshape(2, 2)
    return Errors(n, n * size**2, n * size, n * 4 * size**2, n * 2 * size, n / 10)


def batch(
    late_ms: list[int], ok: list[bool] | None = None, said: Errors | None = None, key: bytes = b"s"
) -> PredictionBatch:
    """A batch of ticks that arrived so long before NOW_MS, in one wave."""
    n = len(late_ms)
    arrival = np.array([NOW_MS - late for late in late_ms], dtype=np.int64)
    row = np.arange(n, dtype=np.int64)
    read = np.zeros((n, 2), np.float32)
    ticks = TickBatch(np.zeros(n, np.int32), row, arrival, arrival, [key] * n, read, arrival)
    fine = np.zeros(n, np.uint8) if ok is None else (~np.array(ok)).astype(np.uint8)
    values, residual = np.zeros((n, 2, 2, 1), np.float32), np.zeros((n, 2), np.float32)
    origin = np.zeros(n, np.uint8)
    return PredictionBatch(ticks, values, residual, row, origin, fine, said or errors([0, 0, 0, 0]), [n])


def letter(stage: str, code: str) -> DeadLetter:
    return DeadLetter(Record(0, 0, NOW_MS, b"s", b""), stage, code, "why")


def families(counted: Metrics) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(counted.text().decode())}


def series(counted: Metrics) -> Series:
    """Every sample by its name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families(counted).values()
        for sample in family.samples
    }


def value(counted: Metrics, name: str, **labels: str) -> float:
    return series(counted)[name, tuple(sorted(labels.items()))]


def used(now_s: Callable[[], float] = time.monotonic) -> Metrics:
    """Metrics of a service that has lived through everything once."""
    counted = Metrics(now_s)
    counted.model(SPEC, "cpu")
    counted.state({0: "live", 3: "recovering"})
    two = batch([5, 5000], said=errors([1, 1, 1, 1]))
    two.ticks.values[1, 1] = np.nan
    counted.batch(replace(two, ticks=tallied(two.ticks)), NOW_MS)
    for stage in STAGES:
        counted.stage(stage, 0.003)
    some = batch([])
    counted.batch(replace(some, ticks=replace(some.ticks, outliers=np.array([0, 3]))), NOW_MS)
    counted.dead([letter("decode", "null"), letter("decode", "null"), letter("step", "not_finite")])
    counted.lag(0, 12, 0.5)
    counted.resident(Held(7, 3, 4096, 2, 1, 0))
    nobody = batch([])
    ended = Endings(np.zeros(3, np.int64), np.zeros(3, np.int32), [b"a", b"b", b"a"])
    counted.batch(replace(nobody, ticks=replace(nobody.ticks, endings=ended, skipped=2)), NOW_MS)
    counted.dropped(Counter({"late": 2}))
    counted.skipped({"crc": 10})
    counted.undone()
    counted.recovering(3, 100, 0.5)
    counted.snapshot_kept_at(3, 40, 2)
    counted.log_start(3, 7)
    counted.recovered("snapshot", 0.2)
    counted.recovery_failed()
    counted.snapshot_written(4096, 0.1)
    counted.snapshot_failed()
    counted.rebalance()
    counted.lines({("oil@1", "speaking"): 2})
    counted.compared([("oil@1", "a", 1, 0.5, 10), ("oil@2", "a", 1, None, 10)])
    counted.loop_lag(0.001)
    counted.broker_up(True)
    counted.breaker(False)
    counted.retrain_enabled()
    counted.retrain_started()
    counted.retrain_ended("succeeded", 5.0, 1_700_000_000.0)
    return counted


bounds = st.lists(st.floats(-100, 100), min_size=1, max_size=6, unique=True).map(sorted)


@given(bounds=bounds, data=st.data())
@settings(deadline=None)
def test_a_bucket_counts_what_is_at_most_its_bound(bounds: list[float], data: st.DataObject) -> None:
    values = data.draw(st.lists(st.floats(-200, 200) | st.sampled_from(bounds), max_size=20))
    together, one_by_one = Histogram(bounds), Histogram(bounds)
    together.observe(np.array(values[:7], dtype=np.float64))
    together.observe(np.array(values[7:], dtype=np.float64))
    for v in values:
        one_by_one.observe_one(v)
    for histogram in (together, one_by_one):
        said = [(float(name), count) for name, count in histogram.buckets()]
        assert said == [(bound, sum(v <= bound for v in values)) for bound in [*bounds, math.inf]]
        assert histogram.total == pytest.approx(math.fsum(values), abs=1e-9)


counts = st.lists(st.sampled_from([0, 0, 1, 3, 500]), min_size=4, max_size=4)


@given(st.lists(st.tuples(counts, st.floats(0, 10)), max_size=8))
@settings(deadline=None)
def test_rolling_errors_are_those_of_a_loop_over_each_horizon_and_target(
    batches: list[tuple[list[int], float]],
) -> None:
    rolling = RollingErrors((2, 2))
    for count, size in batches:
        rolling.add(errors(count, size))
    said = rolling.means().reshape(4, 4)
    for cell in range(4):
        weight, sums = 0.0, [0.0] * 4
        for count, size in batches:
            n, kept = count[cell], math.exp(-count[cell] / WINDOW)
            new = [n * size**2, n * size, n * 4 * size**2, n * 2 * size]
            weight, sums = weight * kept + n, [s * kept + v for s, v in zip(sums, new, strict=True)]
        expected = [s / weight for s in sums] if weight else [math.nan] * 4
        np.testing.assert_allclose(said[:, cell], expected, rtol=1e-9)
        assert rolling.truths.ravel()[cell] == sum(count[cell] for count, _ in batches)


def test_a_window_of_truths_forgets_all_but_a_third_of_what_was_before() -> None:
    rolling = RollingErrors((2, 2))
    rolling.add(errors([10_000_000] * 4, size=0.0))
    for _ in range(WINDOW):
        rolling.add(errors([1] * 4, size=1.0))
    zeros, ones = 10_000_000 / math.e, sum(math.exp(-n / WINDOW) for n in range(WINDOW))
    np.testing.assert_allclose(rolling.means()[1], ones / (zeros + ones), rtol=1e-9)


@given(st.lists(st.lists(st.floats(0, 10), max_size=9), max_size=6))
@settings(deadline=None)
def test_recent_percentiles_are_those_of_the_newest_values(batches: list[list[float]]) -> None:
    recent, newest = Recent(5), deque[float](maxlen=5)
    assert all(map(math.isnan, recent.percentiles(50, 99)))
    for values in batches:
        recent.observe(np.array(values))
        newest.extend(values)
        if newest:
            in_order = sorted(newest)
            lowest, middle, highest = recent.percentiles(0, 50, 100)
            half = (len(in_order) - 1) / 2
            assert (lowest, highest) == (in_order[0], in_order[-1])
            assert middle == pytest.approx((in_order[math.floor(half)] + in_order[math.ceil(half)]) / 2)


def test_prometheus_reads_every_declared_metric_with_its_type_labels_and_help() -> None:
    read = families(used())
    declared = {
        name.removesuffix("_total") if kind == "counter" else name: (kind, labels, meaning)
        for name, kind, labels, meaning in metrics.DECLARED
    }
    assert set(read) == set(declared)
    for name, (kind, labels, meaning) in declared.items():
        assert (read[name].type, read[name].documentation) == (kind, meaning)
        assert read[name].samples, name
        for sample in read[name].samples:
            assert set(sample.labels) - {"le"} == set(labels), name


def test_a_metric_is_declared_before_its_first_value() -> None:
    assert {name: family.type for name, family in families(Metrics()).items()} == {
        name: family.type for name, family in families(used()).items()
    }


def test_names_of_models_and_targets_come_through_as_they_are() -> None:
    assert value(used(), "streamrnn_model_info", model='oil "x"\n@1', cell="gru", device="cpu") == 1


def test_what_was_done_is_what_is_shown() -> None:
    counted = used()
    assert value(counted, "streamrnn_dead_letters_total", stage="decode", code="null") == 2
    assert value(counted, "streamrnn_dead_letters_total", stage="step", code="not_finite") == 1
    assert value(counted, "streamrnn_lag_records", partition="0") == 12
    assert value(counted, "streamrnn_truths_total", target="b", horizon="6") == 1
    assert value(counted, "streamrnn_rolling_mse", target="a", horizon="1", model="persistence") == 4
    assert value(counted, "streamrnn_rolling_rmse", target="a", horizon="1", model="persistence") == 2
    assert value(counted, "streamrnn_rolling_mae", target="a", horizon="1", model="model") == 1
    assert value(counted, "streamrnn_stage_seconds_count", stage="commit") == 1
    assert [value(counted, "streamrnn_partition_phase", partition="3", phase=p) for p in PHASES] == [0, 1, 0, 0, 0]


def test_truths_are_counted_whole_though_errors_fade() -> None:
    counted = used()
    for _ in range(3):
        counted.batch(batch([1], said=errors([400, 0, 0, 7])), NOW_MS)
    assert value(counted, "streamrnn_truths_total", target="a", horizon="1") == 1201
    assert value(counted, "streamrnn_truths_total", target="b", horizon="1") == 1
    assert value(counted, "streamrnn_truths_total", target="b", horizon="6") == 22
    assert value(counted, "streamrnn_truths_beyond_total", target="b", horizon="6") == pytest.approx(2.2)


def test_ticks_that_failed_are_no_predictions_and_have_no_latency() -> None:
    counted = Metrics()
    counted.batch(batch([20, 30, 40], ok=[True, False, True]), NOW_MS)
    assert value(counted, "streamrnn_ticks_total") == 3
    assert value(counted, "streamrnn_predictions_total") == 2
    assert value(counted, "streamrnn_latency_seconds_count") == 2
    assert value(counted, "streamrnn_latency_seconds_sum") == pytest.approx(0.060)


def test_a_record_without_a_timestamp_tells_no_latency_and_a_clock_ahead_counts_as_none() -> None:
    counted = Metrics()
    counted.batch(batch([NOW_MS + 1, -5_000, 100]), NOW_MS)
    assert value(counted, "streamrnn_latency_seconds_count") == 2
    assert value(counted, "streamrnn_latency_seconds_sum") == pytest.approx(0.1)


def test_an_empty_batch_counts_nothing() -> None:
    counted = Metrics()
    before = series(counted)
    counted.batch(batch([]), NOW_MS)
    assert series(counted) == before


def is_cumulative(name: str) -> bool:
    return name.endswith(("_total", "_bucket", "_count", "_sum"))


@pytest.mark.parametrize("seed", range(5))
def test_counters_and_histograms_never_go_down_whatever_happens(seed: int) -> None:
    chance, counted = random.Random(seed), used()
    steps = [
        lambda: counted.batch(batch([chance.randrange(-50, 9000)], said=errors([1, 0, 2, 0])), NOW_MS),
        lambda: counted.stage(chance.choice(STAGES), chance.random()),
        lambda: counted.dead([letter("decode", chance.choice(["null", "width"]))]),
        lambda: counted.state(dict.fromkeys(range(chance.randrange(3)), "live")),
        lambda: counted.lag(chance.randrange(3), chance.randrange(99), 1.0),
        lambda: counted.resident(Held(chance.randrange(99), 1, 1, 2, 3, 4)),
        counted.rebalance,
        counted.retrain_started,
        lambda: counted.retrain_ended(chance.choice(OUTCOMES), chance.random(), 1.0),
    ]
    before = series(counted)
    for _ in range(30):
        chance.choice(steps)()
        after = series(counted)
        assert all(after[k] >= v for k, v in before.items() if is_cumulative(k[0]))
        before = after
    assert sum(map(is_cumulative, (name for name, _ in before))) > 100


def test_gauges_of_a_partition_vanish_with_it_and_late_lag_does_not_bring_them_back() -> None:
    counted = used()
    counted.state({0: "live", 1: "live", 11: "live"})
    for n in (0, 1, 11):
        counted.lag(n, 5, 1.0)
    counted.state({1: "draining"})
    counted.lag(11, 7, 1.0)
    gauges = {(name, dict(labels).get("partition")) for name, labels in series(counted)}
    assert {gauge for gauge in gauges if gauge[1]} == {
        ("streamrnn_lag_records", "1"),
        ("streamrnn_lag_seconds", "1"),
        ("streamrnn_partition_phase", "1"),
    }


def test_no_metric_is_labelled_by_stream() -> None:
    counted = used()
    before = set(series(counted))
    for n in range(50):
        counted.batch(batch([1, 2], key=b"sensor-%d" % n), NOW_MS)
    assert set(series(counted)) == before
    assert b"sensor-" not in counted.text()
    assert not any({"stream", "key"} & set(labels) for _, _, labels, _ in metrics.DECLARED)


def test_outliers_are_counted_by_feature_where_all_ticks_were_refused_too() -> None:
    counted = used()
    assert value(counted, "streamrnn_outliers_total", feature="b") == 3
    assert ("streamrnn_outliers_total", (("feature", "a"),)) not in series(counted)


def test_a_snapshot_says_rates_since_the_last_one() -> None:
    clock = SimpleNamespace(now_s=100.0)
    counted = used(lambda: clock.now_s)
    clock.now_s = 104.0
    first = counted.glance()
    assert {k: first[k] for k in ("ticks", "ticks_per_s", "streams", "dead_letters", "mse", "persistence_mse")} == {
        "ticks": 2,
        "ticks_per_s": 0.5,
        "streams": 7,
        "dead_letters": 3,
        "mse": 1,
        "persistence_mse": 4,
    }
    assert first["p50_s"] == pytest.approx((0.005 + 5) / 2)
    clock.now_s = 106.0
    counted.batch(batch([1] * 30), NOW_MS)
    assert counted.glance()["ticks_per_s"] == 15


def test_a_snapshot_before_the_first_truth_has_no_error() -> None:
    counted = Metrics()
    assert math.isnan(counted.glance()["mse"])
    counted.model(SPEC, "cpu")
    assert math.isnan(counted.glance()["mse"])


def test_null_values_are_counted_by_what_they_meant_also_in_a_batch_without_ticks() -> None:
    counted = used()
    assert value(counted, "streamrnn_tombstones_total", policy="forget") == 3
    assert value(counted, "streamrnn_tombstones_total", policy="skip") == 2


async def served(counted: Metrics, accept: str) -> tuple[str, str]:
    """Type and text of what an asker gets that accepts so."""
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    scope = {"type": "http", "headers": [(b"accept", accept.encode()), (b"accept-encoding", b"gzip")]}
    await counted.application()(scope, receive, send)
    return dict(said[0]["headers"])[b"Content-Type"].decode(), said[1]["body"].decode()


async def test_who_asks_for_nothing_special_gets_the_text_and_who_knows_openmetrics_gets_that() -> None:
    counted = used()
    for accept in ("", "*/*", "text/html"):
        assert await served(counted, accept) == (
            "text/plain; version=0.0.4; charset=utf-8",
            counted.text().decode(),
        )
    kind, text = await served(counted, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    read = {f.name: len(f.samples) for f in openmetrics(text)}
    assert read == {family.name: len(family.samples) for family in families(counted).values()}
