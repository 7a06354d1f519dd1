"""Batches, refusals and the producer's second life."""

import asyncio

import pytest

from streamrnn.config import Settings
from streamrnn.demo.embedded_broker import EmbeddedBroker
from streamrnn.errors import BrokerError, BrokerUnavailable, RecordRefused, TopicError
from streamrnn.kafka.admin import create_topic
from streamrnn.kafka.writing.appending import Appender
from streamrnn.ticks import OutRecord, Record
from tests.kafka.reading_back import read_range

from .conftest import SettingsFactory, embedded_only, real_only
from .test_source_and_sink import publish, running, ticks


async def everything(s: Settings, partition: int, count: int) -> list[Record]:
    return [r async for rs in read_range(s, partition, 0, count, 1000) for r in rs]


async def test_records_are_split_at_batch_bytes_and_stay_in_order(settings: SettingsFactory) -> None:
    s = await settings(partitions=2, output={"batch_bytes": 10_000})
    await publish(s, ticks(200, size=500))
    for partition in (0, 1):
        got = await everything(s, partition, 100)
        assert [int(r.value.split()[0]) for r in got if r.value] == list(range(partition, 200, 2))


async def test_a_record_larger_than_a_batch_goes_alone(settings: SettingsFactory) -> None:
    s = await settings(partitions=1, output={"batch_bytes": 1_000})
    sent = ticks(2, partitions=1) + ticks(1, partitions=1, first=2, size=50_000) + ticks(2, partitions=1, first=3)
    await publish(s, sent)
    assert [r.value for r in await everything(s, 0, 5)] == [r.value for r in sent]


async def test_null_keys_values_and_no_headers_pass(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    sent = [OutRecord(0, 1, None, b"v"), OutRecord(0, 2, b"k", None), OutRecord(0, 3, None, None)]
    await publish(s, sent)
    assert [(r.key, r.value) for r in await everything(s, 0, 3)] == [(r.key, r.value) for r in sent]


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_compressed_batches_come_back(settings: SettingsFactory, compression: str) -> None:
    s = await settings(partitions=1, output={"compression": compression})
    await publish(s, ticks(50, partitions=1, size=1000))
    assert len(await everything(s, 0, 50)) == 50


async def test_a_missing_partition_is_a_topic_error_and_the_appender_lives_on(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    appender = Appender(s)
    async with running(appender):
        with pytest.raises(TopicError, match="no partition 1"):
            await appender.append(s.input.topic, ticks(2, partitions=2))
        await appender.append(s.input.topic, ticks(2, partitions=1))
    assert len(await everything(s, 0, 2)) == 2


async def test_appending_nothing_is_nothing(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    appender = Appender(s)
    await appender.append("nowhere", [])
    assert appender._publisher.producer is None


@real_only
@pytest.mark.parametrize("idempotent", [True, False])
async def test_refused_records_are_named_and_the_others_appended_in_order(
    settings: SettingsFactory, idempotent: bool
) -> None:
    s = await settings(partitions=2, kafka={"acks_idempotent": idempotent})
    sent = ticks(8) + ticks(3, first=8, size=1_200_000) + ticks(9, first=11)
    appender = Appender(s)
    async with running(appender):
        with pytest.raises(RecordRefused, match="record 8 and 2 more refused: MessageSizeTooLarge"):
            await appender.append(s.input.topic, sent)
        await appender.append(s.input.topic, ticks(2, first=20))
    for partition in (0, 1):
        got = [r.value for r in await everything(s, partition, 100)]
        taken = [r for i, r in enumerate(sent + ticks(2, first=20)) if i not in (8, 9, 10)]
        assert got == [r.value for r in taken if r.partition == partition]


@real_only
@pytest.mark.parametrize("idempotent", [True, False])
async def test_batches_above_the_brokers_limit_are_halved(settings: SettingsFactory, idempotent: bool) -> None:
    s = await settings(partitions=1, output={"batch_bytes": 5_000_000}, kafka={"acks_idempotent": idempotent})
    sent = ticks(30, partitions=1, size=100_000)
    await publish(s, sent)
    assert [r.value for r in await everything(s, 0, 30)] == [r.value for r in sent]


@embedded_only
async def test_an_idempotent_producer_on_a_broker_without_says_which_setting(settings: SettingsFactory) -> None:
    s = await settings(partitions=1, kafka={"acks_idempotent": True, "request_timeout_ms": 3000})
    with pytest.raises(BrokerError, match=r"kafka\.acks_idempotent"):
        await Appender(s).start()


@embedded_only
async def test_an_appender_outlives_its_broker(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    broker = EmbeddedBroker()
    async with broker:
        s = await settings(input={"topic": "t"}, kafka={"bootstrap": broker.bootstrap, "request_timeout_ms": 1500})
        await create_topic(s.kafka, "t", 1)
        appender = Appender(s)
        await appender.start()
        await appender.append("t", ticks(1, partitions=1))
    for _ in range(2):
        with pytest.raises(BrokerUnavailable):
            await appender.append("t", ticks(1, partitions=1))
    async with EmbeddedBroker(port=int(broker.bootstrap.split(":")[1])):
        await create_topic(s.kafka, "t", 1)
        await appender.append("t", ticks(1, partitions=1))
        await appender.stop()


async def test_a_cancelled_append_leaves_nothing_running(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    before = asyncio.all_tasks()
    appender = Appender(s)
    await appender.start()
    appending = asyncio.create_task(appender.append(s.input.topic, ticks(1000, partitions=1)))
    await asyncio.sleep(0)
    appending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await appending
    await appender.stop()
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() == before
