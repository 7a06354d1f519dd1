"""Which streams are held, asked for in slices between steps; and how their rows lie, before there is an engine."""

import asyncio
import dataclasses

import numpy as np
import pytest

from streamrnn.engine.engine import Engine
from streamrnn.engine.listing import held_streams
from streamrnn.engine.rows.columns import layout_of
from streamrnn.engine.thread import EngineThread
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.ticks import TickBatch

MANY = 100_000


def make_engine(max_streams: int, **options: str) -> Engine:
    spec = ModelSpec(name="toy", features=("x",), targets=("x",), channels=(Channel("x"),), hidden=2, **options)
    return Engine(Model(spec), max_streams=max_streams, device="cpu", executor="blocks")


def batch(streams: list[bytes], partition: list[int], offset: int = 0) -> TickBatch:
    offsets = np.arange(offset, offset + len(streams))
    values = np.ones((len(streams), 1), np.float32)
    return TickBatch(np.array(partition, np.int32), offsets, offsets, offsets, streams, values, offsets)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_layout_is_known_before_the_engine(precision: str) -> None:
    engine = make_engine(1, precision=precision)
    assert layout_of(engine.model) == engine.layout
    assert layout_of(engine.model).text() == engine.layout.text()
    rows = engine.capture(0, True).take(1)
    assert rows is None
    engine.step(batch([b"a"], [0]), warm=True)
    kept = engine.capture(0, True).take(1)
    assert kept is not None
    engine.layout.check(kept)
    assert engine.layout.numbers(kept, "last_offset").tolist() == [0]


async def test_streams_come_by_partition_in_the_order_of_their_coming_parked_or_not() -> None:
    engine = make_engine(2)
    engine.step(batch([b"c", b"a", b"x", b"b", b"a"], [1, 1, 0, 1, 1]), warm=True)
    assert (engine.resident, engine.parked) == (3, 1)
    with EngineThread(engine) as thread:
        for most in (1, 2, 100):
            found = await held_streams(thread, 9, most=most)
            assert [tuple(one) for one in found] == [(0, b"x", 1), (1, b"c", 1), (1, b"a", 2), (1, b"b", 1)]
            assert await held_streams(thread, 2, most=most) == found[:2]
            assert await held_streams(thread, 1, b"b".__eq__, most=most) == found[3:]
            assert await held_streams(thread, 9, lambda stream: stream in (b"x", b"b"), most=most) == found[::3]
            assert await held_streams(thread, 9, b"nobody".__eq__, most=most) == []


async def test_a_search_among_many_streams_lets_steps_pass() -> None:
    engine, looked, before = make_engine(MANY), list[int](), list[int]()
    names = [b"%06d" % n for n in range(MANY)]
    engine.step(batch(names, [0] * MANY), warm=True)

    def is_asked(stream: bytes) -> bool:
        looked.append(1)
        return stream == names[-1]

    def note() -> None:
        before.append(len(looked))

    with EngineThread(engine) as thread:
        search = asyncio.create_task(held_streams(thread, 5, is_asked, most=1000))
        while not search.done():
            await thread.call(note)
        assert [tuple(one) for one in await search] == [(0, names[-1], 1)]
    assert len(looked) == MANY
    assert len(before) > 50, "other calls ran between slices"
    assert max(np.diff([0, *before])) <= 2000, "none waited for more than a slice or two"


async def test_a_search_goes_on_while_streams_come_end_and_are_parked() -> None:
    engine = make_engine(3)
    names = [b"%d" % n for n in range(9)]
    engine.step(batch(names, [0] * 9), warm=True)
    with EngineThread(engine) as thread:
        walk = await thread.call(engine.walk, 100)
        await thread.call(walk.go_on, 4)
        await thread.call(engine.step, batch([b"new", b"0"], [0, 0], offset=9), warm=True)
        while await thread.call(walk.go_on, 4):
            pass
        assert [one.stream for one in walk.found] == names
        walk = await thread.call(engine.walk, 100)
        await thread.call(walk.go_on, 4)
        await thread.call(engine.drop, 0)
        while await thread.call(walk.go_on, 4):
            pass
        assert [one.stream for one in walk.found] == names[:4], "those that have left are not told"
    assert dataclasses.is_dataclass(engine.layout)
