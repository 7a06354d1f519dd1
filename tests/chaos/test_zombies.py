"""A worker that was taken for dead wakes up: it is fenced, changes nothing, and joins again."""

import asyncio

import pytest

from tests.chaos.conftest import SceneFactory
from tests.chaos.faulty import ON_THE_PATH
from tests.chaos.feeding import load
from tests.chaos.scene import Scene
from tests.chaos.workers import Worker

pytestmark = pytest.mark.kafka


async def taken_over(s: Scene) -> Worker:
    """A second worker, once it serves what the first one had."""
    heir = await s.start()
    await heir.until_total("streamrnn_predictions_total", 200)
    return heir


async def checked(s: Scene, zombie: Worker, heir: Worker) -> None:
    """The zombie is a member again, and nothing it did when it woke shows."""
    await zombie.until_ready()
    assert await zombie.total("streamrnn_rebalances_total") >= 2
    await s.until_drained()
    await s.check()
    await s.check_state(zombie, heir)


async def test_an_owner_frozen_with_its_commit_on_its_lips_is_fenced(scene: SceneFactory) -> None:
    """Fault 2: everything of the transaction is sent but its end, when the process stops past its session."""
    s = await scene(partitions=2)
    async with load(s.feed, rate=500):
        zombie = await s.start(fault="freeze", at="commit", nth=5, ready=False)
        await zombie.frozen()
        heir = await taken_over(s)
        zombie.thaw()
        await zombie.until_total("streamrnn_rebalances_total", 2)
    await checked(s, zombie, heir)


async def test_a_snapshot_that_a_zombie_finishes_does_no_harm(scene: SceneFactory) -> None:
    """Fault 3: frozen before it writes its manifest, which it does after the partition has moved on."""
    s = await scene(partitions=1, snapshots={"interval_s": 0.3})
    async with load(s.feed, rate=500):
        zombie = await s.start(fault="freeze", at="manifest next", nth=2, ready=False)
        await zombie.frozen()
        heir = await taken_over(s)
        zombie.thaw()
        await zombie.until_total("streamrnn_rebalances_total", 2)
        await heir.kill()
        await zombie.kill()
        last = await s.start()
    await s.until_drained()
    await s.check()
    await s.check_state(last)


@pytest.mark.chaos
@pytest.mark.parametrize("point", [point for point in ON_THE_PATH if point != "commit"])
async def test_an_owner_may_be_frozen_anywhere(scene: SceneFactory, point: str) -> None:
    """Fault 2, each point."""
    s = await scene(partitions=2)
    async with load(s.feed, rate=500):
        zombie = await s.start(fault="freeze", at=point, nth=5, ready=False)
        await zombie.frozen()
        heir = await taken_over(s)
        zombie.thaw()
        await zombie.until_total("streamrnn_rebalances_total", 2)
    await checked(s, zombie, heir)


@pytest.mark.chaos
@pytest.mark.timeout(300)
async def test_two_workers_that_are_frozen_in_turn_stay_exact(scene: SceneFactory) -> None:
    """Fault 2, again and again, for longer and shorter than the session."""
    s = await scene(partitions=4)
    async with load(s.feed, rate=500):
        workers = [await s.start(), await s.start()]
        for turn in range(16):
            frozen = workers[turn % 2]
            frozen.freeze()
            await asyncio.sleep((0.5, 3.0, 5.0)[turn % 3])
            frozen.thaw()
            await asyncio.sleep(1.5)
        for worker in workers:
            await worker.until_ready()
    await s.until_drained()
    await s.check()
    await s.check_state(*workers)
