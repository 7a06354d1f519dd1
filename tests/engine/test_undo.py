"""Steps taken back: what undo promises beyond bits (test_laws.py), and what it refuses."""

import dataclasses

import numpy as np
import pytest

from streamrnn.engine.engine import Engine
from streamrnn.errors import EngineError

from .driven import spoil_what_is_freed
from .places import all_places
from .test_engine import cut, make_engine, make_model, ticks

MODEL = make_model()


def held(engine: Engine) -> dict[tuple[int, bytes], tuple[bytes, bytes]]:
    """Every row, by partition and stream, wherever it is."""
    rows = {}
    for partition, stream, place in all_places(engine._table):
        ((slots, _, chosen),) = engine._table.memory.split(np.array([place]))
        assert slots.owner[chosen[0]] == partition
        [name], floats, integers = engine._parking.read(slots, chosen)
        assert name == stream
        rows[partition, stream] = floats.tobytes(), integers.tobytes()
    assert engine.resident + engine.parked == len(rows)
    return rows


def tight(executor: str = "compiled") -> Engine:
    engine = make_engine(MODEL, executor, max_streams=3, max_parked=2)
    spoil_what_is_freed(engine)
    return engine


@pytest.mark.parametrize("executor", ["compiled", "blocks"])
def test_undo_restores_every_row_place_and_origin_as_they_were_at_the_last_settled_step(executor):
    batch = ticks(200, 9, missing=0.0)
    engine = tight(executor)
    engine.step(cut(batch, 0, 60), warm=True)
    engine.step(cut(batch, 60, 62))
    engine.settle(1)
    before = held(engine)
    places = {stream: place for _, stream, place in all_places(engine._table)}
    first = [engine.step(cut(batch, at, at + 20)) for at in range(62, 200, 20)]
    assert held(engine) != before
    assert engine.undo() == {0}
    assert held(engine) == before
    assert {stream: place for _, stream, place in all_places(engine._table)} == places
    again = engine.step(cut(batch, 62, 200))
    assert again.values.tobytes() == np.concatenate([said.values for said in first]).tobytes()
    assert again.origin.tolist() == np.concatenate([said.origin for said in first]).tolist()


def test_settled_steps_stay_and_only_later_ones_are_undone():
    batch = ticks(90, 4)
    engine, twin = tight(), tight()
    for at in range(0, 90, 30):
        engine.step(cut(batch, at, at + 30))
    engine.settle(2)
    engine.undo()
    twin.step(cut(batch, 0, 60))
    assert held(engine) == held(twin)
    assert engine.undo() == set()


def test_undo_names_the_partitions_that_were_stepped_since_and_leaves_the_others_alone():
    a, b = ticks(20, 3), ticks(20, 3, seed=1)
    other = dataclasses.replace(b, partition=b.partition + 1)
    engine = tight()
    engine.step(a)
    engine.step(cut(other, 0, 10))
    engine.settle(1)
    before = {key: row for key, row in held(engine).items() if key[0] == 0}
    engine.step(cut(other, 10, 20))
    assert engine.undo() == {1}
    assert held(engine) == before


def test_more_steps_cannot_be_settled_than_were_made_and_an_empty_one_counts():
    engine = tight()
    engine.step(ticks(0, 1))
    engine.step(ticks(5, 1))
    with pytest.raises(EngineError, match="3 steps are to be settled, 2 could be undone"):
        engine.settle(3)
    engine.settle(2)


def test_a_partition_with_steps_to_undo_is_neither_rebuilt_nor_loaded_but_can_be_dropped():
    batch = ticks(30, 4)
    engine = tight()
    engine.step(cut(batch, 0, 10))
    capture = engine.capture(0, True)
    rows = capture.take(9)
    assert rows is not None
    with pytest.raises(EngineError, match=r"\[0\] cannot be rebuilt"):
        engine.step(cut(batch, 10, 20), warm=True)
    with pytest.raises(EngineError, match=r"\[0\] cannot be loaded"):
        engine.load(0, rows)
    engine.drop(0)
    engine.load(0, rows)
    engine.step(cut(batch, 10, 20), warm=True)
    before = held(engine)
    assert engine.undo() == set()
    assert held(engine) == before


def test_a_step_that_fails_half_way_can_be_undone(monkeypatch):
    batch = ticks(60, 9)
    engine = tight()
    engine.step(cut(batch, 0, 30))
    engine.settle(1)
    before = held(engine)

    def fail(*_):
        raise RuntimeError("the device is gone")

    with monkeypatch.context() as patched:
        patched.setattr(engine._executor, "run", fail)
        with pytest.raises(RuntimeError):
            engine.step(cut(batch, 30, 60))
    assert engine.undo() == {0}
    assert held(engine) == before


def test_a_stream_that_left_for_others_comes_back_to_its_row_by_undoing():
    engine = make_engine(MODEL, "compiled", max_streams=1)
    batch = ticks(2, 1)
    engine.step(cut(batch, 0, 1))
    engine.settle(1)
    before = all_places(engine._table), held(engine)
    engine.step(dataclasses.replace(batch, offset=batch.offset + 1, streams=[b"x", b"y"]))
    assert (all_places(engine._table), held(engine)) != before
    engine.undo()
    assert (all_places(engine._table), held(engine)) == before


def test_memory_stays_bounded_while_partitions_are_dropped_and_loaded_between_steps_that_are_undone():
    batch, engine = ticks(12, 4), tight()
    other = dataclasses.replace(batch, partition=batch.partition + 1)
    engine.step(other, warm=True)
    engine.step(batch, warm=True)
    rows = engine.capture(1, True).take(9)
    sizes = []
    for _ in range(20):
        engine.step(batch)
        engine.drop(1)
        engine.load(1, rows)
        engine.undo()
        sizes.append((engine._table.memory.device.size, engine._table.memory.host.size))
    assert sizes[-1] == sizes[2]


def test_memory_stays_bounded_while_every_batch_brings_new_streams_and_all_is_settled():
    engine = tight()
    for number in range(60):
        batch = ticks(10, 10, seed=number)
        streams = [b"%d-%d" % (number, n) for n in range(10)]
        offset = np.arange(10) + 10 * number
        engine.step(dataclasses.replace(batch, offset=offset, streams=streams))
        if number % 3 == 2:
            engine.settle(3)
    memory = engine._table.memory
    assert (engine.resident, engine.parked) == (3, 2)
    assert memory.device.size <= 1 + 3 + 4 * 10
    assert memory.host.size <= 2 + 4 * 10
