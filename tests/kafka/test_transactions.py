"""Delivery exactly once, on a real Kafka: what readers see, who is fenced, and what an unknown outcome leaves."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import errors as kafka_errors
from aiokafka.protocol.transaction import EndTxnRequest

from streamrnn.config import Settings
from streamrnn.errors import (
    BatchTooLarge,
    BrokerError,
    BrokerUnavailable,
    Rebalanced,
    RecordsRefused,
    Unsettled,
    WorkerFenced,
)
from streamrnn.kafka.admin import create_topic
from streamrnn.kafka.closing import stop_producer
from streamrnn.kafka.internals.consuming import rejoin
from streamrnn.kafka.marks import Mark
from streamrnn.kafka.offsets import committed_marks
from streamrnn.kafka.reading.member import Source
from streamrnn.kafka.writing.delivery import Delivery
from streamrnn.kafka.writing.transactions import ExactlyOnce
from streamrnn.kafka.writing.unacknowledged import Receipt
from streamrnn.ticks import NO_INDEX

from .conftest import SettingsFactory, real_only
from .test_delivery import numbers, predictions, seen
from .test_source_and_sink import running, taken

MARKS = {0: Mark(2, "since 0"), 1: Mark(1, "since 1")}


@pytest.fixture(autouse=True)
def _nothing_unretrieved(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No future may end with an exception that nobody has seen."""
    yield
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


def exactly(settings: Settings, **delivery: Any) -> Settings:
    values = settings.delivery.model_copy(update={"guarantee": "exactly_once", **delivery})
    return settings.model_copy(update={"delivery": values})


@pytest.fixture
def made(settings: SettingsFactory) -> SettingsFactory:
    """Settings for exactly once, with the output topic."""

    async def make(**sections: dict[str, Any]) -> Settings:
        s = exactly(await settings(partitions=2, **sections))
        await create_topic(s.kafka, s.output.topic, 2)
        return s

    return make


@asynccontextmanager
async def delivering(settings: Settings) -> AsyncIterator[tuple[ExactlyOnce, Source]]:
    """A delivery beside a source that has its partitions; begun."""
    source = Source(settings)
    delivery = ExactlyOnce(settings, source)
    face: Delivery = delivery
    async with running(source):
        await taken(source)
        await face.start()
        try:
            await face.begin(source.membership())
            yield delivery, source
        finally:
            await face.stop()


@real_only
async def test_a_read_committed_reader_sees_nothing_before_the_commit(made: SettingsFactory) -> None:
    s = await made()
    done: list[Receipt] = []
    async with delivering(s) as (delivery, source):
        (await delivery.send(s.output.topic, predictions(3, 2))).add_done_callback(done.append)
        await delivery.acknowledged()
        assert len(done) == 1
        assert await numbers(s, s.output.topic) == []
        assert await source.committed(0) is None
        await delivery.commit(MARKS)
        assert await seen(s, s.output.topic, [0, 2], [1])
        assert await committed_marks(s, [0, 1]) == MARKS


@real_only
async def test_an_aborted_interval_is_never_seen_and_the_next_one_goes_through(made: SettingsFactory) -> None:
    s = await made()
    async with delivering(s) as (delivery, source):
        producer = delivery._publisher.producer
        await delivery.send(s.output.topic, predictions(3, 2))
        await delivery.abort()
        assert await source.committed(0) is None
        await delivery.begin(source.membership())
        await delivery.send(s.output.topic, predictions(2, 2, first=10))
        await delivery.commit(MARKS)
        assert delivery._publisher.producer is producer
    assert await seen(s, s.output.topic, [10], [11])


@real_only
async def test_intervals_follow_each_other_in_order_with_many_batches_under_way(made: SettingsFactory) -> None:
    s = await made(output={"batch_bytes": 2_000})
    async with delivering(s) as (delivery, source):
        for first in range(0, 1000, 100):
            for more in range(first, first + 100, 20):
                await delivery.send(s.output.topic, predictions(20, 2, more, size=100))
            await delivery.commit({0: Mark(first, "m"), 1: Mark(first, "m")})
            await delivery.begin(source.membership())
    assert await seen(s, s.output.topic, *([*range(p, 1000, 2)] for p in (0, 1)))


@real_only
async def test_offsets_alone_are_committed_and_nothing_at_all_is_too(made: SettingsFactory) -> None:
    s = await made()
    async with delivering(s) as (delivery, source):
        await delivery.commit({})
        await delivery.begin(source.membership())
        await delivery.commit(MARKS)
        await delivery.begin(source.membership())
        await delivery.send(s.output.topic, predictions(1))
        await delivery.commit({})
        assert await committed_marks(s, [0, 1]) == MARKS
    assert await seen(s, s.output.topic, [0])


