"""Which ticks are refused, beside the rules in plain Python, and that refusing touches nothing else."""

import dataclasses
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamrnn.engine.step.policies import Order, Quarantine, rules_of
from streamrnn.ticks import STATUS, TickBatch

from .oracle import make_log, part, said_of
from .test_engine import SPEC, cut, executor, make_engine, make_model, ticks  # noqa: F401

ORDERS = st.builds(
    Order, st.booleans(), st.booleans(), st.booleans(), st.one_of(st.none(), st.integers(0, 200_000))
)
QUARANTINES = st.builds(Quarantine, st.integers(1, 3), st.integers(1, 4))
MODEL = make_model(msgspec.structs.replace(SPEC, hidden=4))


def slow_statuses(batch: TickBatch, order: Order, quarantine: Quarantine) -> list[str]:
    """One stream after the other, one tick after the other, in words."""
    said = [""] * len(batch)
    for stream in set(batch.streams):
        newest_order = newest_ms = None
        in_a_row = since = 0
        for i in [i for i, s in enumerate(batch.streams) if s == stream]:
            time_ms, place = int(batch.time_ms[i]), int(batch.order[i])
            behind = 0 if newest_ms is None else newest_ms - time_ms
            if order.late and order.late_after_ms is not None and behind > order.late_after_ms:
                said[i] = "late"
            elif order.duplicate and place == newest_order:
                said[i] = "duplicate"
            elif order.out_of_order and newest_order is not None and place < newest_order:
                said[i] = "out_of_order"
            elif in_a_row >= quarantine.after and (since := since + 1) < quarantine.retry:
                said[i] = "quarantined"
            elif np.isinf(batch.values[i]).any():
                said[i], in_a_row, since = "not_finite", in_a_row + 1, 0
            else:
                said[i], in_a_row, since = "ok", 0, 0
                newest_order = place if newest_order is None else max(newest_order, place)
                newest_ms = time_ms if newest_ms is None else max(newest_ms, time_ms)
    return said


def statuses(batch: Any) -> list[str]:
    return [STATUS[code] for code in batch.status.tolist()]


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.integers(0, 2**31), ORDERS, QUARANTINES, st.integers(1, 119))
def test_statuses_are_those_of_the_rules_in_plain_words_however_the_input_is_cut(
    executor: str,  # noqa: F811
    seed: int,
    order: Order,
    quarantine: Quarantine,
    at: int,
) -> None:
    log = make_log(seed, 120, 6, partitions=1)
    engine = make_engine(MODEL, executor, order=order, quarantine=quarantine)
    said = [engine.step(cut(log, 0, at)), engine.step(cut(log, at, len(log)))]
    assert statuses(said[0]) + statuses(said[1]) == slow_statuses(log, order, quarantine)


def test_what_is_refused_leaves_no_trace_in_what_is_stepped(executor: str) -> None:  # noqa: F811
    """The same ticks without the refused ones give the same bits."""
    order, quarantine = Order(True, True, True, 90_000), Quarantine(2, 3)
    for seed in range(5):
        log = make_log(seed, 150, 6, partitions=1)
        engine = make_engine(MODEL, executor, order=order, quarantine=quarantine)
        whole = engine.step(log)
        good = np.flatnonzero(whole.ok).tolist()
        bare = make_engine(MODEL, executor, order=order, quarantine=quarantine)
        clean = bare.step(part(log, good))
        assert 30 < len(good) < 140
        assert clean.ok.all()
        expected = said_of(clean)
        assert {place: said for place, said in said_of(whole).items() if place in expected} == expected
        assert not np.isfinite(whole.residual[~whole.ok]).any()


def test_a_refused_tick_changes_only_when_its_stream_was_last_seen_and_how_often_in_a_row_it_was_bad(
    executor: str,  # noqa: F811
) -> None:
    batch = ticks(8, 1, missing=0.0)
    poison = batch.values.copy()
    poison[[4, 5, 6]] = np.inf
    order = np.array([10, 20, 20, 15, 30, 31, 32, 33])
    batch = dataclasses.replace(batch, values=poison, order=order)
    engine = make_engine(MODEL, executor, order=Order(True, True), quarantine=Quarantine(2, 9))
    columns = engine.layout.columns
    seen = []
    for i in range(8):
        said = engine.step(cut(batch, i, i + 1))
        row = engine._slab.read(np.array([1]))
        integers = {name: int(row[1][0, column.start]) for name, column in columns.items() if column.is_integer}
        seen.append((statuses(said)[0], row[0].tobytes(), integers))
    words = ["ok", "ok", "duplicate", "out_of_order", "not_finite", "not_finite", "quarantined", "quarantined"]
    assert [status for status, _, _ in seen] == words
    assert [integers["poisoned"] for *_, integers in seen] == [0, 0, 0, 0, 1, 2, 3, 4]
    assert [integers["last_offset"] for *_, integers in seen] == list(range(8))
    for _, floats, integers in seen[2:]:
        assert floats == seen[1][1]
        kept = {name: value for name, value in integers.items() if name not in ("poisoned", "last_offset")}
        assert kept.items() <= seen[1][2].items()


def test_a_finite_tick_that_is_tried_ends_the_quarantine(executor: str) -> None:  # noqa: F811
    batch = ticks(12, 1, missing=0.0)
    poison = batch.values.copy()
    poison[:3] = np.inf
    engine = make_engine(MODEL, executor, quarantine=Quarantine(3, 4))
    said = statuses(engine.step(dataclasses.replace(batch, values=poison)))
    assert said == ["not_finite"] * 3 + ["quarantined"] * 3 + ["ok"] * 6


def test_lateness_is_counted_from_the_newest_event_time_not_from_the_last(executor: str) -> None:  # noqa: F811
    batch = ticks(4, 1, missing=0.0)
    batch = dataclasses.replace(batch, time_ms=np.array([1_000, 920, 850, 900]))
    engine = make_engine(MODEL, executor, order=Order(late=True, late_after_ms=100))
    assert statuses(engine.step(batch)) == ["ok", "ok", "late", "ok"]


def test_by_default_nothing_is_refused_for_its_order(executor: str) -> None:  # noqa: F811
    log = make_log(3, 100, 5, partitions=1)
    said = make_engine(MODEL, executor).step(log)
    assert set(statuses(said)) <= {"ok", "not_finite", "quarantined"}


@pytest.mark.parametrize(
    ("order", "quarantine", "named"),
    [
        (Order(), Quarantine(0, 1), "quarantine"),
        (Order(), Quarantine(1, 0), "quarantine"),
        (Order(late=True, late_after_ms=-1), Quarantine(), "late_after_ms"),
    ],
)
def test_rules_that_mean_nothing_are_refused(order: Order, quarantine: Quarantine, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        rules_of(order, quarantine)
