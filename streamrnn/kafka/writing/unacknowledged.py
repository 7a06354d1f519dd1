"""Owns what was sent and is not yet known to be in the log: many batches under way, in order, bounded.

Batches are queued with aiokafka without waiting for acknowledgements; it has one of a partition in flight at a
time, and what queues up behind joins in one batch. The first batch of a partition that fails takes those behind it
along: nothing overtakes it. Knows neither offsets nor transactions.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from aiokafka import TopicPartition

from streamrnn.errors import (
    BatchTooLarge,
    BrokerError,
    BrokerRefused,
    BrokerUnavailable,
    RecordRefused,
    RecordsRefused,
)
from streamrnn.kafka.client import deadline, foreign, is_wrapper
from streamrnn.kafka.internals.outgoing import NotSent, Producer, QueuedBatch
from streamrnn.kafka.writing.producing import TOO_MUCH, as_run, by_partition, check_partitions
from streamrnn.ticks import OutColumns, Place


class Bounds(NamedTuple):
    """How long and how much is waited for.

    deadline_s: of a send, and of the wait for acknowledgements. unacknowledged_bytes: above them a send waits; one
    send may exceed them by its own size.
    """

    deadline_s: float
    unacknowledged_bytes: int = 16 * 2**20


class Receipt:
    """What has become of the records of one `send`."""

    def __init__(self) -> None:
        self.in_log: Counter[int] = Counter()
        """How many of its records are acknowledged, by partition: always the first of a partition."""
        self._batches = 0
        self._is_queued = False
        self._callbacks: list[Callable[[Receipt], object]] = []

    @property
    def is_done(self) -> bool:
        """Whether all its records are queued and acknowledged."""
        return self._is_queued and self._batches == 0

    def add_done_callback(self, call: "Callable[[Receipt], object]") -> None:
        """Have `call` called, with this, once all its records are acknowledged; never if one of them is not."""
        if self.is_done:
            call(self)
        else:
            self._callbacks.append(call)

    def joined(self) -> None:
        """Some of its records have joined a batch."""
        self._batches += 1

    def queued(self) -> None:
        """All of its records have joined one."""
        self._is_queued = True

    def acknowledge(self, partition: int, count: int) -> None:
        """So many records that have joined a batch are in the log with it."""
        self.in_log[partition] += count
        self._batches -= 1
        if self.is_done:
            calls, self._callbacks = self._callbacks, []
            for call in calls:
                call(self)


class _Batch(QueuedBatch):
    """A batch under way; besides what is queued, it knows the place of its first record's tick and who is told of
    its fate."""

    def __init__(self, producer: Producer, tp: TopicPartition, first: Place | None) -> None:
        super().__init__(producer, tp)
        self.first = first
        self.receipts: list[tuple[Receipt, int]] = []


Sent = tuple[_Batch, ...]
"""Batches that were not acknowledged at one moment, or have failed by then: see Unacknowledged.cut."""


class Unacknowledged:
    """What was sent through one producer since it was begun with."""

    def __init__(self, producer: Producer, bounds: Bounds, before_queueing: Callable[[], None]) -> None:
        """`before_queueing` is called right before records are queued, and may raise."""
        self._producer, self._bounds, self._before_queueing = producer, bounds, before_queueing
        self._turn = asyncio.Lock()
        self._under_way: dict[asyncio.Future[object], _Batch] = {}
        self._newest: dict[TopicPartition, _Batch] = {}
        self._failed: list[tuple[_Batch, BaseException]] = []
        self.bytes = 0
        """Of the batches that are not yet acknowledged."""

    async def send(self, topic: str, records: OutColumns) -> Receipt:
        """Queue records, in order per partition, waiting first while too much is unacknowledged."""
        receipt, rows = Receipt(), by_partition(records)
        async with self._turn:
            async with deadline(self._bounds.deadline_s, f"publishing to {topic}"):
                await check_partitions(self._producer, topic, rows)
                while self.bytes >= self._bounds.unacknowledged_bytes and not self._failed:
                    await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            self.raise_failure()
            self._before_queueing()
            for partition, mine in rows.items():
                own = records if len(rows) == 1 else records.take(as_run(mine))
                self._queue(TopicPartition(topic, partition), own, receipt)
        receipt.queued()
        return receipt

    @property
    def batches(self) -> int:
        """How many are not yet acknowledged."""
        return len(self._under_way)

    def cut(self) -> Sent:
        """All that was sent so far and is not in the log; what is sent from here on joins none of its batches."""
        self._newest.clear()
        return (*self._under_way.values(), *(batch for batch, _ in self._failed))

    async def acknowledged(self, sent: Sent | None = None) -> None:
        """Wait until `sent`, or else all, is acknowledged; what of it is not, raises."""
        async with deadline(self._bounds.deadline_s, "publishing"):
            if sent is None:
                while self._under_way:
                    await asyncio.wait(self._under_way)
            elif sent:
                await asyncio.wait([batch.future for batch in sent])
        if sent is None or any(batch.future.exception() is not None for batch in sent):
            self.raise_failure()

    async def is_settled(self, seconds: float) -> bool:
        """Whether all is acknowledged, or will be in so many seconds; never raises."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._under_way and not self._failed:
                    await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
        return not self._under_way and not self._failed and self._producer.failure is None

    def raise_failure(self) -> None:
        """The worst of what is known to have failed: refused records before refused batches before the rest."""
        refused = [(batch, error) for batch, error in self._failed if isinstance(error, TOO_MUCH)]
        single = self._refused()
        if single:
            raise _refusal(single) from single[0][1]
        if refused:
            batch, error = min(refused, key=lambda pair: pair[0].size_bytes)
            raise BatchTooLarge(batch.tp.topic, batch.size_bytes) from error
        self.raise_lost()

    def raise_lost(self) -> None:
        """What failed for a reason that lies not in the records: they may be in the log all the same."""
        errors = [error for _, error in self._failed if not isinstance(error, (NotSent, *TOO_MUCH))]
        ended = self._producer.failure
        if ended is not None:
            errors.append(ended)
        if errors:
            raise _verdict(errors[0]) from errors[0]

    def refused(self) -> dict[int, str]:
        """By partition whose first record that is not in the log is refused for good: why."""
        return {batch.tp.partition: type(error).__name__ for batch, error in self._refused()}

    def _refused(self) -> list[tuple[_Batch, BaseException]]:
        return [(batch, e) for batch, e in self._failed if isinstance(e, TOO_MUCH) and batch.record_count == 1]

    def _queue(self, tp: TopicPartition, records: OutColumns, receipt: Receipt) -> None:
        row = 0
        while row < len(records):
            batch = self._newest.get(tp)
            taken = self._fill(batch, records, row, receipt) if batch is not None and batch.is_open() else 0
            row += taken or self._fill(self._append(tp, records.place(row)), records, row, receipt)

    def _append(self, tp: TopicPartition, first: Place | None) -> _Batch:
        """A new batch at the end of its partition's queue."""
        batch = _Batch(self._producer, tp, first)
        self._producer.queue(batch)
        self._newest[tp] = self._under_way[batch.future] = batch
        batch.future.add_done_callback(self._done)
        return batch

    def _fill(self, batch: _Batch, records: OutColumns, row: int, receipt: Receipt) -> int:
        before = batch.size_bytes
        count = batch.take(records, row)
        if count:
            self.bytes += batch.size_bytes - before
            batch.receipts.append((receipt, count))
            receipt.joined()
        return count

    def _done(self, future: "asyncio.Future[object]") -> None:
        batch = self._under_way.pop(future)
        self.bytes -= batch.size_bytes
        error = future.exception()
        if error is not None:
            self._failed.append((batch, error))
            return
        for receipt, count in batch.receipts:
            receipt.acknowledge(batch.tp.partition, count)


def _refusal(single: list[tuple[_Batch, BaseException]]) -> BrokerError:
    """Which ticks the refused records of the first one's topic were made of."""
    topic = single[0][0].tp.topic
    reasons = {b.first: type(error).__name__ for b, error in single if b.tp.topic == topic}
    known = {place: reason for place, reason in reasons.items() if place is not None}
    if not known:
        return RecordRefused(f"{topic}: a record that names no tick is refused: {type(single[0][1]).__name__}")
    return RecordsRefused(topic, known)


def _verdict(error: BaseException) -> BrokerError:
    """Our error; whatever ended aiokafka's own task, which it wraps, need not end the next one."""
    known = foreign(error, "publishing")
    may_pass = is_wrapper(error) and not isinstance(known, BrokerRefused)
    return BrokerUnavailable(str(known)) if may_pass else known
