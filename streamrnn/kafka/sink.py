"""Owns publishing: records to their partition, in order, all acknowledged before `publish` returns.

A producer in a fatal state is thrown away and the next call builds a new one. Knows nothing of values.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka import errors as kafka_errors

from streamrnn.config import Settings
from streamrnn.errors import BrokerError, ConfigError, RecordRefused, TopicError
from streamrnn.kafka.client import client_options, deadline, start_client, stop_producer
from streamrnn.ticks import OutRecord

_TOO_MUCH = (
    kafka_errors.MessageSizeTooLargeError,
    kafka_errors.RecordListTooLargeError,
    kafka_errors.InvalidTimestampError,
)
"""Answers that blame the records, not the broker: a smaller batch may pass, a single record never will."""


class RecordsRefused(RecordRefused):
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

        RecordsRefused names records the broker refuses, all others being acknowledged. BrokerUnavailable
        after the deadline, TopicError for a missing topic or partition: then which of them are in the log is
        unknown.
        """
        if not records:
            return
        producer = await self._ready()
        sending = _Sending(producer, topic, records)
        try:
            async with deadline(self._deadline_s, f"publishing to {topic}"):
                await sending.run()
        except BaseException:
            await self._discard(producer)
            raise
        if sending.refused:
            raise RecordsRefused(topic, sending.refused)

    async def _ready(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                self._producer = await self._build()
            return self._producer

    async def _build(self) -> AIOKafkaProducer:
        try:
            producer = AIOKafkaProducer(**_options(self._settings))
        except RuntimeError as error:
            raise ConfigError(f"output.compression: {error} (pip install cramjam)") from error
        try:
            await start_client(producer, self._settings.kafka, self._deadline_s)
        except BaseException as error:
            await stop_producer(producer)
            if type(error) is BrokerError and self._settings.kafka.acks_idempotent:
                raise BrokerError(f"{error} (no idempotence there? see kafka.acks_idempotent)") from error
            raise
        return producer

    async def _discard(self, producer: AIOKafkaProducer | None) -> None:
        if producer is not None:
            if self._producer is producer:
                self._producer = None
            await stop_producer(producer)


class _Sending:
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
        unknown = set(by_partition) - await self._producer.partitions_for(self._topic)
        if unknown:
            raise TopicError(f"{self._topic} has no partition {min(unknown)}")
        sends = [self._partition(partition, indexes) for partition, indexes in by_partition.items()]
        outcomes = await asyncio.gather(*sends, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _partition(self, partition: int, indexes: list[int]) -> None:
        """Batch after batch, each acknowledged before the next: a refusal cannot reorder them."""
        done = 0
        limit = len(indexes)
        while done < len(indexes):
            batch, count = self._fill(indexes, done, limit)
            future = await self._producer.send_batch(batch, self._topic, partition=partition)
            try:
                await future
            except _TOO_MUCH as error:
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

    def _fill(self, indexes: list[int], first: int, limit: int) -> tuple[Any, int]:
        """A batch of records from `first` on, and how many went in: the first always does."""
        batch = self._producer.create_batch()
        append = batch._builder.append  # the batch's own append costs as much again, and adds the count
        count = 0
        for index in indexes[first : first + limit]:
            _, timestamp_ms, key, value, headers = self._records[index]
            listed = headers if type(headers) is list else list(headers)  # the C encoder takes lists only
            if append(count, timestamp_ms, key, value, listed) is None:
                break
            count += 1
        batch._relative_offset = count
        assert count, "an empty batch takes any record"
        batch.close()
        return batch, count


def _options(settings: Settings) -> dict[str, Any]:
    compression = settings.output.compression
    return client_options(settings.kafka) | {
        "acks": "all",
        "enable_idempotence": settings.kafka.acks_idempotent,
        "compression_type": None if compression == "none" else compression,
        "max_batch_size": settings.output.batch_bytes,
        "max_request_size": settings.output.batch_bytes,
        "linger_ms": 0,
    }
