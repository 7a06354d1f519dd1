"""Owns aiokafka's producer as this package needs it: many batches of a partition wait in its queue, in order.

aiokafka's own `send_batch` waits until the batch before has left the queue. A `Producer` here takes the next batch
at once. Of one partition aiokafka has one batch in flight at a time, and nothing overtakes a batch that fails.
Knows neither intervals nor offsets.
"""

from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.producer.message_accumulator import MessageBatch
from aiokafka.protocol.api import Request, Response

from streamrnn.kafka.internals.open_batch import OpenBatch
from streamrnn.kafka.internals.transaction import PromptSender, Transaction
from streamrnn.ticks import OutColumns


class NotSent(Exception):
    """What a batch fails with that waited behind one that failed: none of its records is in the log."""


class QueuedBatch(MessageBatch):  # type: ignore[misc]
    """A batch in a producer's queue; when it fails, it takes those behind it along.

    Replaces aiokafka's `failure`, which fails this batch alone. aiokafka calls it before it takes the next batch of
    the partition from the queue; no later moment would keep that one from being sent. Relies on `_batches`, the
    queue of each partition, on `_batch_ttl`, on `_builder`, the batch's content, on `retry_count`, 0 until aiokafka
    takes the batch for the first time, and on `_drain_waiter`, a future that fails with the batch.
    """

    def __init__(self, producer: "Producer", tp: TopicPartition) -> None:
        self._accumulator = producer._message_accumulator
        self.size_bytes = 0
        super().__init__(tp, producer.create_batch(), self._accumulator._batch_ttl, 0)

    def take(self, records: OutColumns, row: int) -> int:
        """Append records from `row` on until the batch is full, and return how many went in; see OpenBatch.take."""
        count: int = self._builder.take(records, row)
        self.size_bytes = self._builder.size()
        return count

    def is_open(self) -> bool:
        """Whether records may still join: aiokafka has not taken it out of the queue."""
        return self.retry_count == 0 and not self.future.done()

    def failure(self, exception: BaseException) -> None:
        """Called by aiokafka; the batches behind fail with NotSent."""
        self._fail(exception)
        queue = self._accumulator._batches.get(self.tp, ())
        if self not in queue:
            for follower in [batch for batch in queue if batch.is_open()]:
                queue.remove(follower)
                follower._fail(NotSent())
            if not queue:
                self._accumulator._batches.pop(self.tp, None)

    def _fail(self, exception: BaseException) -> None:
        super().failure(exception)
        self._drain_waiter.exception()  # nobody else would retrieve it


class Producer(AIOKafkaProducer):  # type: ignore[misc]
    """aiokafka's producer, whose batches are queued without waiting and take any header.

    Relies on `_message_accumulator`, the queue, with `_batch_size`, `_compression_type`, `_batches`,
    `_waiter_future` and `_exception`; on `_txn_manager`, what an idempotent producer counts and what state its
    transaction is in, None without; on `_sender`, which sends what is queued, and its `_find_coordinator`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        numbers = self._txn_manager
        self.transaction = Transaction(numbers) if numbers is not None and numbers.transactional_id else None
        """None without transactions."""
        if self.transaction is not None:
            self._sender.__class__ = PromptSender  # aiokafka takes no sender, it makes its own

    def create_batch(self) -> OpenBatch:
        """An empty batch."""
        queue = self._message_accumulator
        return OpenBatch(queue._batch_size, queue._compression_type, self.transaction is not None)

    def queue(self, batch: QueuedBatch) -> None:
        """Put a batch at the end of its partition's queue.

        Replaces `MessageAccumulator.add_batch`, which waits while another batch of the partition is in the
        queue. Does what `_append_batch` does at its end.
        """
        queue = self._message_accumulator
        # 1. The transaction learns of the partition before anything can be sent to it.
        if self._txn_manager is not None:
            self._txn_manager.maybe_add_partition_to_txn(batch.tp)
        # 2. The batch waits behind those before it.
        queue._batches[batch.tp].append(batch)
        # 3. The sender's task is woken.
        if not queue._waiter_future.done():
            queue._waiter_future.set_result(None)

    @property
    def failure(self) -> BaseException | None:
        """What has ended the sender's task, after which nothing will be sent; None while it works."""
        error: BaseException | None = self._message_accumulator._exception
        return error

    async def ask(self, kind: CoordinationType, key: str, request: Request) -> Response:
        """The answer of the coordinator of a transactional id or of a group to one request."""
        node = await self._sender._find_coordinator(kind, key)
        return await self.client.send(node, request, group=ConnectionGroup.COORDINATION)