@real_only
async def test_a_member_of_an_older_generation_is_refused_and_its_producer_goes_on(
    made: SettingsFactory,
) -> None:
    s = await made()
    two = Source(s)
    async with delivering(s) as (delivery, source):
        producer = delivery._publisher.producer
        polling = asyncio.create_task(taken(source))
        async with running(two):
            kept = min((await polling).partitions)
            await delivery.send(s.output.topic, predictions(2, 2))
            with pytest.raises(Rebalanced):
                await delivery.commit({kept: Mark(9, "stale")})
            await delivery.abort()
            assert await committed_marks(s, [0, 1]) == {0: None, 1: None}
            await delivery.begin(source.membership())
            await delivery.send(s.output.topic, predictions(2, 2, first=2))
            await delivery.commit({kept: Mark(4, "fresh")})
            assert delivery._publisher.producer is producer
            assert (await committed_marks(s, [kept]))[kept] == Mark(4, "fresh")
    assert await seen(s, s.output.topic, [2], [3])


@real_only
async def test_an_offset_that_a_vanished_producer_may_yet_commit_is_unsettled_until_its_heir_starts(
    made: SettingsFactory,
) -> None:
    s = exactly(await made(), transactional_id="one")
    async with delivering(s) as (delivery, source):
        await delivery.commit(MARKS)
        await delivery.begin(source.membership())
        await vanish(delivery, s.output.topic, {0: Mark(5)})
        with pytest.raises(Unsettled, match="pending"):
            await source.committed(0)
        with pytest.raises(Unsettled):
            await committed_marks(s, [0, 1])
        assert await source.committed(1) == MARKS[1]
        heir = ExactlyOnce(s, Source(s))
        await heir.start()
        assert await source.committed(0) == MARKS[0]
        await heir.stop()
    assert await numbers(s, s.output.topic) == []


async def vanish(delivery: ExactlyOnce, topic: str, marks: dict[int, Mark]) -> None:
    """Die after the offsets and before the end of the transaction."""
    await delivery.send(topic, predictions(1))
    await delivery.acknowledged()
    await delivery._add_offsets(marks)
    await stop_producer(delivery._publisher.producer)
    delivery._publisher.producer = None


@real_only
@pytest.mark.parametrize("is_applied", [True, False])
async def test_a_commit_without_an_answer_is_known_once_the_next_producer_has_started(
    made: SettingsFactory, is_applied: bool
) -> None:
    s = await made()
    async with delivering(s) as (delivery, source):
        producer = delivery._publisher.producer
        await delivery.send(s.output.topic, predictions(2, 2))
        lose_answer(delivery, is_applied)
        with pytest.raises(BrokerUnavailable):
            await delivery.commit(MARKS)
        await delivery.abort()
        assert delivery._publisher.producer not in (None, producer)
        expected: dict[int, Mark | None] = {0: MARKS[0], 1: MARKS[1]} if is_applied else {0: None, 1: None}
        assert await committed_marks(s, [0, 1]) == expected
        assert await seen(s, s.output.topic, [0] if is_applied else [])
        await delivery.begin(source.membership())
        await delivery.send(s.output.topic, predictions(1, first=2))
        await delivery.commit({0: Mark(3)})
    assert await seen(s, s.output.topic, [0, 2] if is_applied else [2])


def lose_answer(delivery: ExactlyOnce, is_applied: bool) -> None:
    """The next EndTxn reaches the broker, or not; its answer never comes."""
    assert delivery._publisher.producer is not None
    client = delivery._publisher.producer.client
    send = client.send

    async def lossy(node: int, request: Any, **options: Any) -> Any:
        if not isinstance(request, EndTxnRequest):
            return await send(node, request, **options)
        client.send = send
        if is_applied:
            await send(node, request, **options)
        raise kafka_errors.RequestTimedOutError

    client.send = lossy


@real_only
async def test_a_record_too_large_is_named_by_its_tick_and_the_rest_goes_through_once(
    made: SettingsFactory,
) -> None:
    s = await made(output={"batch_bytes": 3_000_000})
    sent = [*predictions(3, 2), *predictions(1, 2, first=3, size=1_200_000), *predictions(3, 2, first=4)]
    async with delivering(s) as (delivery, source):
        await delivery.send(s.output.topic, sent)
        with pytest.raises(BatchTooLarge):
            await delivery.commit(MARKS)
        await delivery.abort()
        await delivery.begin(source.membership())
        await delivery.send(s.output.topic, sent)
        with pytest.raises(RecordsRefused) as refusal:
            await delivery.commit(MARKS)
        await delivery.abort()
        assert refusal.value.reasons == {(1, 103, NO_INDEX): "MessageSizeTooLargeError"}
        await delivery.begin(source.membership())
        await delivery.send(s.output.topic, [r for r in sent if r.place not in refusal.value.reasons])
        await delivery.commit(MARKS)
        assert await committed_marks(s, [0, 1]) == MARKS
    assert await seen(s, s.output.topic, [0, 2, 4, 6], [1, 5])


