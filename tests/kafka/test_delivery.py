"""Delivery at least once: order without waiting, refusals by name, and a broker that comes and goes."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from aiokafka import errors as kafka_errors

from streamrnn.config import Settings
from streamrnn.demo.embedded_broker import EmbeddedBroker
from streamrnn.errors import BatchTooLarge, BrokerUnavailable, Rebalanced, RecordsRefused, TopicError
from streamrnn.kafka.admin import create_topic
from streamrnn.kafka.closing import stop_producer
from streamrnn.kafka.marks import Mark
from streamrnn.kafka.reading.member import Source
from streamrnn.kafka.writing.delivery import AtLeastOnce, Delivery
from streamrnn.kafka.writing.interval import Publisher
from streamrnn.kafka.writing.producing import start_producer
from streamrnn.kafka.writing.unacknowledged import Bounds, Receipt
from streamrnn.ticks import NO_INDEX, OutRecord, Place
from tests.kafka.reading_back import read_range

from .conftest import SettingsFactory, embedded_only, real_only
from .test_source_and_sink import running, taken


@pytest.fixture(autouse=True)
def _nothing_unretrieved(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No future may end with an exception that nobody has seen."""
    yield
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


def predictions(count: int, partitions: int = 1, first: int = 0, size: int = 0) -> list[OutRecord]:
    """Records of ticks first.. spread over partitions; the value begins with the tick's number."""
    return [
        OutRecord(
            n % partitions,
            1_000 + n,
            b"k",
            b"%d " % n + b"x" * size,
            [("src-partition", b"%d" % (n % partitions)), ("src-offset", b"%d" % (100 + n))],
            (n % partitions, 100 + n, NO_INDEX),
        )
        for n in range(first, first + count)
    ]


async def numbers(settings: Settings, topic: str, partition: int = 0) -> list[int]:
    """What a read-committed reader sees in a partition: the ticks' numbers."""
    s = settings.model_copy(update={"input": settings.input.model_copy(update={"topic": topic})})
    read = read_range(s, partition, 0, 10_000_000, 5000)
    return [int((record.value or b"").split()[0]) async for records in read for record in records]


async def seen(settings: Settings, topic: str, *expected: list[int]) -> bool:
    """Whether such a reader soon sees that in partitions 0..: the markers of a transaction take a moment."""
    end = time.monotonic() + 5
    while (found := [await numbers(settings, topic, p) for p in range(len(expected))]) != list(expected):
        if time.monotonic() > end:
            print(found)
            return False
    return True


@asynccontextmanager
async def delivering(settings: Settings) -> AsyncIterator[tuple[AtLeastOnce, Source]]:
    """A delivery whose source has its partitions, begun."""
    source = Source(settings)
    delivery = AtLeastOnce(settings, source)
    face: Delivery = delivery
    async with running(source):
        await taken(source)
        await face.start()
        try:
            await face.begin(source.membership())
            yield delivery, source
        finally:
            await face.stop()


async def test_many_batches_of_a_partition_are_under_way_and_keep_their_order(settings: SettingsFactory) -> None:
    s = await settings(partitions=2, output={"batch_bytes": 2_000})
    await create_topic(s.kafka, s.output.topic, 2)
    done: list[Receipt] = []
    async with delivering(s) as (delivery, source):
        sents = []
        for first in range(0, 600, 20):
            sents.append(await delivery.send(s.output.topic, predictions(20, 2, first, size=150)))
            sents[-1].add_done_callback(done.append)
        assert len(done) < len(sents), "it does not wait for acknowledgements"
        await delivery.commit({0: Mark(400, "a"), 1: Mark(400, "b")})
        assert sorted(done, key=sents.index) == sents
        assert (await source.committed(1) or Mark(0)).offset == 400
    for partition in (0, 1):
        assert await numbers(s, s.output.topic, partition) == list(range(partition, 600, 2))


