"""Few ticks of streams that are there are stepped on the event loop; all others are not."""

import asyncio
import math
import threading

import pytest

from streamrnn.worker.small_batch import SmallBatch

from .conftest import MakeWorld, World, alone, tick


def test_a_batch_is_small_until_one_of_its_size_or_less_has_taken_long() -> None:
    small = SmallBatch(1.0)
    assert not small.has(0), "nothing is known yet"
    small.note(8, 0.5)
    small.note(2, 0.5)
    assert small.has(8)
    assert not small.has(9)
    small.note(20, 5.0)
    assert small.has(8), "more ticks take longer"
    small.note(6, 5.0)
    assert small.has(3)
    assert not small.has(4)


def test_nothing_is_small_where_no_time_is_given() -> None:
    small = SmallBatch(0.0)
    for seconds in (0.0, 0.1):
        small.note(0, seconds)
        small.note(1, seconds)
    assert not small.has(0)


async def one_by_one(world: World, streams: list[bytes]) -> list[str]:
    """The thread that stepped each tick, where one comes when the one before is committed."""
    names = list[str]()
    world.engine.on_step = lambda warm: names.append(threading.current_thread().name)
    async with world.serving() as running:
        for offset, stream in enumerate(streams):
            world.source.ticks[0].append(tick(0, offset, 1.0 + offset, stream))
            await world.until(lambda: world.source.offsets.get(0) == offset + 1 or running.done())  # noqa: B023
    return names


@pytest.mark.parametrize(("at_once_s", "is_here"), [(0.0, False), (math.inf, True)])
async def test_the_event_loop_steps_ticks_of_streams_that_are_there(
    world: MakeWorld, at_once_s: float, is_here: bool
) -> None:
    w, streams = world({0: []}, at_once_s=at_once_s), [b"a", b"a", b"b", *([b"a", b"b"] * 10)]
    names = await one_by_one(w, streams)
    here = [name == threading.current_thread().name for name in names]
    # After a commit the engine's thread forgets how to undo: a step that comes meanwhile waits for it there.
    assert not any(here[:3:2]), "a new stream's row may have to be read from a file"
    assert (True in here) is is_here
    assert dict(w.predictions()) == alone(w.source.ticks[0])


async def test_others_have_their_turn_between_small_batches(world: MakeWorld) -> None:
    """A backlog taken one tick at a time keeps no heartbeat from being sent."""
    w = world({0: [tick(0, n, 1.0 + n % 3) for n in range(200)]}, poll=1, at_once_s=math.inf)
    turns = 0
    async with w.serving() as running:
        while w.source.offsets.get(0) != 200 and not running.done():
            turns += 1
            await asyncio.sleep(0)
    assert turns >= 200