@real_only
@pytest.mark.parametrize(
    ("named_as", "delivery", "option"),
    [
        ({"group_instance_id": "worker-0"}, {}, "kafka.group_instance_id ('worker-0')"),
        ({}, {"transactional_id": "mine"}, "delivery.transactional_id ('mine')"),
    ],
    ids=["of its name", "of its id"],
)
async def test_a_producer_cut_off_by_another_ends_its_worker(
    made: SettingsFactory, named_as: dict[str, str], delivery: dict[str, str], option: str
) -> None:
    s = exactly(await made(kafka=named_as), **delivery)
    async with delivering(s) as (older, _):
        assert older.transactional_id == delivery.get("transactional_id", f"{s.kafka.group}.worker-0")
        await older.send(s.output.topic, predictions(1))
        await older.acknowledged()
        other = ExactlyOnce(s, Source(s))
        await other.start()
        await older.send(s.output.topic, predictions(1, first=1))
        with pytest.raises(WorkerFenced) as caught:
            await older.commit(MARKS)
        assert option in str(caught.value)
        await other.stop()
    assert await committed_marks(s, [0, 1]) == {0: None, 1: None}


@real_only
async def test_a_producer_cut_off_for_its_slow_transaction_says_so_and_goes_on(
    made: SettingsFactory, caplog: pytest.LogCaptureFixture
) -> None:
    s = exactly(await made(kafka={"group_instance_id": "worker-0"}), transaction_timeout_ms=300)
    async with delivering(s) as (delivery, source):
        await delivery.send(s.output.topic, predictions(1))
        await delivery.acknowledged()
        await asyncio.sleep(0.5)
        other = ExactlyOnce(s, Source(s))  # does to it what the broker's cleaner does every ten seconds
        await other.start()
        with pytest.raises(BrokerUnavailable):
            await delivery.commit(MARKS)
        await delivery.abort()
        said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING and "cut off" in r.message]
        assert len(said) == 1
        assert "delivery.transaction_timeout_ms (0.3 s)" in said[0]
        await delivery.begin(source.membership())
        await delivery.send(s.output.topic, predictions(1, first=2))
        await delivery.commit(MARKS)
        assert await committed_marks(s, [0, 1]) == MARKS
        await other.stop()
    assert await seen(s, s.output.topic, [2])


@real_only
async def test_a_worker_that_its_group_had_lost_is_no_other_worker_to_itself(made: SettingsFactory) -> None:
    """Its session ran out in a stall, and it has joined anew under its name: as the member before it is fenced."""
    s = await made(kafka={"group_instance_id": "worker-0"})
    async with delivering(s) as (delivery, source):
        await delivery.send(s.output.topic, predictions(1))
        rejoin(source._started, source.membership().generation, is_known=False)
        await until_joined(source)
        with pytest.raises(BrokerUnavailable):
            await delivery.commit(MARKS)
        await delivery.abort()
        await taken(source)
        await delivery.begin(source.membership())
        await delivery.send(s.output.topic, predictions(1, first=2))
        await delivery.commit(MARKS)
    assert await seen(s, s.output.topic, [2])


@real_only
async def test_a_worker_whose_name_is_anothers_ends_at_an_abort(made: SettingsFactory) -> None:
    s = exactly(await made(kafka={"group_instance_id": "worker-0"}), transactional_id="older")
    async with delivering(s) as (delivery, _):
        await delivery.send(s.output.topic, predictions(1))
        async with running(newer := Source(s)):
            await taken(newer)
            with pytest.raises(BrokerUnavailable):
                await delivery.commit(MARKS)
            with pytest.raises(WorkerFenced, match="worker-0"):
                await delivery.abort()


async def until_joined(source: Source) -> None:
    """Poll until the group has given it another place, which is not yet taken."""
    async with asyncio.timeout(20):
        while not source.has_rebalanced():
            await source.fetch((), 50)


@real_only
async def test_ids_are_unique_to_the_worker_unless_they_are_given(made: SettingsFactory) -> None:
    s = await made()
    ids = [ExactlyOnce(s, Source(s)).transactional_id for _ in range(2)]
    assert ids[0] != ids[1]
    assert all(each.startswith(f"{s.kafka.group}.") for each in ids)
    assert ExactlyOnce(exactly(s, transactional_id="mine"), Source(s)).transactional_id == "mine"


@real_only
async def test_a_timeout_that_the_broker_does_not_allow_is_told_with_the_setting(made: SettingsFactory) -> None:
    s = exactly(await made(), transaction_timeout_ms=2_000_000_000)
    with pytest.raises(BrokerError, match=r"delivery\.transaction_timeout_ms"):
        await ExactlyOnce(s, Source(s)).start()
