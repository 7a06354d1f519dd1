"""Two workers of one name: the older ends with its own exit code, the newer goes on, and nothing is said twice."""

import asyncio
from signal import SIGTERM

import pytest

from streamrnn.errors import WorkerFenced
from tests.chaos.conftest import SceneFactory
from tests.chaos.feeding import load
from tests.chaos.scene import Scene
from tests.chaos.workers import Worker

pytestmark = pytest.mark.kafka
SHARED_NAME = {"kafka": {"group_instance_id": "worker-0"}}


async def ended_by_name(older: Worker, option: str) -> None:
    """The older worker ends, saying which option is shared, within some heartbeats."""
    async with asyncio.timeout(15):
        assert await older.ended() == WorkerFenced.exit_code, older.log()
    assert option in older.last_line()
    assert "Traceback" not in older.log()


async def one_name(s: Scene, rate: float, option: str) -> None:
    """A second worker of the first one's name begins while the first one works."""
    await s.feed.send(400)
    async with load(s.feed, rate):
        older = await s.start()
        await older.until_total("streamrnn_predictions_total", 400)
        newer = await s.start(ready=False)
        await newer.until_log("assigned partitions")
        await ended_by_name(older, option)
        await newer.until_ready()
        await s.feed.send(400)
        await newer.until_total("streamrnn_predictions_total", 400)
        assert await newer.total("streamrnn_rebalances_total") == 1, "nobody has come back for the name"
    await s.until_drained()
    await s.check()
    await s.check_state(newer)


@pytest.mark.parametrize("guarantee", ["exactly_once", pytest.param("at_least_once", marks=pytest.mark.chaos)])
async def test_of_two_workers_of_one_name_the_older_ends_under_load(scene: SceneFactory, guarantee: str) -> None:
    s = await scene(partitions=2, delivery={"guarantee": guarantee}, **SHARED_NAME)
    await one_name(s, 300, "kafka.group_instance_id ('worker-0')")


async def test_an_older_worker_without_ticks_learns_it_by_its_heartbeat(scene: SceneFactory) -> None:
    s = await scene(partitions=2, **SHARED_NAME)
    await one_name(s, 0.001, "kafka.group_instance_id ('worker-0')")


@pytest.mark.chaos
async def test_of_two_workers_of_one_transactional_id_the_older_ends(scene: SceneFactory) -> None:
    s = await scene(partitions=2, delivery={"transactional_id": "shared"})
    await one_name(s, 300, "delivery.transactional_id ('shared')")


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(1.0, marks=pytest.mark.chaos, id="within its session"),
        pytest.param(4.0, id="past its session and transaction"),
    ],
)
async def test_an_older_worker_that_wakes_up_ends_and_leaves_its_successor_alone(
    scene: SceneFactory, seconds: float
) -> None:
    """Frozen with everything of a transaction sent but its end, while a worker of its name takes over."""
    s = await scene(partitions=2, **SHARED_NAME)
    async with load(s.feed, rate=300):
        older = await s.start(fault="freeze", at="commit", nth=5, ready=False)
        await older.frozen()
        newer = await s.start()
        await newer.until_total("streamrnn_predictions_total", 200)
        await asyncio.sleep(seconds)
        older.thaw()
        await ended_by_name(older, "kafka.group_instance_id ('worker-0')")
        await asyncio.sleep(1)
        assert newer.is_running()
    await s.until_drained()
    await s.check()
    await s.check_state(newer)


async def test_a_worker_started_again_under_its_name_is_its_own_successor(scene: SceneFactory) -> None:
    """What names are for: after an end in order and after a crash it has its partitions back."""
    s = await scene(partitions=2, **SHARED_NAME)
    async with load(s.feed, rate=300):
        for how in ("in order", "killed"):
            worker = await s.start()
            await worker.until_total("streamrnn_predictions_total", 200)
            if how == "killed":
                await worker.kill()
            else:
                assert await worker.stop(SIGTERM) == 0, worker.log()
        last = await s.start()
        await last.until_total("streamrnn_predictions_total", 200)
    await s.until_drained()
    await s.check()
    await s.check_state(last)
