"""A lean consumer reads what any other reads, and leaves any other alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from streamrnn.config import Settings
from streamrnn.kafka.client import client_options
from streamrnn.kafka.reading.batches import read_header, unpacked
from streamrnn.kafka.reading.record_chunk import BatchWalk, RecordChunk
from streamrnn.kafka.reading.records import LeanConsumer, to_records
from streamrnn.ticks import OutRecord, Record, RecordColumns

from .conftest import SettingsFactory
from .logs import ten
from .test_source_and_sink import publish

SENT = [
    OutRecord(0, 1_000, b"k", b"v", [("h", b"1"), ("h", b"")]),
    OutRecord(0, 2_000, None, b"v"),
    OutRecord(0, 3_000, b"k", None),
    OutRecord(0, 1, b"", b""),
    *(OutRecord(0, 5_000 + i, b"k%d" % i, b"%d" % i) for i in range(300)),
]


@asynccontextmanager
async def consumer_of(s: Settings, is_lean: bool) -> AsyncIterator[AIOKafkaConsumer]:
    options = client_options(s.kafka) | {"group_id": None, "enable_auto_commit": False}
    consumer = LeanConsumer(s, **options) if is_lean else AIOKafkaConsumer(**options)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(s.input.topic, 0)])
        consumer.seek(TopicPartition(s.input.topic, 0), 0)
        yield consumer
    finally:
        await consumer.stop()


async def everything(consumer: AIOKafkaConsumer) -> list[Any]:
    """Read in bites of seven: a broker's answer is read in many calls."""
    got: list[Any] = []
    async with asyncio.timeout(20):
        while len(got) < len(SENT):
            for records in (await consumer.getmany(timeout_ms=200, max_records=7)).values():
                got += records
    return got


async def test_a_lean_consumer_makes_the_same_records_and_others_still_make_their_own(
    settings: SettingsFactory,
) -> None:
    s = await settings(partitions=1)
    await publish(s, SENT)
    async with consumer_of(s, True) as lean, consumer_of(s, False) as plain:
        ours, theirs = await everything(lean), await everything(plain)
        positions = [await c.position(TopicPartition(s.input.topic, 0)) for c in (lean, plain)]
    assert {type(record) for record in ours} == {Record}
    assert Record not in {type(record) for record in theirs}
    assert [(*record[:5], tuple(record.headers)) for record in ours] == [
        (r.partition, r.offset, r.timestamp, r.key, r.value, r.headers) for r in theirs
    ]
    assert positions == [len(SENT)] * 2


def test_records_come_by_partition_and_offset() -> None:
    batches = {
        TopicPartition("t", p): RecordColumns.of([Record(p, o, 0, None, None) for o in (3, 4)]) for p in (2, 10, 0)
    }
    assert [(r.partition, r.offset) for r in to_records(batches)] == [
        (0, 3),
        (0, 4),
        (2, 3),
        (2, 4),
        (10, 3),
        (10, 4),
    ]
    assert to_records({}) == []


def test_columns_that_share_their_bytes_share_them_joined() -> None:
    joined = to_records({TopicPartition("t", p): chunk_of(p) for p in (1, 0)})
    assert joined.keys.data is joined.values.data is joined.headers.data
    assert joined == [*chunk_of(0), *chunk_of(1)]


def chunk_of(partition: int) -> RecordColumns:
    chunk, data = RecordChunk(partition, 10), memoryview(ten(5))
    header = read_header(data)
    chunk.walk(BatchWalk(header, unpacked(header, data, 0)), 0, 1 << 40)
    return chunk.taken()
