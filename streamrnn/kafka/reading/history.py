"""Owns which records of the input are its history: bounds in time or offsets to spans, and the spans' reading.

Knows no group and no meaning of a record. Times are the records' timestamps, ms since the epoch.
"""

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import NamedTuple

import numpy as np
from aiokafka import TopicPartition

from streamrnn.config import Settings
from streamrnn.errors import DataError, TicksLost, TopicError
from streamrnn.kafka.admin import partition_count
from streamrnn.kafka.client import deadline
from streamrnn.kafka.reading.log import log_extent, open_reader, read_whole
from streamrnn.kafka.reading.records import LeanConsumer
from streamrnn.process.terminal import moment
from streamrnn.ticks import RecordColumns

log = logging.getLogger(__name__)
POLL_MS = 200
SCAN_RECORDS = 4096

OffsetBounds = Mapping[int, tuple[int | None, int | None]]
"""By partition the first offset and the one after the last; None is the log's own."""


class Span(NamedTuple):
    """Records of one partition with start <= offset < stop; some of these offsets may hold none."""

    partition: int
    start: int
    stop: int

    @property
    def length(self) -> int:
        """Offsets in it."""
        return self.stop - self.start


async def find_spans(
    settings: Settings, since: int | None = None, until: int | None = None, offsets: OffsetBounds | None = None
) -> list[Span]:
    """What the input holds now between these bounds, by partition, without partitions that have nothing there.

    A span begins at its partition's first record written at `since` or later and ends before the first written at
    `until` or later, so that between out-of-order timestamps no record is left out. `offsets`, where given, names
    the only partitions and what of them; both given mean what lies within both. What is there ends at the last
    stable offset. TopicError without the topic; DataError for bounds out of order or beyond the log, and when
    there is nothing between them.
    """
    if since is not None and until is not None and since >= until:
        raise DataError(f"nothing is since {moment(since)} and before {moment(until)}")
    topic, count = settings.input.topic, await partition_count(settings.kafka, settings.input.topic, is_needed=True)
    if not count:
        raise TopicError(f"topic {topic} does not exist")
    _check_partitions(topic, count, offsets or {})
    async with open_reader(settings) as consumer:
        history = _Log(settings, consumer)
        whole = await history.extents(sorted(offsets or range(count)))
        spans = [_cut(topic, span, *offsets[span.partition]) for span in whole] if offsets else whole
        starts = {} if since is None else await history.first_at(since, whole)
        stops = {} if until is None else await history.first_at(until, whole)
    found = [Span(n, max(start, starts.get(n, start)), min(stop, stops.get(n, stop))) for n, start, stop in spans]
    found = [span for span in found if span.length > 0]
    if not found:
        raise DataError(_nothing(topic, whole, since, until))
    return found


async def read_spans(
    settings: Settings, spans: Sequence[Span], max_records: int
) -> AsyncGenerator[RecordColumns, None]:
    """The spans' records, one span after the other in offset order, at most `max_records` of one at a time.

    Transaction markers and aborted records are passed over; offset + 1 - start is
    how far a span has come. Close it early with `contextlib.aclosing`. BrokerUnavailable when a span
    cannot be read to its end: silence is not taken for it. What retention takes meanwhile is told and left out.
    """
    for span in spans:
        async with aclosing(_read_what_is_left(settings, span, max_records)) as batches:
            async for records in batches:
                yield records


async def _read_what_is_left(
    settings: Settings, span: Span, max_records: int
) -> AsyncGenerator[RecordColumns, None]:
    topic, (partition, at, stop) = settings.input.topic, span
    while at < stop:
        try:
            async with aclosing(read_whole(settings, topic, partition, at, stop, max_records)) as batches:
                async for records in batches:
                    at = int(records.offset[-1]) + 1
                    yield records
            return
        except TicksLost:
            first = (await log_extent(settings, topic, partition)).start
            if first <= at:
                raise
            gone = f"offsets {at} to {first - 1} are gone (retention) and left out"
            log.warning("%s-%d: %s", topic, partition, gone)
            at = first


