"""Owns the reading of a partition's log between offsets that were looked up before: to the last one, or an error.

For whoever must not take silence for the end. Consumers without a group; commits nothing.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka import errors as kafka_errors

from streamrnn.config import Settings
from streamrnn.errors import BrokerUnavailable, TicksLost
from streamrnn.kafka.client import client_options, deadline, mapped, start_client
from streamrnn.kafka.closing import stop_consumer
from streamrnn.kafka.membership import FETCH_WAIT_MS
from streamrnn.kafka.reading.answer import Skip
from streamrnn.kafka.reading.records import LeanConsumer, to_records
from streamrnn.ticks import RecordColumns

POLL_MS = 200
QUIET_S = 20.0
"""Without progress for this long below an offset that the broker named, the reading has failed."""


class LogExtent(NamedTuple):
    """The log of a partition: its first offset, the last stable one, and how many offsets lie beyond that in a
    transaction that is still open."""

    start: int
    stop: int
    pending: int = 0


async def log_extent(settings: Settings, topic: str, partition: int, patience_s: float = 0.0) -> LogExtent:
    """From where to where a read-committed reader may read now; waits up to `patience_s` for open transactions.

    An end of a transaction reaches its partitions one after the other: a committed offset may be seen before
    the predictions beside it. BrokerUnavailable when nobody answers.
    """
    tp = TopicPartition(topic, partition)
    limit_s = settings.kafka.request_timeout_ms / 1000
    async with open_reader(settings) as consumer:
        async with deadline(limit_s, f"looking up the ends of {topic}-{partition}"):
            start = (await consumer.beginning_offsets([tp]))[tp]
            end = (await consumer.end_offsets([tp]))[tp]
        if end <= start:
            return LogExtent(start, start)
        consumer.assign([tp])
        consumer.seek(tp, max(start, end - 1))  # where it lies, a fetch tells both ends
        async with deadline(limit_s + patience_s, f"looking up the end of {topic}-{partition}"):
            return await _stable(consumer, tp, start, patience_s)


async def _stable(consumer: LeanConsumer, tp: TopicPartition, start: int, patience_s: float) -> LogExtent:
    until_s, written = time.monotonic() + patience_s, None
    while True:
        await consumer.getmany(tp, timeout_ms=POLL_MS, max_records=1)
        stable, newest = consumer.last_stable_offset(tp), consumer.highwater(tp)
        if stable is None or newest is None:
            continue
        written = newest if written is None else written
        if stable >= written or time.monotonic() >= until_s:
            return LogExtent(start, max(start, stable), max(0, written - stable))


async def read_whole(
    settings: Settings,
    topic: str,
    partition: int,
    start: int,
    stop: int,
    max_records: int,
    on_skip: Callable[[Skip], None] | None = None,
    quiet_s: float = QUIET_S,
) -> AsyncGenerator[RecordColumns, None]:
    """All records that a read-committed reader sees with start <= offset < stop, at most `max_records` at a time.

    Both must lie within the log's extent. Close it early with `contextlib.aclosing`. What cannot be read is passed
    over and told to `on_skip`, or raises CorruptBatch, as input.corrupt says. BrokerUnavailable when the log cannot
    be read up to `stop`, or nothing comes for `quiet_s`; TicksLost when retention is faster.
    """
    if start >= stop:
        return
    tp = TopicPartition(topic, partition)
    async with open_reader(settings, on_skip) as consumer:
        consumer.assign([tp])
        consumer.seek(tp, start)
        async for records in _until(consumer, tp, start, stop, max_records, quiet_s):
            yield records


async def _until(
    consumer: LeanConsumer, tp: TopicPartition, position: int, stop: int, max_records: int, quiet_s: float
) -> AsyncIterator[RecordColumns]:
    heard_s, doing = time.monotonic(), f"reading {tp.topic}-{tp.partition}"
    while position < stop:
        try:
            with mapped(doing, but=(kafka_errors.OffsetOutOfRangeError,)):
                batches = await consumer.getmany(tp, timeout_ms=POLL_MS, max_records=max_records)
                reached = await consumer.position(tp)
        except kafka_errors.OffsetOutOfRangeError as error:
            raise TicksLost(f"{doing}: what was at offset {position} is gone (retention)") from error
        if reached > position:
            position, heard_s = reached, time.monotonic()
        elif time.monotonic() - heard_s > quiet_s:
            raise BrokerUnavailable(f"{doing}: nothing comes at {position}, below the {stop} it must reach")
        records = to_records(batches)
        records = records.take(records.offset < stop) if position >= stop else records
        if records:
            yield records
        await asyncio.sleep(0)  # what is read from memory lets nobody else run


@asynccontextmanager
async def open_reader(
    settings: Settings, on_skip: Callable[[Skip], None] | None = None
) -> AsyncIterator[LeanConsumer]:
    """A started consumer without a group, of what is committed; whoever reads assigns and seeks."""
    options = client_options(settings.kafka) | {
        "group_id": None,
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "isolation_level": "read_committed",
        "fetch_max_wait_ms": FETCH_WAIT_MS,
    }
    consumer = LeanConsumer(settings, on_skip=on_skip, **options)
    try:
        await start_client(consumer, settings.kafka, settings.kafka.request_timeout_ms / 1000)
        yield consumer
    finally:
        await stop_consumer(consumer)
