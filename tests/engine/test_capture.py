"""Captures, loading and the cold tier: what they promise beyond bits (test_laws.py)."""

import dataclasses

import numpy as np
import pytest

from streamrnn.engine.engine import Engine
from streamrnn.errors import CaptureVoid, EngineError
from streamrnn.ticks import StreamRows

from .driven import Shelf, spoil_what_is_freed
from .test_engine import cut, make_engine, make_model, ticks
from .test_undo import held

MODEL = make_model()


def all_of(capture, count=3):
    rows = {}
    while (taken := capture.take(count)) is not None:
        assert not rows.keys() & set(taken.streams)
        rows |= {s: (f.tobytes(), i.tobytes()) for s, f, i in zip(*taken, strict=True)}
    return rows


def state(engine: Engine, partition: int = 0):
    return {stream: row for (p, stream), row in held(engine).items() if p == partition}


def tight(max_streams=3, max_parked=4, **more) -> Engine:
    engine = make_engine(MODEL, "compiled", max_streams=max_streams, max_parked=max_parked, **more)
    spoil_what_is_freed(engine)
    return engine


def rows_of(engine: Engine) -> StreamRows:
    """A whole partition in one."""
    capture, parts = engine.capture(0, True), []
    while (rows := capture.take(99)) is not None:
        parts.append(rows)
    streams = [stream for part in parts for stream in part.streams]
    _, floats, integers = zip(*parts, strict=True)
    return StreamRows(streams, np.concatenate(floats), np.concatenate(integers))


def test_a_capture_is_the_state_when_it_began_whatever_is_stepped_parked_and_forgotten_meanwhile():
    batch, engine = ticks(300, 12), tight()
    engine.step(cut(batch, 0, 100))
    before = state(engine)
    capture = engine.capture(0, True)
    assert capture.rows == len(before) == 7
    first = capture.take(2)
    assert first is not None
    for at in range(100, 300, 50):
        engine.step(cut(batch, at, at + 50))
        engine.settle(1)
    assert engine.forgotten_total > 20
    assert all_of(capture) | {s: (f.tobytes(), i.tobytes()) for s, f, i in zip(*first, strict=True)} == before


def test_the_next_capture_has_just_what_changed_since_the_last_confirmed_one():
    engine = tight(9)
    engine.step(ticks(40, 6))
    capture = engine.capture(0, True)
    all_of(capture)
    later = dataclasses.replace(ticks(2, 1), streams=[b"s1", b"s4"], offset=np.array([40, 41]))
    engine.step(later)
    assert capture.confirm()
    assert all_of(engine.capture(0, False)).keys() == {b"s1", b"s4"}
    assert all_of(engine.capture(0, True)) == state(engine)


def test_what_a_failed_or_overtaken_capture_had_is_in_the_next_one_too():
    engine = tight(9)
    engine.step(ticks(40, 6))
    engine.capture(0, True).fail()
    second = engine.capture(0, False)
    assert second.rows == 6
    third = engine.capture(0, False)
    assert (second.is_void, third.rows) == (True, 6)
    with pytest.raises(CaptureVoid, match="partition 0"):
        second.take(1)
    second.fail()
    assert (all_of(third) == state(engine), third.confirm()) == (True, True)
    assert engine.capture(0, False).rows == 0


@pytest.mark.parametrize("how", ["undo", "drop", "load"])
def test_a_capture_is_void_once_its_rows_are_undone_dropped_or_loaded(how):
    batch, engine = ticks(60, 6), tight(9)
    engine.step(cut(batch, 0, 40))
    rows = engine.capture(0, True).take(99)
    capture = engine.capture(0, True)
    other = dataclasses.replace(batch, partition=batch.partition + 1)
    engine.step(other)
    unmoved = engine.capture(1, True)
    if how == "undo":
        engine.settle(2)
        engine.step(cut(batch, 40, 60))
        engine.undo()
    elif how == "drop":
        engine.drop(0)
    else:
        engine.settle(2)
        engine.load(0, rows)
    with pytest.raises(CaptureVoid):
        capture.take(1)
    assert (capture.confirm(), unmoved.is_void, all_of(unmoved) == state(engine, 1)) == (False, False, True)


