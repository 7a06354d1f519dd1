"""A log is read to the end that the broker named: markers, aborted batches and silence are no end."""

import asyncio
import time

import pytest
from aiokafka import AIOKafkaProducer

from streamrnn.config import Settings
from streamrnn.errors import BrokerUnavailable
from streamrnn.kafka.reading.log import LogExtent, log_extent, read_whole
from streamrnn.kafka.writing.appending import Appender
from streamrnn.ticks import OutRecord

from .conftest import SettingsFactory, real_only


async def offsets(settings: Settings, start: int, stop: int, max_records: int = 10, **more: float) -> list[int]:
    found: list[int] = []
    async for records in read_whole(settings, settings.input.topic, 0, start, stop, max_records, **more):
        assert len(records) <= max_records
        found += [record.offset for record in records]
    return found


async def write(settings: Settings, count: int) -> None:
    appender = Appender(settings)
    records = [OutRecord(0, 1_700_000_000_000, b"k", b"%d" % n) for n in range(count)]
    await appender.append(settings.input.topic, records)
    await appender.stop()


async def test_a_log_is_read_whole_or_between_offsets(settings: SettingsFactory) -> None:
    made = await settings(1)
    assert await log_extent(made, made.input.topic, 0) == LogExtent(0, 0)
    assert await offsets(made, 0, 0) == []
    await write(made, 35)
    assert await log_extent(made, made.input.topic, 0) == LogExtent(0, 35)
    assert await offsets(made, 0, 35) == list(range(35))
    assert await offsets(made, 7, 9) == [7, 8]
    assert await offsets(made, 34, 35) == [34]


async def test_silence_below_the_end_is_an_error(settings: SettingsFactory) -> None:
    made = await settings(1)
    await write(made, 3)
    with pytest.raises(BrokerUnavailable, match="nothing comes at 3, below the 9"):
        await offsets(made, 0, 9, quiet_s=0.5)


@real_only
async def test_markers_and_aborted_records_are_passed_over_to_the_exact_end(settings: SettingsFactory) -> None:
    made = await settings(1)
    topic = made.input.topic
    producer = AIOKafkaProducer(bootstrap_servers=made.kafka.bootstrap, transactional_id=topic)
    await producer.start()
    try:
        for is_kept in (True, False, False, True, False):
            await producer.begin_transaction()
            for n in range(4):
                await producer.send_and_wait(topic, b"%d" % n, partition=0)
            await (producer.commit_transaction() if is_kept else producer.abort_transaction())
        began = time.monotonic()
        assert await log_extent(made, topic, 0, 5.0) == LogExtent(0, 25)
        assert await offsets(made, 0, 25) == [0, 1, 2, 3, 15, 16, 17, 18]
        assert await offsets(made, 20, 25) == []
        assert time.monotonic() - began < 4.0
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"open", partition=0)
        assert await log_extent(made, topic, 0) == LogExtent(0, 25, pending=1)
        waiting = asyncio.create_task(log_extent(made, topic, 0, 10.0))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        await producer.commit_transaction()
        extent = await waiting
        assert (extent.start, extent.pending) == (0, 0)
        assert extent.stop >= 26
    finally:
        await producer.stop()
