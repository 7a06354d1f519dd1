"""Slow recoveries, failing ones, a stalled device, more streams than fit, a grown topic, an end under load."""

import asyncio
import time
from signal import SIGTERM

import numpy as np
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from tests.chaos.conftest import SceneFactory
from tests.chaos.feeding import load
from tests.chaos.scene import Scene
from tests.chaos.workers import Worker, until

pytestmark = pytest.mark.kafka
MEGABYTE = 2**20


@pytest.mark.chaos
async def test_a_recovery_of_five_sessions_keeps_its_place_in_the_group(scene: SceneFactory) -> None:
    """Fault 7: alive, not ready, still a member, exact."""
    kafka = {"session_timeout_ms": 1000, "heartbeat_interval_ms": 200}
    s = await scene(partitions=1, kafka=kafka, snapshots={"url": None})
    await s.cycle(1500)
    await s.feed.send(500)
    slow = await s.start(fault="stall", at="replayed", seconds=1.0, times=5, ready=False)
    await slow.until_log("http on")
    began, answers = time.monotonic(), set()
    while (ready := await slow.get("/readyz"))[0] != 200:
        answers.add(ready)
        assert await slow.get("/livez") == (200, "ok\n")
        await asyncio.sleep(0.1)
    assert time.monotonic() - began > 5
    assert (503, "partitions not live: 0 is recovering\n") in answers
    assert await slow.total("streamrnn_rebalances_total") == 1
    await s.until_drained()
    await s.check()
    await s.check_state(slow)


async def test_a_partition_whose_recovery_fails_stays_gated_and_others_go_on(scene: SceneFactory) -> None:
    """Fault 8: tries are counted."""
    s = await scene(partitions=2, snapshots={"url": None})
    await s.cycle(1000)
    async with load(s.feed, rate=400):
        worker = await s.start(fault="unreadable", partition=1, times=3, ready=False)
        await worker.until_log("partition 1 stays gated, try 2")
        await worker.until_total("streamrnn_predictions_total", 100)
        assert (await worker.status())["partitions"]["0"] == "live"
        assert (await worker.get("/readyz"))[0] == 503
        await worker.until_ready()
    assert await worker.total("streamrnn_recovery_failures_total") == 3
    await s.until_drained()
    await s.check()
    await s.check_state(worker)


async def test_a_stalled_device_holds_up_neither_the_event_loop_nor_the_group(scene: SceneFactory) -> None:
    """Fault 21: two seconds, a whole session."""
    s = await scene(partitions=2)
    async with load(s.feed, rate=500):
        worker = await s.start(fault="stall", at="stepped", nth=20, seconds=2.5, ready=False)
        await worker.until_total("streamrnn_predictions_total", 10)
        slowest = lag_s = 0.0
        end = time.monotonic() + 4
        while time.monotonic() < end:
            asked = time.monotonic()
            assert await worker.get("/livez") == (200, "ok\n")
            slowest = max(slowest, time.monotonic() - asked)
            lag_s = max(lag_s, await worker.total("streamrnn_event_loop_lag_seconds"))
            await asyncio.sleep(0.02)
        assert lag_s < 0.1
        assert slowest < 1.0, "an answer takes a turn of both processes' loops"
        assert await worker.total("streamrnn_rebalances_total") == 1
    await s.until_drained()
    await s.check()


def crowd(s: Scene, streams: int, seed: int = 3) -> None:
    """Of many streams a few are hot and most are seen now and then."""
    drawn = (np.random.default_rng(seed).pareto(0.6, 1_000_003) * 50).astype(np.int64) % streams
    s.feed.stream_of = lambda number: int(drawn[number % len(drawn)])  # type: ignore[method-assign]


