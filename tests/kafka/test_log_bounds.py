"""What a log holds of a range: bounds, gaps, ends."""

import time
from contextlib import aclosing

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from streamrnn.config import Settings
from streamrnn.errors import BrokerUnavailable
from tests.kafka.reading_back import read_range

from .conftest import SettingsFactory, embedded_only, real_only
from .test_source_and_sink import publish, ticks


async def offsets(s: Settings, start: int, stop: int, max_records: int = 1000) -> list[int]:
    return [r.offset async for rs in read_range(s, 0, start, stop, max_records) for r in rs]


async def test_the_range_is_half_open(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    for first in (0, 10, 20):
        await publish(s, ticks(10, partitions=1, first=first))
    assert await offsets(s, 5, 25) == list(range(5, 25))
    assert await offsets(s, 0, 30) == list(range(30))
    assert await offsets(s, 7, 7) == await offsets(s, 9, 3) == []


async def test_lists_are_bounded(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    await publish(s, ticks(25, partitions=1))
    assert [len(rs) async for rs in read_range(s, 0, 0, 25, 10)] == [10, 10, 5]


async def test_a_stop_beyond_the_log_ends_at_the_log(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    await publish(s, ticks(10, partitions=1))
    began = time.monotonic()
    assert await offsets(s, 0, 500) == list(range(10))
    assert time.monotonic() - began < 3


async def test_an_empty_partition_has_no_history(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    assert await offsets(s, 0, 10) == []


async def test_it_may_be_left_early(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    await publish(s, ticks(100, partitions=1))
    async with aclosing(read_range(s, 0, 0, 100, 10)) as reading:
        assert len(await anext(reading)) == 10


@embedded_only
async def test_nobody_there_is_said(settings: SettingsFactory) -> None:
    s = await settings(partitions=1, kafka={"bootstrap": "127.0.0.1:1"})
    with pytest.raises(BrokerUnavailable, match="nothing listens there"):
        await offsets(s, 0, 10)


@real_only
async def test_it_begins_at_the_logs_start_when_retention_took_the_rest(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    await publish(s, ticks(20, partitions=1))
    await delete_below(s, 12)
    assert await offsets(s, 5, 20) == list(range(12, 20))
    assert await offsets(s, 0, 8) == []


@real_only
async def test_transaction_markers_and_aborted_records_are_passed_over(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    producer = AIOKafkaProducer(bootstrap_servers=s.kafka.bootstrap, transactional_id=s.input.topic)
    await producer.start()
    for value, commit in ((b"a", True), (b"b", False), (b"c", True)):
        await producer.begin_transaction()
        await producer.send_and_wait(s.input.topic, value, partition=0)
        await (producer.commit_transaction() if commit else producer.abort_transaction())
    await producer.stop()
    got = [r.value async for rs in read_range(s, 0, 0, 6, 100) for r in rs]
    assert got == [b"a", b"c"]


async def delete_below(s: Settings, offset: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=s.kafka.bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(s.input.topic, 0): RecordsToDelete(before_offset=offset)})
    await admin.close()