def test_a_whole_capture_that_was_not_confirmed_before_an_undo_is_not_afterwards():
    batch, engine = ticks(60, 6), tight(9)
    engine.step(cut(batch, 0, 40))
    capture = engine.capture(0, True)
    all_of(capture)
    engine.undo()
    assert not capture.confirm()


def test_a_parked_row_whose_later_state_was_confirmed_and_undone_counts_as_changed():
    engine = tight(1, 3)
    engine.step(streams_of(2, 0, 0))
    engine.settle(1)
    all_of(first := engine.capture(0, True))
    assert first.confirm()
    engine.step(streams_of(1, 0, 2))
    all_of(second := engine.capture(0, False))
    assert second.confirm()
    engine.undo()
    assert all_of(engine.capture(0, False)).keys() >= {b"s0"}


@pytest.mark.parametrize("executor", ["compiled", "blocks"])
def test_loaded_rows_go_on_to_the_bit_and_say_restored_once(executor):
    batch, engine = ticks(80, 6), make_engine(MODEL, executor)
    engine.step(cut(batch, 0, 50))
    rows = engine.capture(0, True).take(99)
    assert rows is not None
    other = make_engine(MODEL, executor)
    for at in range(0, 6, 4):
        other.load(0, rows.take(slice(at, at + 4)))
    assert held(other) == held(engine)
    assert other.capture(0, False).rows == 0
    expected, said = engine.step(cut(batch, 50, 80)), other.step(cut(batch, 50, 80))
    assert said.values.tobytes() == expected.values.tobytes()
    seen: set[bytes] = set()
    for stream, origin in zip(said.ticks.streams, said.origin.tolist(), strict=True):
        assert origin == (1 if stream in seen else 2)
        seen.add(stream)


def test_a_stream_that_was_loaded_to_be_parked_says_restored_when_it_is_called_back():
    engine = tight(9, 9)
    engine.step(streams_of(4, 0, 0))
    other = tight(1, 9)
    other.load(0, rows_of(engine))
    assert (other.resident, other.parked) == (1, 3)
    assert other.step(streams_of(4, 0, 4)).origin.tolist() == [2] * 4
    assert other.step(streams_of(4, 0, 8)).origin.tolist() == [1] * 4


def test_a_refused_tick_does_not_use_up_the_word_restored():
    batch, engine = ticks(4, 1, missing=0.0), make_engine(MODEL, "compiled")
    engine.step(cut(batch, 0, 1))
    rows = engine.capture(0, True).take(1)
    other = make_engine(MODEL, "compiled")
    other.load(0, rows)
    poison = batch.values.copy()
    poison[1] = np.inf
    said = other.step(cut(dataclasses.replace(batch, values=poison), 1, 4))
    assert said.origin[said.ok].tolist() == [2, 1]


def test_loading_overwrites_streams_that_are_there_and_loads_a_newer_row_of_one_over_an_older():
    batch, engine = ticks(80, 6), tight(2, 9)
    engine.step(cut(batch, 0, 40))
    older = rows_of(engine)
    engine.step(cut(batch, 40, 80))
    newer = rows_of(engine)
    other = tight(2, 9)
    for rows in (older, newer, newer):
        other.load(0, rows)
    assert held(other) == held(engine)
    assert (other.resident, other.parked) == (2, 4)


def test_rows_of_another_layout_or_of_a_stream_twice_are_refused():
    engine = tight()
    engine.step(ticks(5, 1))
    rows = engine.capture(0, True).take(9)
    engine.drop(0)
    with pytest.raises(EngineError, match="shapes"):
        engine.load(0, StreamRows(rows.streams, rows.floats[:, 1:], rows.integers))
    with pytest.raises(EngineError, match="two rows"):
        engine.load(0, StreamRows(rows.streams * 2, np.repeat(rows.floats, 2, 0), np.repeat(rows.integers, 2, 0)))


def test_columns_tell_layouts_apart_and_not_weights():
    import msgspec

    from .test_engine import SPEC

    same, other = make_model(), make_model(msgspec.structs.replace(SPEC, hidden=25))
    texts = [make_engine(model, "compiled").layout.text() for model in (MODEL, same, other)]
    assert texts[0] == texts[1] != texts[2]
    assert '["steps","int64",' in texts[0]


