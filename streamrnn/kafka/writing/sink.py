"""Owns publishing: records to their partition, in order, all acknowledged before `publish` returns.

A producer in a fatal state is thrown away and the next call builds a new one. Knows nothing of values.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer, TopicPartition

from streamrnn.config import Settings
from streamrnn.errors import RecordRefused
from streamrnn.kafka.client import deadline
from streamrnn.kafka.closing import stop_producer
from streamrnn.kafka.writing.producing import TOO_MUCH, check_partitions, start_producer
from streamrnn.ticks import OutRecord


class IndexesRefused(RecordRefused):
    """Records refused for good, by their index in the published list; all others are acknowledged."""

    def __init__(self, topic: str, reasons: dict[int, str]) -> None:
        self.indexes = tuple(sorted(reasons))
        self.index = self.indexes[0]
        self.reasons = reasons
        more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
        super().__init__(f"{topic}: record {self.index}{more} refused: {reasons[self.index]}")


class Sink:
    """The producer of predictions and dead letters."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._deadline_s = settings.kafka.request_timeout_ms / 1000
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Connect; BrokerRefused or BrokerUnavailable when that fails."""
        await self._ready()

    async def stop(self) -> None:
        """Close, bounded; never raises. What was not awaited is not promised."""
        await self._discard(self._producer)

    async def publish(self, topic: str, records: Sequence[OutRecord]) -> None:
        """Append all records to their partitions in list order and await every acknowledgement.

        IndexesRefused names records the broker refuses, all others being acknowledged. BrokerUnavailable
        after the deadline, TopicError for a missing topic or partition: then which of them are in the log is
        unknown.
        """
        if not records:
            return
        producer = await self._ready()
        publishing = _Publishing(producer, topic, records)
        try:
            async with deadline(self._deadline_s, f"publishing to {topic}"):
                await publishing.run()
        except BaseException:
            await self._discard(producer)
            raise
        if publishing.refused:
            raise IndexesRefused(topic, publishing.refused)

    async def _ready(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                self._producer = await start_producer(self._settings, self._settings.output.batch_bytes)
            return self._producer

    async def _discard(self, producer: AIOKafkaProducer | None) -> None:
        if producer is not None:
            if self._producer is producer:
                self._producer = None
            await stop_producer(producer)


class _Publishing:
    """One `publish`: partitions side by side, within a partition one batch after the other."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, records: Sequence[OutRecord]) -> None:
        self.refused: dict[int, str] = {}
        self._producer = producer
        self._topic = topic
        self._records = records

    async def run(self) -> None:
        by_partition: defaultdict[int, list[int]] = defaultdict(list)
        for index, record in enumerate(self._records):
            by_partition[record.partition].append(index)
        await check_partitions(self._producer, self._topic, by_partition)
        sends = [self._partition(partition, indexes) for partition, indexes in by_partition.items()]
        outcomes = await asyncio.gather(*sends, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _partition(self, partition: int, indexes: list[int]) -> None:
        """Batch after batch, each acknowledged before the next: a refusal cannot reorder them."""
        records, done = [self._records[index] for index in indexes], 0
        limit = len(indexes)
        while done < len(indexes):
            batch = self._producer.create_batch()
            count = batch.take(records[done : done + limit])
            batch.close()
            future = await self._producer.send_batch(batch, self._topic, partition=partition)
            try:
                await future
            except TOO_MUCH as error:
                self._step_back(partition, count)
                if count > 1:
                    limit = (count + 1) // 2
                    continue
                self.refused[indexes[done]] = f"{type(error).__name__}"
            done += count

    def _step_back(self, partition: int, count: int) -> None:
        """The broker appended nothing: an idempotent producer's next sequence number is the old one again."""
        numbers = self._producer._txn_manager
        if numbers is not None:
            numbers.increment_sequence_number(TopicPartition(self._topic, partition), -count)
