"""Workers are killed under load, again and again: every tick is answered once, to the bit."""

import asyncio
import random
import time

import pytest

from tests.chaos.conftest import SceneFactory
from tests.chaos.feeding import load
from tests.chaos.scene import Scene
from tests.chaos.workers import Worker

pytestmark = pytest.mark.kafka


async def test_three_kills_under_load_lose_and_double_nothing(scene: SceneFactory) -> None:
    """Fault 1."""
    s = await scene(partitions=2)
    async with load(s.feed, rate=800):
        for least in (500, 20, 1000):
            worker = await s.start()
            await worker.until_total("streamrnn_predictions_total", least)
            await worker.kill()
        last = await s.start()
    await s.until_drained()
    await s.check()
    await s.check_state(last)


async def start_somehow(s: Scene, dice: random.Random) -> Worker:
    """A worker whose batches and commits are of a size of its own."""
    records, interval_ms = dice.choice((1, 13, 200, 4096)), dice.choice((0, 20, 100, 700))
    flags = (f"--input.max_poll_records={records}", f"--delivery.commit_interval_ms={interval_ms}")
    return await s.start(*flags, ready=False)


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
async def test_kills_in_a_loop_for_minutes_lose_nothing(scene: SceneFactory, guarantee: str) -> None:
    """Faults 1 and 13: two of three workers at a time, batches and commits of any size."""
    s, dice = await scene(partitions=4, streams=100, delivery={"guarantee": guarantee}), random.Random(1)
    end = time.monotonic() + 240
    async with load(s.feed, rate=600):
        running = [await start_somehow(s, dice) for _ in range(2)]
        while time.monotonic() < end:
            await asyncio.sleep(dice.uniform(0.5, 8.0))
            await running.pop(dice.randrange(2)).kill()
            running.append(await start_somehow(s, dice))
        for worker in running:
            await worker.until_ready()
    await s.until_drained(120)
    await s.check()
    await s.check_state(*running)