def streams_of(count, start, offset):
    batch = ticks(count, 1, seed=start)
    names = [b"s%d" % n for n in range(start, start + count)]
    return dataclasses.replace(batch, streams=names, offset=np.arange(count) + offset)


def test_with_a_cold_tier_nothing_is_forgotten_and_memory_shrinks_only_to_what_it_holds():
    shelf = Shelf()
    engine = tight(2, 1, cold=shelf)
    fresh = engine._slab.fresh
    shelf.widths = (fresh.floats.shape[1], fresh.integers.shape[1])
    engine.step(streams_of(6, 0, 0))
    engine.settle(1)
    assert (engine.resident, engine.parked) == (2, 4)
    capture = engine.capture(0, True)
    while (rows := capture.take(9)) is not None:
        shelf.add(0, rows)
    assert capture.confirm()
    before = state(engine)
    del shelf.rows[0][b"s0"]
    engine.step(streams_of(1, 9, 6))
    assert set(state(engine)) >= {b"s0", b"s4", b"s5", b"s9"}
    assert (engine.resident + engine.parked, engine.forgotten_total) == (4, 0)
    assert b"s1" not in state(engine)
    assert all_of(engine.capture(0, False)).keys() == {b"s0", b"s9"}
    said = engine.step(streams_of(1, 1, 7))
    assert (said.steps.tolist(), said.origin.tolist(), engine.brought_back_total) == ([2], [2], 1)
    engine.undo()
    assert state(engine) == before


def test_the_cold_tier_is_asked_once_a_batch_for_new_streams_alone_and_a_row_from_the_future_is_not_taken():
    shelf, asked = Shelf(), []
    engine = tight(9, 1, cold=shelf)
    fresh = engine._slab.fresh
    shelf.widths = (fresh.floats.shape[1], fresh.integers.shape[1])
    find, shelf.find = shelf.find, lambda p, streams: (asked.append((p, sorted(streams))), find(p, streams))[1]
    batch = ticks(40, 4, missing=0.0)
    first = engine.step(batch)
    shelf.add(0, engine.capture(0, True).take(9))
    engine.undo()
    again = engine.step(batch)
    assert again.values.tobytes() == first.values.tobytes()
    assert (again.steps == first.steps).all()
    engine.step(dataclasses.replace(batch, offset=batch.offset + 40))
    assert asked == [(0, [b"s0", b"s1", b"s2", b"s3"])] * 2


def test_a_cold_tier_that_does_not_answer_leaves_everything_as_it_was():
    class Away(Shelf):
        def find(self, partition, streams):
            if partition == 1:
                raise ConnectionError("away")
            return super().find(partition, streams)

    shelf = Away()
    engine = tight(9, 1, cold=shelf)
    fresh = engine._slab.fresh
    shelf.widths = (fresh.floats.shape[1], fresh.integers.shape[1])
    batch = ticks(20, 4)
    half = dataclasses.replace(batch, partition=np.repeat(np.array([0, 1], np.int32), 10))
    for warm in (True, False):
        with pytest.raises(ConnectionError):
            engine.step(half, warm=warm)
        assert held(engine) == {}
    assert engine.undo() == set()


def test_an_idle_stream_is_parked_by_event_time_and_comes_back_as_it_was():
    engine, twin = tight(9, 9, idle_after_ms=3 * 60_000), tight(9, 9)
    batch = ticks(12, 1, missing=0.0)
    names = [b"old", b"old", *[b"busy"] * 9, b"old"]
    batch = dataclasses.replace(batch, streams=names)
    expected = twin.step(batch)
    said, evicted = [], []
    for at in range(12):
        said.append(engine.step(cut(batch, at, at + 1)))
        evicted.append(engine.evicted_total)
    assert np.concatenate([one.values for one in said]).tobytes() == expected.values.tobytes()
    assert evicted == [0] * 5 + [1] * 7
    assert (engine.brought_back_total, engine.parked, said[-1].origin.tolist()) == (1, 0, [1])