class _Log:
    """The input's log as a consumer without a group sees it."""

    def __init__(self, settings: Settings, consumer: LeanConsumer) -> None:
        self._settings, self._consumer = settings, consumer
        self._deadline_s = settings.kafka.request_timeout_ms / 1000
        self._doing = f"looking up offsets of {settings.input.topic}"

    async def extents(self, partitions: Sequence[int]) -> list[Span]:
        """From each log's start to the last stable offset."""
        tps = [TopicPartition(self._settings.input.topic, partition) for partition in partitions]
        async with deadline(self._deadline_s, self._doing):
            starts = await self._consumer.beginning_offsets(tps)
            ends = await self._consumer.end_offsets(tps)
        ends |= await self._seen_ends({tp: end for tp, end in ends.items() if end > starts[tp]})
        return [Span(tp.partition, starts[tp], max(starts[tp], ends[tp])) for tp in tps]

    async def _seen_ends(self, ends: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """The ends that reading tells: asked, the embedded broker names that of the last batch's first record."""
        consumer = self._consumer
        consumer.assign(list(ends))
        for tp, end in ends.items():
            consumer.seek(tp, end - 1)
        async with deadline(self._deadline_s, self._doing):
            while any(consumer.last_stable_offset(tp) is None for tp in ends):
                await consumer.getmany(*ends, timeout_ms=POLL_MS, max_records=1)
        return {tp: consumer.last_stable_offset(tp) for tp in ends}

    async def first_at(self, time_ms: int, whole: Sequence[Span]) -> dict[int, int]:
        """By partition the first offset written at this time or later, the end where there is none.

        The broker's answer may come too early: it counts transaction markers, written by its own clock, and aborted
        records, and the embedded one always names the first. From there on, reading tells.
        """
        topic = self._settings.input.topic
        asked = {TopicPartition(topic, span.partition): max(0, time_ms) for span in whole}
        async with deadline(self._deadline_s, self._doing):
            told = await self._consumer.offsets_for_times(asked)
        earliest = {tp.partition: None if first is None else first.offset for tp, first in told.items()}
        return {span.partition: await self._scan(time_ms, span, earliest[span.partition]) for span in whole}

    async def _scan(self, time_ms: int, span: Span, earliest: int | None) -> int:
        if earliest is None:
            return span.stop
        later = span._replace(start=max(span.start, earliest))
        async with aclosing(_read_what_is_left(self._settings, later, SCAN_RECORDS)) as batches:
            async for records in batches:
                if (rows := np.flatnonzero(records.timestamp_ms >= time_ms)).size:
                    return int(records.offset[rows[0]])
        return span.stop


def _check_partitions(topic: str, count: int, offsets: OffsetBounds) -> None:
    for partition, (start, stop) in offsets.items():
        if not 0 <= partition < count:
            raise DataError(f"{topic} has no partition {partition}: it has 0 to {count - 1}")
        if start is not None and stop is not None and start >= stop:
            raise DataError(f"{topic}-{partition}: offsets {start} to {stop} are none")


def _cut(topic: str, whole: Span, start: int | None, stop: int | None) -> Span:
    """The part of a log between offsets; DataError where it does not reach that far."""
    wanted = Span(whole.partition, whole.start if start is None else start, whole.stop if stop is None else stop)
    if wanted.start < whole.start:
        gone = f"offsets {wanted.start} to {whole.start - 1} are gone"
        raise DataError(f"{topic}-{whole.partition} begins at {whole.start}: {gone}")
    if max(wanted.start, wanted.stop) > whole.stop:
        beyond = f"there are no offsets up to {max(wanted.start, wanted.stop)}"
        raise DataError(f"{topic}-{whole.partition} ends at {whole.stop}: {beyond}")
    return wanted


def _nothing(topic: str, whole: Sequence[Span], since: int | None, until: int | None) -> str:
    """Why there is no history, in words."""
    held = sum(span.length for span in whole)
    bounds = [f"{word} {moment(at)}" for word, at in (("since", since), ("before", until)) if at is not None]
    if not held or not bounds:
        return f"{topic} holds no record" + (" there" if held else "")
    return f"{topic} holds no record {' and '.join(bounds)}, but {held} offsets at other times"
