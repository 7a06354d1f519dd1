"""States that end: what becomes of their rows beyond bits (test_laws.py)."""

import dataclasses

import numpy as np
import pytest

from streamrnn.engine.engine import Engine
from streamrnn.engine.rows.parking import LONGEST_BATCHES
from streamrnn.errors import EngineError
from streamrnn.ticks import Endings, TickBatch

from .driven import Shelf, spoil_what_is_freed
from .test_engine import cut, make_engine, make_model, ticks
from .test_undo import held

MODEL = make_model()


def tight(shelf: Shelf | None = None, **more: int) -> Engine:
    engine = make_engine(MODEL, "compiled", **{"max_streams": 3, "max_parked": 4} | more, cold=shelf)
    spoil_what_is_freed(engine)
    fresh = engine._slab.fresh
    if shelf is not None:
        shelf.widths = (fresh.floats.shape[1], fresh.integers.shape[1])
    return engine


def ending(batch: TickBatch, *ends: tuple[int, bytes]) -> TickBatch:
    before, streams = zip(*ends, strict=True)
    return dataclasses.replace(
        batch, endings=Endings(np.array(before), np.zeros(len(ends), np.int32), list(streams))
    )


def of(*streams: bytes, first: int = 0) -> TickBatch:
    batch = ticks(len(streams), 1, missing=0.0)
    return dataclasses.replace(batch, streams=list(streams), offset=np.arange(first, first + len(streams)))


def told(engine: Engine) -> list[bytes]:
    """Of whose ends the next incremental snapshot tells; it is kept."""
    capture, ended = engine.capture(0, False), list[bytes]()
    while (rows := capture.take(2)) is not None:
        ended += rows.take(engine.layout.has_ended(rows)).streams
    assert capture.confirm()
    return ended


def keep(engine: Engine, shelf: Shelf) -> None:
    """A full snapshot."""
    capture = engine.capture(0, True)
    while (rows := capture.take(99)) is not None:
        shelf.add(0, rows)
    assert capture.confirm()


def test_a_tick_before_the_end_steps_the_old_state_and_one_after_it_a_new_one() -> None:
    engine, twin = tight(), tight()
    said = engine.step(ending(of(b"a", b"a", b"a", b"a"), (2, b"a")))
    assert said.steps.tolist() == [1, 2, 1, 2]
    assert said.origin.tolist() == [0, 1, 0, 1]
    new = twin.step(cut(of(b"a", b"a", b"a", b"a"), 2, 4))
    assert said.values[2:].tobytes() == new.values.tobytes()


def test_an_end_frees_the_row_wherever_it_is_and_is_no_eviction() -> None:
    engine = tight(max_streams=1)
    engine.step(of(b"a", b"b", b"c"))
    engine.settle(1)
    evicted = engine.evicted_total
    said = engine.step(ending(of(), (0, b"a"), (0, b"c"), (0, b"unknown")))
    engine.settle(1)
    assert (engine.resident, engine.parked, set(held(engine))) == (0, 1, {(0, b"b")})
    assert (len(said.values), engine.evicted_total, engine.forgotten_total) == (0, evicted, 0)
    assert engine.inspect(0, b"a") is None


@pytest.mark.parametrize("first", [b"a", b"b", b"c"])
def test_ends_that_are_undone_leave_no_trace_in_memory_nor_in_the_next_snapshot(first: bytes) -> None:
    shelf = Shelf()
    engine = tight(shelf, max_streams=1, max_parked=1)
    engine.step(of(b"a", b"b", b"c"))
    engine.settle(1)
    keep(engine, shelf)
    engine.relieve(0)
    before = held(engine)
    assert set(before) == {(0, b"b"), (0, b"c")}
    engine.step(ending(of(first, b"d", first=10), (0, b"a"), (1, b"b"), (1, first), (2, b"c")))
    engine.undo()
    assert {key: row for key, row in held(engine).items() if key in before} == before
    assert engine.parked_of([0]) == engine.parked
    assert told(engine) == []


def test_a_snapshot_tells_once_of_an_end_and_until_then_the_cold_tier_is_not_asked() -> None:
    shelf, asked = Shelf(), []
    engine = tight(shelf)
    find, shelf.find = shelf.find, lambda p, streams: (asked.extend(streams), find(p, streams))[1]
    engine.step(of(b"a", b"b"))
    engine.settle(1)
    keep(engine, shelf)
    asked.clear()
    engine.step(ending(of(), (0, b"a"), (0, b"never seen")))
    engine.settle(1)
    assert engine.step(of(b"a", first=2)).steps.tolist() == [1]
    assert asked == []
    engine.step(ending(of(), (0, b"a")))
    engine.settle(2)
    assert told(engine) == [b"a"]
    assert told(engine) == []


def test_a_capture_that_failed_has_the_next_one_tell_of_the_end() -> None:
    shelf = Shelf()
    engine = tight(shelf)
    engine.step(of(b"a"))
    engine.settle(1)
    keep(engine, shelf)
    engine.step(ending(of(), (0, b"a")))
    engine.settle(1)
    capture = engine.capture(0, False)
    assert capture.rows == 1
    assert engine.parked_of([0]) == 1
    capture.fail()
    assert told(engine) == [b"a"]
    assert engine.parked_of([0]) == 0


def test_a_loaded_end_takes_the_place_of_the_row_in_an_earlier_part() -> None:
    engine = tight()
    engine.step(of(b"a", b"b"), warm=True)
    rows = engine.capture(0, True).take(9)
    assert rows is not None
    other = tight()
    other.load(0, rows)
    other.load(0, engine._parking.blank([b"a", b"x"]))
    assert set(held(other)) == {(0, b"b")}
    assert other.step(of(b"a", first=9)).steps.tolist() == [1]


def test_an_end_in_a_partition_with_steps_to_undo_is_no_warm_step() -> None:
    engine = tight()
    engine.step(ending(of(), (0, b"a")))
    with pytest.raises(EngineError, match="cannot be rebuilt"):
        engine.step(ending(of(), (0, b"a")), warm=True)
    engine.undo()
    engine.step(ending(of(), (0, b"a")), warm=True)


def test_a_queue_goes_past_a_stream_that_ended_where_nothing_is_parked() -> None:
    engine = tight(idle_after_ms=10**9)
    engine.step(of(b"a", b"b", b"c"))
    engine.step(ending(of(b"a", first=3), (0, b"b")))
    engine.settle(2)
    for nth in range(LONGEST_BATCHES):
        engine.step(of(b"a", first=4 + nth))
    assert (engine.resident, engine.parked) == (2, 0)


def test_ticks_are_at_hand_where_their_rows_are_on_the_device_and_none_ends() -> None:
    engine = tight()
    assert not engine.is_at_hand(of(b"a"))
    engine.step(of(b"a", b"b"))
    assert engine.is_at_hand(of(b"a", b"b", b"a"))
    assert not engine.is_at_hand(of(b"a", b"c"))
    assert not engine.is_at_hand(ending(of(b"a"), (1, b"b")))
    engine.step(of(b"c", b"d", first=2))
    assert not engine.is_at_hand(of(b"a")), "it was parked"