async def more_than_fit(s: Scene, streams: int, ticks: int) -> Worker:
    """A worker dies with more streams than it may hold, and its heir goes on."""
    crowd(s, streams)
    await s.feed.send(ticks // 2)
    worker = await s.start()
    async with load(s.feed, rate=1000):
        await worker.until_total("streamrnn_predictions_total", ticks // 3)
        await worker.kill()
        worker = await s.start()
    await s.feed.send(ticks // 2)
    await s.until_drained(120)
    await s.check()
    return worker


async def test_more_streams_than_fit_are_forgotten_in_the_order_of_their_last_ticks(scene: SceneFactory) -> None:
    """Fault 18, small: without snapshots the least recently used state goes, in each life of a worker alike."""
    s = await scene(partitions=2, engine={"max_streams": 100, "max_parked": 300}, snapshots={"url": None})
    worker = await more_than_fit(s, 3000, 12_000)
    assert await worker.total("streamrnn_streams_forgotten_total") > 100
    assert await worker.total("streamrnn_streams") <= 200
    assert await worker.total("streamrnn_streams_parked") <= 600


@pytest.mark.chaos
async def test_more_streams_than_fit_are_kept_in_snapshots(scene: SceneFactory) -> None:
    """Fault 18, small: with snapshots nothing is forgotten, however little fits into memory."""
    s = await scene(partitions=2, engine={"max_streams": 100, "max_parked": 300}, snapshots={"interval_s": 0.5})
    worker = await more_than_fit(s, 3000, 12_000)
    assert await worker.total("streamrnn_streams") <= 200


@pytest.mark.chaos
@pytest.mark.timeout(600)
async def test_ten_times_more_streams_than_fit_stay_within_memory(scene: SceneFactory) -> None:
    """Fault 18: 400,000 streams against a cap of 40,000."""
    s = await scene(
        partitions=2,
        engine={"max_streams": 5_000, "max_parked": 15_000},
        snapshots={"url": None},
        input={"max_poll_records": 4096},
    )
    crowd(s, 400_000)
    await s.feed.send(200_000)
    worker = await s.start()
    await s.until_drained(120)
    half = worker.resident_bytes()
    s.feed.stream_of = lambda number: number % 400_000  # type: ignore[method-assign]
    await s.feed.send(800_000)
    await s.until_drained(240)
    assert worker.resident_bytes() - half < 100 * MEGABYTE
    await s.check()


async def test_a_topic_that_grows_ends_the_service_with_a_message(scene: SceneFactory) -> None:
    """Fault 12: what was answered until then is exact."""
    s = await scene(partitions=2)
    await s.feed.send(500)
    worker = await s.start("--kafka.metadata_max_age_ms", "200")
    await worker.until_total("streamrnn_predictions_total", 500)
    admin = AIOKafkaAdminClient(bootstrap_servers=s.broker.direct)
    await admin.start()
    await admin.create_partitions({s.settings.input.topic: NewPartitions(3)})
    await admin.close()
    assert await worker.ended() == 5, worker.log()
    assert f"{s.settings.input.topic} has grown from 2 to 3 partitions" in worker.last_line()
    await s.check(ticks=await s.ticks())


async def test_sigterm_under_load_ends_in_time_and_the_next_start_replays_nothing(scene: SceneFactory) -> None:
    """Fault 20."""
    s = await scene(partitions=2)
    async with load(s.feed, rate=800):
        worker = await s.start()
        await worker.until_total("streamrnn_predictions_total", 1500)
        asked = time.monotonic()
        assert await worker.stop(SIGTERM) == 0, worker.log()
        assert time.monotonic() - asked < 10
        began_at = await s.committed()
        heir = await s.start()
        found = [line for line in heir.log().splitlines() if "restored:" in line]
        assert len(found) == 2
        for partition, offset in began_at.items():
            said = [line for line in found if f"partition {partition} restored" in line]
            assert f"and 0 records up to {offset}" in said[0]
    await s.until_drained()
    await s.check()
    await s.check_state(heir)


@pytest.mark.chaos
@pytest.mark.timeout(200)
async def test_an_hour_of_restarts_in_two_minutes_leaks_no_snapshot_file(scene: SceneFactory) -> None:
    """Faults 1 and 20: files stay few, however often a worker ends or is killed."""
    s = await scene(partitions=2, snapshots={"interval_s": 0.2})
    async with load(s.feed, rate=300):
        for turn in range(12):
            worker = await s.start()
            await worker.until_total("streamrnn_snapshots_total", 6)
            await (worker.kill() if turn % 3 else worker.stop(SIGTERM))
        last = await s.start()
        await last.until_total("streamrnn_snapshots_total", 6)

        async def is_tidy() -> bool:
            return sum(file.suffix == ".json" for file in s.folder.rglob("*") if "snapshots" in file.parts) <= 2 * 4

        await until(is_tidy, "old snapshots to go")
    await s.until_drained()
    await s.check()
    await s.check_state(last)
