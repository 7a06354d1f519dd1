"""A worker dies at each point of a tick's path: its successor goes on to the bit."""

import pytest

from tests.chaos.conftest import SceneFactory
from tests.chaos.faulty import OF_RECOVERIES, OF_SNAPSHOTS, ON_THE_PATH, ON_THE_PLAIN_PATH
from tests.chaos.feeding import load

pytestmark = pytest.mark.kafka


async def test_a_worker_that_dies_around_each_step_of_a_commit_leaves_no_trace(scene: SceneFactory) -> None:
    """Fault 1, the points where a transaction may be open, sent or decided; the heir has its static membership,
    so that it takes over at once and ends the transaction itself."""
    s = await scene(partitions=2, kafka={"group_instance_id": "one"})
    async with load(s.feed, rate=500):
        for point in ("stepped", "offsets sent", "commit", "committed"):
            worker = await s.start(fault="die", at=point, nth=3, ready=False)
            await worker.killed()
        last = await s.start()
    await s.until_drained()
    await s.check()
    await s.check_state(last)


async def test_a_worker_that_dies_in_a_snapshot_and_its_heir_in_the_replay_leave_no_trace(
    scene: SceneFactory,
) -> None:
    """Fault 1, mid-snapshot and mid-replay."""
    s = await scene(partitions=2, snapshots={"interval_s": 0.3}, kafka={"group_instance_id": "one"})
    async with load(s.feed, rate=500):
        for point, nth in (("manifest next", 4), ("replayed", 1), ("part written", 2)):
            worker = await s.start(fault="die", at=point, nth=nth, ready=False)
            await worker.killed()
        last = await s.start()
    await s.until_drained()
    await s.check()
    await s.check_state(last)


@pytest.mark.chaos
@pytest.mark.parametrize("nth", [1, 2, 17])
@pytest.mark.parametrize("point", [*ON_THE_PATH, *OF_SNAPSHOTS])
async def test_a_worker_may_die_anywhere(scene: SceneFactory, point: str, nth: int) -> None:
    """Fault 1, each point, at its first, second and a later passing."""
    s = await scene(partitions=2, snapshots={"interval_s": 0.2})
    async with load(s.feed, rate=500):
        worker = await s.start(fault="die", at=point, nth=nth, ready=False)
        await worker.killed()
        last = await s.start()
    await s.until_drained()
    await s.check()
    await s.check_state(last)


@pytest.mark.chaos
@pytest.mark.parametrize("nth", [1, 2, 5])
@pytest.mark.parametrize(
    ("point", "snapshots"), [(p, s) for p in OF_RECOVERIES for s in (True, False) if s or p != "loaded"]
)
async def test_a_worker_may_die_while_it_recovers(
    scene: SceneFactory, point: str, nth: int, snapshots: bool
) -> None:
    """Fault 1, mid-replay: with rows of a snapshot in place, and from the beginning."""
    seldom = {"interval_s": 3600.0, "interval_records": 800}
    s = await scene(partitions=2, snapshots=seldom if snapshots else {"url": None}, input={"max_poll_records": 50})
    await s.feed.send(2000)
    worker = await s.start()
    await s.until_drained()
    if snapshots:
        await worker.until_total("streamrnn_snapshots_total", 2)
    await s.feed.send(600)
    await s.until_drained()
    await worker.kill()
    async with load(s.feed, rate=300):
        worker = await s.start(fault="die", at=point, nth=min(nth, 2) if point == "loaded" else nth, ready=False)
        await worker.killed()
        last = await s.start()
    await s.until_drained()
    await s.check()
    await s.check_state(last)


@pytest.mark.chaos
@pytest.mark.parametrize("point", ON_THE_PLAIN_PATH)
async def test_at_least_once_a_death_anywhere_repeats_ticks_and_loses_none(scene: SceneFactory, point: str) -> None:
    """Fault 1 without transactions: repeated predictions have the same source offset and the same bits."""
    s = await scene(partitions=2, delivery={"guarantee": "at_least_once"})
    async with load(s.feed, rate=500):
        worker = await s.start(fault="die", at=point, nth=5, ready=False)
        await worker.killed()
        last = await s.start()
    await s.until_drained()
    await s.check()
    await s.check_state(last)