async def test_small_sends_that_queue_up_share_a_batch(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    await create_topic(s.kafka, s.output.topic, 1)
    async with delivering(s) as (delivery, _):
        await delivery.send(s.output.topic, predictions(1))
        await delivery.acknowledged()
        for n in range(1, 200):
            await delivery.send(s.output.topic, predictions(1, first=n))
        assert delivery._publisher.interval.batches <= 3
        await delivery.acknowledged()
    assert await numbers(s, s.output.topic) == list(range(200))


async def test_a_send_waits_while_too_much_is_unacknowledged(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    await create_topic(s.kafka, s.output.topic, 1)
    publisher = Publisher(1_000_000, Bounds(10.0, unacknowledged_bytes=10_000), partial(start_producer, s))
    await publisher.begin()
    for first in range(0, 200, 10):
        await publisher.send(s.output.topic, predictions(10, first=first, size=1_000))
        assert publisher.interval.bytes < 10_000 + 11_000
    await publisher.acknowledged()
    assert publisher.interval.bytes == 0
    await publisher.discard()
    assert await numbers(s, s.output.topic) == list(range(200))


async def test_a_callback_added_late_is_called_at_once_and_one_of_nothing_too(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    await create_topic(s.kafka, s.output.topic, 1)
    done: list[Receipt] = []
    async with delivering(s) as (delivery, _):
        empty = await delivery.send(s.output.topic, [])
        sent = await delivery.send(s.output.topic, predictions(3))
        await delivery.acknowledged()
        empty.add_done_callback(done.append)
        sent.add_done_callback(done.append)
    assert done == [empty, sent]


async def test_a_missing_partition_is_a_topic_error_and_the_producer_stays(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    await create_topic(s.kafka, s.output.topic, 1)
    async with delivering(s) as (delivery, source):
        producer = delivery._publisher.producer
        with pytest.raises(TopicError, match="no partition 1"):
            await delivery.send(s.output.topic, predictions(2, 2))
        await delivery.abort()
        await delivery.begin(source.membership())
        await delivery.send(s.output.topic, predictions(2))
        await delivery.commit({0: Mark(2)})
        assert delivery._publisher.producer is producer
    assert await numbers(s, s.output.topic) == [0, 1]


async def test_an_interval_whose_offsets_are_refused_is_done_with_after_an_abort(settings: SettingsFactory) -> None:
    s = await settings(partitions=2)
    await create_topic(s.kafka, s.output.topic, 2)
    two = Source(s)
    async with delivering(s) as (delivery, source):
        await delivery.send(s.output.topic, predictions(2, 2))
        polling = asyncio.create_task(taken(source))
        async with running(two):
            lost = min({0, 1} - (await polling).partitions)
            with pytest.raises(Rebalanced):
                await delivery.commit({lost: Mark(2)})
            await delivery.abort()
            await delivery.begin(source.membership())
            await delivery.send(s.output.topic, predictions(1, 2, first=2 + 1 - lost))
            await delivery.commit({1 - lost: Mark(4)})


@real_only
@pytest.mark.parametrize("idempotent", [True, False])
async def test_a_record_too_large_is_named_by_its_tick_and_nothing_overtakes_it(
    settings: SettingsFactory, idempotent: bool
) -> None:
    s = await settings(partitions=1, kafka={"acks_idempotent": idempotent}, output={"batch_bytes": 5_000_000})
    topic = s.output.topic
    await create_topic(s.kafka, topic, 1)
    good = predictions(4), predictions(40, first=5, size=50_000)
    large = predictions(1, first=4, size=1_200_000)
    sent, refused, told, tries = [*good[0], *large, *good[1]], set[Place](), [], 0
    async with delivering(s) as (delivery, source):
        while True:
            tries += 1
            assert tries < 8
            try:
                for record in [record for record in sent if record.place not in refused]:
                    await delivery.send(topic, [record])
                await delivery.commit({0: Mark(145)})
                break
            except BatchTooLarge:
                pass
            except RecordsRefused as error:
                told.append((error.topic, error.reasons))
                refused |= set(error.reasons)
            await delivery.abort()
            assert set(await numbers(s, topic)) <= {0, 1, 2, 3}, "what came behind has overtaken it"
            await delivery.begin(source.membership())
        assert await source.committed(0) == Mark(145)
    assert told == [(topic, {(0, 104, NO_INDEX): "MessageSizeTooLargeError"})]
    seen = await numbers(s, topic)
    first_copies = [n for i, n in enumerate(seen) if n not in seen[:i]]
    assert first_copies == [*range(4), *range(5, 45)]


@real_only
@pytest.mark.parametrize("bad_first", [False, True], ids=["behind the cut", "before the cut"])
async def test_a_commit_minds_what_was_sent_before_its_cut_alone(
    settings: SettingsFactory, bad_first: bool
) -> None:
    s = await settings(partitions=2, output={"batch_bytes": 5_000_000})
    topic = s.output.topic
    await create_topic(s.kafka, topic, 2)
    large = predictions(1, first=300, size=1_200_000)
    async with delivering(s) as (delivery, source):
        await delivery.send(topic, predictions(300, 2) + (large if bad_first else []))
        delivery.cut()
        committing = asyncio.create_task(delivery.commit({0: Mark(1), 1: Mark(1)}))
        await delivery.begin(source.membership())
        await delivery.send(topic, predictions(51, 2, first=301) + ([] if bad_first else large))
        if not bad_first:
            await committing
            delivery.cut()
            committing = asyncio.create_task(delivery.commit({0: Mark(2), 1: Mark(2)}))
        with pytest.raises(BatchTooLarge):
            await committing
        await delivery.abort()
        assert await source.committed(0) == (None if bad_first else Mark(1))
    assert await numbers(s, topic) == ([] if bad_first else [*range(0, 300, 2)]), "nothing overtakes"
    assert await numbers(s, topic, 1) == [*range(1, 352, 2)]


@real_only
async def test_batches_above_the_brokers_limit_are_halved_until_they_pass_and_stay_so(
    settings: SettingsFactory,
) -> None:
    s = await settings(partitions=1, output={"batch_bytes": 4_000_000})
    await create_topic(s.kafka, s.output.topic, 1)
    sent, refusals = predictions(36, size=100_000), list[BatchTooLarge]()
    async with delivering(s) as (delivery, source):
        for round_ in range(4):
            try:
                await delivery.send(s.output.topic, sent)
                await delivery.commit({0: Mark(round_)})
            except BatchTooLarge as error:
                refusals.append(error)
                await delivery.abort()
            await delivery.begin(source.membership())
    assert [refusal.retriable for refusal in refusals] == [True, True]
    assert min(refusal.size for refusal in refusals) > 1_000_000
    assert await numbers(s, s.output.topic) == [*range(36)] * 2


@embedded_only
async def test_a_broker_that_goes_away_is_told_in_time_and_the_next_interval_goes_through(
    settings: SettingsFactory,
) -> None:
    async with EmbeddedBroker() as broker:
        s = await settings(input={"topic": "t"}, kafka={"bootstrap": broker.bootstrap, "request_timeout_ms": 1500})
        await create_topic(s.kafka, "t", 1)
        await create_topic(s.kafka, s.output.topic, 1)
        delivery = AtLeastOnce(s, source := Source(s))
        await source.start()
        await taken(source)
        member = source.membership()
        await delivery.begin(member)
        sent = await delivery.send(s.output.topic, predictions(1))
        await delivery.acknowledged()
    done: list[Receipt] = []
    async with asyncio.timeout(12):
        sent = await delivery.send(s.output.topic, predictions(1, first=1))
        sent.add_done_callback(done.append)
        with pytest.raises(BrokerUnavailable):
            await delivery.acknowledged()
        await delivery.abort()
        with pytest.raises(BrokerUnavailable):
            await delivery.begin(member)
        await source.stop()
    async with EmbeddedBroker(port=int(broker.bootstrap.split(":")[1])):
        await create_topic(s.kafka, s.output.topic, 1)
        await delivery.begin(member)
        await delivery.send(s.output.topic, predictions(1, first=2))
        await delivery.acknowledged()
        await delivery.stop()
        assert await numbers(s, s.output.topic) == [2]
    assert done == [], "what is not acknowledged is never called so"


async def test_a_producer_may_be_closed_while_batches_wait_to_be_tried_again(settings: SettingsFactory) -> None:
    s = await settings(partitions=2)
    await create_topic(s.kafka, s.output.topic, 2)
    async with delivering(s) as (delivery, _):
        producer = delivery._publisher.producer
        assert producer is not None
        tried = asyncio.Event()

        async def away(*_: Any, **__: Any) -> Any:
            tried.set()
            raise kafka_errors.NodeNotReadyError

        producer.client.send = away
        await delivery.send(s.output.topic, predictions(4, 2))
        await tried.wait()
        await stop_producer(producer)
        delivery._publisher.producer = None
        ended = producer._sender.sender_task
        assert ended.cancelled() or ended.exception() is None


async def test_abort_and_stop_without_an_interval_or_a_start_leave_it_as_new(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    await create_topic(s.kafka, s.output.topic, 1)
    delivery, source = AtLeastOnce(s, Source(s)), Source(s)
    await delivery.acknowledged()
    await delivery.abort()
    await delivery.stop()
    assert await numbers(s, s.output.topic) == []
    async with running(source):
        await taken(source)
        await delivery.begin(source.membership())
        await delivery.send(s.output.topic, predictions(3))
        await delivery.acknowledged()
        await delivery.stop()
    assert await numbers(s, s.output.topic) == [0, 1, 2]
