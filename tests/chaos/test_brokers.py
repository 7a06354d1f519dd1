"""Brokers die, end and come back under load: the worker lives, waits, and answers each tick once."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals

import pytest

from streamrnn.config import Settings
from streamrnn.kafka.admin import create_topic, prepare_topics
from tests.chaos.broker import Broker, three_brokers
from tests.chaos.conftest import SceneFactory
from tests.chaos.feeding import load
from tests.chaos.scene import make_scene
from tests.chaos.test_network import goes_on

pytestmark = pytest.mark.kafka
MEGABYTE = 2**20


async def broker_goes(scene: SceneFactory, broker: Broker, number: Signals, away_s: float, guarantee: str) -> None:
    """The one broker ends and comes back after a while, under load."""
    s = await scene(partitions=2, delivery={"guarantee": guarantee})
    async with load(s.feed, rate=500):
        worker = await s.start()
        await goes_on(worker, 300)
        before = worker.resident_bytes()
        broker.signal(number)
        await broker.ended()
        await worker.until_log("broker is away, waiting for it")
        await asyncio.sleep(away_s)
        assert await worker.get("/livez") == (200, "ok\n")
        assert (await worker.get("/readyz"))[0] == 503
        assert worker.resident_bytes() - before < 64 * MEGABYTE
        await broker.restart()
        await goes_on(worker, 300)
    await s.until_drained()
    await worker.until_ready()
    await s.check()
    await s.check_state(worker)
    assert "Traceback" not in worker.log()


async def test_a_broker_that_is_killed_and_comes_back_costs_no_tick(
    scene: SceneFactory, shared_broker: Broker
) -> None:
    """Fault 9, a few seconds."""
    await broker_goes(scene, shared_broker, SIGKILL, 2.0, "exactly_once")


@pytest.mark.chaos
@pytest.mark.timeout(400)
@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
@pytest.mark.parametrize(("number", "away_s"), [(SIGTERM, 3.0), (SIGKILL, 30.0), (SIGKILL, 120.0)])
async def test_a_broker_may_be_away_for_minutes(
    scene: SceneFactory, shared_broker: Broker, number: Signals, away_s: float, guarantee: str
) -> None:
    """Fault 9: alive, not ready, of bounded memory, and going on without a restart."""
    await broker_goes(scene, shared_broker, number, away_s, guarantee)


@pytest.mark.chaos
@pytest.mark.timeout(300)
async def test_a_broker_that_comes_back_six_times_costs_no_tick(scene: SceneFactory, shared_broker: Broker) -> None:
    """Fault 9, before the worker has recovered from the last time."""
    s = await scene(partitions=2)
    async with load(s.feed, rate=300):
        worker = await s.start()
        for turn in range(6):
            await asyncio.sleep(turn)
            shared_broker.signal(SIGKILL if turn % 2 else SIGTERM)
            await shared_broker.ended()
            await shared_broker.restart()
        await goes_on(worker, 300)
    await s.until_drained(90)
    await s.check()
    await s.check_state(worker)


@pytest.mark.chaos
async def test_a_broker_that_freezes_past_every_timeout_costs_no_tick(
    scene: SceneFactory, shared_broker: Broker
) -> None:
    """Fault 9: connections stay open and nobody answers."""
    s = await scene(partitions=2)
    async with load(s.feed, rate=300):
        worker = await s.start()
        await goes_on(worker)
        shared_broker.signal(SIGSTOP)
        await asyncio.sleep(12)
        shared_broker.signal(SIGCONT)
        await goes_on(worker, 300)
    await s.until_drained(60)
    await s.check()
    await s.check_state(worker)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Broker]:
    """Three brokers of which two must have each record."""
    with three_brokers(tmp_path / "cluster") as brokers:
        yield brokers


@pytest.mark.chaos
@pytest.mark.timeout(200)
async def test_topics_that_a_cluster_was_just_given_are_there(cluster: Broker) -> None:
    """Each request asks any of the brokers, and some know of a topic later than the one that made it."""
    kafka = {"bootstrap": cluster.direct}
    for turn in range(40):
        await create_topic(Settings(kafka=kafka).kafka, f"in{turn}", 6, 3)
        settings = Settings(kafka=kafka, input={"topic": f"in{turn}"}, output={"topic": f"out{turn}"})
        assert await prepare_topics(settings) == 6


@pytest.mark.chaos
@pytest.mark.timeout(400)
@pytest.mark.parametrize("number", [SIGKILL, SIGTERM])
async def test_one_broker_of_three_may_go_at_any_time(
    cluster: Broker, bundle: Path, tmp_path: Path, number: Signals
) -> None:
    """Fault 9 in a cluster: each broker in turn, so leaders and both coordinators move."""
    async with make_scene(cluster, bundle, tmp_path, partitions=6) as s:
        async with load(s.feed, rate=300):
            worker = await s.start()
            for broker in (0, 1, 2):
                await goes_on(worker, 300)
                cluster.signal(number, broker)
                await cluster.ended(broker)
                await goes_on(worker, 300)
                await cluster.restart(broker)
        await s.until_drained(90)
        await s.check()
        await s.check_state(worker)
        assert "Traceback" not in worker.log()
