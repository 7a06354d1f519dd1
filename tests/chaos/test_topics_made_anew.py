"""The input topic deleted under a running worker, perhaps made anew: it is said, and no state goes over to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from signal import SIGTERM

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import OffsetAndMetadata

from streamrnn.errors import TopicError
from tests.chaos.checking import committed
from tests.chaos.conftest import SceneFactory
from tests.chaos.scene import Scene
from tests.chaos.workers import Worker

pytestmark = pytest.mark.kafka


@asynccontextmanager
async def admin(s: Scene) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=s.broker.direct)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def delete(s: Scene, *topics: str) -> None:
    """Delete topics, and wait until they are gone."""
    async with admin(s) as client:
        await client.delete_topics(list(topics))
        async with asyncio.timeout(20):
            while set(topics) & set(await client.list_topics()):
                await asyncio.sleep(0.05)


async def make(s: Scene, partitions: int = 2) -> None:
    """Make the input topic anew."""
    async with admin(s) as client, asyncio.timeout(20):
        wanted = [NewTopic(s.settings.input.topic, partitions, 1)]
        while (await client.create_topics(wanted)).topic_errors[0][1] != 0:
            await asyncio.sleep(0.1)
    await s.feed._producer.client.force_metadata_update()


async def commit_by_hand(s: Scene, marks: dict[int, OffsetAndMetadata]) -> None:
    """Offsets of the group, committed by nobody of it; it must be empty."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=s.broker.direct, group_id=s.settings.kafka.group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        places = {TopicPartition(s.settings.input.topic, partition): mark for partition, mark in marks.items()}
        consumer.assign(list(places))
        await consumer.commit(places)
    finally:
        await consumer.stop()


async def served(scene: SceneFactory, **sections: dict[str, object]) -> tuple[Scene, Worker]:
    """A worker that has answered a thousand ticks."""
    s = await scene(partitions=2, **sections)
    await s.feed.send(1000)
    worker = await s.start()
    await s.until_drained()
    return s, worker


async def ended(worker: Worker, *said: str) -> None:
    """It ends with the code for topics, and says so."""
    assert await worker.ended() == TopicError.exit_code, worker.log()
    assert all(each in worker.last_line() for each in said), worker.last_line()
    assert "Traceback" not in worker.log()


async def begun_anew(s: Scene, ticks: int = 600) -> None:
    """Started again on the new topic, with an output made anew, all is as if there had never been another."""
    await s.feed.send(ticks)
    worker = await s.start()
    await s.until_drained()
    await s.check()
    await s.check_state(worker)


@pytest.mark.parametrize("guarantee", ["exactly_once", pytest.param("at_least_once", marks=pytest.mark.chaos)])
async def test_a_topic_made_anew_ends_the_worker_and_is_begun_anew(scene: SceneFactory, guarantee: str) -> None:
    s, worker = await served(scene, delivery={"guarantee": guarantee})
    await delete(s, s.settings.input.topic)
    await make(s)
    await ended(worker, f"{s.settings.input.topic!r} was deleted and made anew", "verify")
    await delete(s, s.settings.output.topic)
    await begun_anew(s)


async def test_a_topic_that_stays_away_is_said_and_ends_the_worker(scene: SceneFactory) -> None:
    s, worker = await served(scene)
    await delete(s, s.settings.input.topic)
    await worker.until_log(f"no broker knows the topic {s.settings.input.topic} any more")
    status, why = await worker.get("/readyz")
    assert (status, why) == (503, f"no broker knows the topic {s.settings.input.topic} any more\n")
    assert (await worker.status())["reason"] in why
    await ended(worker, f"{s.settings.input.topic!r} was deleted", "make it anew")
    refused = await s.start(ready=False)
    await ended(refused, "does not exist")


async def test_a_topic_made_anew_with_fewer_partitions_is_refused_until_the_output_is_alike(
    scene: SceneFactory,
) -> None:
    s, worker = await served(scene)
    await delete(s, s.settings.input.topic)
    await make(s, partitions=1)
    await ended(worker, "was deleted and made anew")
    refused = await s.start(ready=False)
    await ended(refused, "has 1 partitions", "has 2")


async def test_an_offset_of_the_deleted_topic_is_none_of_the_new_one(scene: SceneFactory) -> None:
    """A commit that was on its way when the topic was made anew: the broker knows topics by name alone."""
    s, worker = await served(scene)
    marks = await committed(s.broker.direct, s.settings.kafka.group, s.settings.input.topic)
    assert await worker.stop(SIGTERM) == 0
    await delete(s, s.settings.input.topic, s.settings.output.topic)
    await make(s)
    await s.feed.send(2000)
    await commit_by_hand(s, {p: OffsetAndMetadata(*mark) for p, mark in marks.items()})
    worker = await s.start()
    assert worker.log().count("is of a deleted topic of this name: it begins anew") == 2
    await s.until_drained()
    await s.check()
    await s.check_state(worker)


async def test_no_snapshot_of_the_deleted_topic_is_taken_for_offsets_set_by_hand(scene: SceneFactory) -> None:
    """Such an offset has no pedigree: a snapshot is known by its topic."""
    s, worker = await served(scene, snapshots={"interval_s": 0.3})
    await worker.until_total("streamrnn_snapshots_total", 2)
    assert await worker.stop(SIGTERM) == 0
    await delete(s, s.settings.input.topic, s.settings.output.topic)
    await make(s)
    await s.feed.send(2000)
    await commit_by_hand(s, {0: OffsetAndMetadata(800, ""), 1: OffsetAndMetadata(800, "")})
    worker = await s.start()
    assert "is passed over: of a state that began" in worker.log()
    await s.until_drained()
    await s.check_state(worker)
