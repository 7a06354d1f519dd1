"""Owns this worker's place in the consumer group: what it is given, what it has read, what it commits.

The group's listener only notes a change, for no heartbeat is sent while a listener awaits; the loop takes it
with `take_rebalance` and does the work. A partition yields nothing before it is live. Knows no record's meaning.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping
from contextlib import suppress

from aiokafka import TopicPartition
from aiokafka import errors as kafka_errors
from aiokafka.abc import ConsumerRebalanceListener

from streamrnn.config import Settings
from streamrnn.errors import BrokerError, BrokerUnavailable, Rebalanced, TicksLost, TopicError
from streamrnn.kafka.client import deadline, mapped, start_client
from streamrnn.kafka.closing import stop_consumer
from streamrnn.kafka.internals.consuming import end_fetch, is_connected, place_in_group, positions
from streamrnn.kafka.marks import Assignment, Mark, Membership
from streamrnn.kafka.membership import WorkerName, make_member
from streamrnn.kafka.offsets import GroupOffsets
from streamrnn.kafka.reading.answer import Skip
from streamrnn.kafka.reading.log import read_whole
from streamrnn.kafka.reading.records import LeanConsumer, to_records
from streamrnn.kafka.topic import Topic, check_count
from streamrnn.ticks import RecordColumns

log = logging.getLogger(__name__)

_VOID = (TimeoutError, kafka_errors.NoOffsetForPartitionError)
"""Nothing to read yet: aiokafka looks for an offset of its own before we seek, and finds none."""
_HANDLED = (kafka_errors.OffsetOutOfRangeError, *_VOID)


class _Notes(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells of a change, synchronously: nothing may be awaited here."""

    def __init__(self, revoked: Callable[[], None], assigned: Callable[[frozenset[int]], None]) -> None:
        self._revoked, self._assigned = revoked, assigned

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self._revoked()

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._assigned(frozenset(tp.partition for tp in assigned))


class Source:
    """The input topic as one member of the consumer group reads it."""

    def __init__(self, settings: Settings) -> None:
        self.rebalances = 0
        self.skipped: Counter[str] = Counter()
        self._kafka, self._input = settings.kafka, settings.input
        self._settings, self._topic = settings, settings.input.topic
        self._named, self._name = Topic(self._topic), WorkerName(settings.kafka.group_instance_id)
        self._deadline_s = settings.kafka.request_timeout_ms / 1000
        self._open: frozenset[int] = frozenset()
        self._held: frozenset[int] = frozenset()
        self._placed: set[int] = set()
        self._pending: tuple[Assignment, Membership] | None = None
        self._membership: Membership | None = None
        self._partitions = 0
        self._consumer: LeanConsumer | None = None

    # Life

    async def start(self) -> None:
        """Join the group and wait for the first assignment.

        BrokerRefused, BrokerUnavailable or TopicError when it cannot; nothing stays open then.
        """
        consumer = make_member(self._settings, self._name, self._skipped)
        consumer.subscribe([self._topic], listener=_Notes(self._revoked, self._assigned))
        self._consumer = consumer
        # A member that vanished holds the join up for its session, a slow one for the rebalance timeout.
        join_s = max(self._kafka.session_timeout_ms, self._kafka.rebalance_timeout_ms) / 1000
        try:
            await start_client(consumer, self._kafka, self._deadline_s + join_s)
            self._partitions = self.partition_count()
            async with deadline(self._deadline_s, f"reading the topic {self._topic}"):
                await self._named.begin(consumer)
        except BaseException:
            await self.stop()
            self._name.check(self._kafka.group)
            raise

    async def stop(self) -> None:
        """Leave the group and close; never commits, never raises, bounded."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await stop_consumer(consumer)

    # Assignment

    def take_rebalance(self) -> Assignment | None:
        """The new assignment, once after each change; None when nothing changed since.

        TopicError when the topic has not as many partitions as at first.
        WorkerFenced when another worker has this one's name.
        """
        self._name.check(self._kafka.group)
        check_count(self._topic, self._partitions, self.partition_count())
        pending, self._pending = self._pending, None
        if pending is None:
            return None
        assignment, self._membership = pending
        self._held = assignment.partitions
        return assignment

    def membership(self) -> Membership:
        """As whom this worker may commit: its place in the generation that `take_rebalance` told last.

        Never of a newer one, in which another worker may have moved what is committed: that the broker refuses
        a stale member is what fences it. Rebalanced before the first assignment was taken.
        """
        if self._membership is None or self._membership.generation < 0:
            raise Rebalanced(f"no assignment of {self._topic} was taken yet")
        return self._membership

    def place(self) -> Membership | None:
        """Its place in the generation of now, also where that was not yet taken; None while it joins."""
        generation, member_id = (-1, "") if self._consumer is None else place_in_group(self._consumer)
        now = Membership(self._kafka.group, generation, member_id, self._kafka.group_instance_id)
        return now if member_id else None

    def has_rebalanced(self) -> bool:
        """Whether a new assignment waits to be taken: what was fetched under the old one is void."""
        return self._pending is not None

    def is_connected(self) -> bool:
        """Whether a connection to any broker is open."""
        return is_connected(self._started)

    def partition_count(self) -> int:
        """Partitions of the input topic as last heard (refreshed every minute)."""
        return len(self._started.partitions_for_topic(self._topic) or ())

    @property
    def topic_id(self) -> str:
        """The id of the input topic, by which one made anew differs from it; empty where brokers have none."""
        return self._named.id

    @property
    def is_topic_missing(self) -> bool:
        """Whether no broker knew the input topic when last looked at."""
        return self._named.is_missing

    async def look_at_topic(self) -> None:
        """TopicReplaced once it is sure that the input topic was deleted, or made anew under its name."""
        with mapped(f"looking at the topic {self._topic}"):
            await self._named.look(self._started)

    def _revoked(self) -> None:
        self._pending = None
        self._held = self._open = frozenset()
        self._placed.clear()

    def _assigned(self, partitions: frozenset[int]) -> None:
        consumer = self._started
        consumer.pause(*self._of(partitions))
        member = Membership(self._kafka.group, *place_in_group(consumer), self._kafka.group_instance_id)
        self._pending = Assignment(member.generation, partitions), member
        self.rebalances += 1

    # Reading

    async def fetch(self, live: Collection[int], timeout_ms: int = 50, most: int | None = None) -> RecordColumns:
        """The next records of the live partitions, up to `most`, by (partition, offset); empty after `timeout_ms`.

        Call it also when nothing is live: that proves to the group that this worker works. A live partition
        must have been sought since it was assigned. `positions` is valid until the next call. TicksLost when
        retention was faster.
        """
        opened = self._regate(live)
        tps = self._of(sorted(opened)) if opened else [TopicPartition(self._topic, -1)]
        try:
            batches = await self._getmany(tps, timeout_ms, most or self._input.max_poll_records)
        except kafka_errors.OffsetOutOfRangeError as error:
            await self._refuse_lost(error)
            return to_records({})
        return to_records(batches)

    def positions(self) -> dict[int, int]:
        """Next offset to be read of each partition held and sought: what to commit for all fetched so far."""
        return {tp.partition: at for tp, at in positions(self._started, self._of(self._placed)).items()}

    def seek(self, partition: int, offset: int) -> None:
        """Read `partition` from `offset` on; Rebalanced when it is no longer held."""
        if partition not in self._held:
            raise Rebalanced(f"partition {partition} of {self._topic} is not held")
        self._started.seek(TopicPartition(self._topic, partition), offset)
        self._placed.add(partition)

    def _regate(self, live: Collection[int]) -> frozenset[int]:
        """Let through what is live and held; all is shut until a new assignment is taken."""
        consumer = self._started
        opened = self._held.intersection(live)
        assert opened <= self._placed, f"seek before going live: {sorted(opened - self._placed)}"
        if opened != self._open:
            consumer.pause(*self._of(self._open - opened))
            consumer.resume(*self._of(opened - self._open))
            self._open = opened
        return opened

    async def _getmany(
        self, tps: list[TopicPartition], timeout_ms: int, most: int
    ) -> dict[TopicPartition, RecordColumns]:
        consumer = self._started
        try:
            with suppress(*_VOID), mapped(f"reading {self._topic}", but=_HANDLED):
                # When a rebalance begins, getmany waits for its end, however long.
                async with asyncio.timeout(timeout_ms / 1000 + 1.0):
                    polled: dict[TopicPartition, RecordColumns] = await consumer.getmany(
                        *tps, timeout_ms=timeout_ms, max_records=most
                    )
                    return polled
            return {}
        except BrokerError:
            self._name.check(self._kafka.group)
            raise
        finally:
            end_fetch(consumer)  # which aiokafka does not after an error

    async def _refuse_lost(self, error: kafka_errors.OffsetOutOfRangeError) -> None:
        """TicksLost where retention has overtaken us; a log that ends before us is another."""
        for tp, offset in error.args[0].items():
            start = (await self._log_starts([tp]))[tp]
            if offset > start:
                raise TopicError(
                    f"{tp.topic}-{tp.partition} has no offset {offset}: was the topic made anew? "
                    f"use another group, or delete the offsets of group {self._kafka.group!r} and its snapshots"
                )
            raise TicksLost(f"{tp.topic}-{tp.partition}: offsets {offset} to {start - 1} are gone (retention)")

    def _skipped(self, skip: Skip) -> None:
        self.skipped[skip.reason] += skip.stop - skip.start

    # Offsets

    async def committed(self, partition: int) -> Mark | None:
        """What the group has committed, None when it never did.

        Unsettled while a transaction that may move it is pending; brokers before 2.5 answer without asking.
        """
        return await GroupOffsets(self._started, self._settings).committed(partition)

    async def log_start(self, partition: int) -> int:
        """The first offset that retention has left."""
        tp = TopicPartition(self._topic, partition)
        return (await self._log_starts([tp]))[tp]

    async def first_start(self, partition: int) -> int:
        """Where a group without a committed offset begins: the log's start or end, as input.start says."""
        if self._input.start == "earliest":
            return await self.log_start(partition)
        return (await self.end_offsets([partition]))[partition]

    def read_again(self, partition: int, start: int, stop: int, most: int) -> AsyncGenerator[RecordColumns, None]:
        """All records with start <= offset < stop, at most `most` at a time, whatever this member is given.

        As `read_whole` has them. The caller closes it.
        """
        return read_whole(self._settings, self._topic, partition, start, stop, most)

    async def end_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        """Offset after the last readable record; the embedded broker answers too low until it was read."""
        consumer, tps = self._started, self._of(partitions)
        async with deadline(self._deadline_s, f"reading the end of {self._topic}"):
            ends: dict[TopicPartition, int] = await consumer.end_offsets(tps)
        held = consumer.assignment()
        seen = {tp: consumer.last_stable_offset(tp) or 0 for tp in tps if tp in held}
        return {tp.partition: max(end, seen.get(tp, 0)) for tp, end in ends.items()}

    async def commit(self, marks: Mapping[int, Mark]) -> None:
        """Commit positions (next offset to be read) with their metadata; Rebalanced when the group has moved on."""
        if not marks.keys() <= self._held:
            raise Rebalanced(f"{self._topic}: {sorted(marks.keys() - self._held)} not committed, no longer held")
        if marks:
            await GroupOffsets(self._started, self._settings).commit(self.membership(), marks)

    async def _log_starts(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        async with deadline(self._deadline_s, f"reading the start of {self._topic}"):
            starts: dict[TopicPartition, int] = await self._started.beginning_offsets(tps)
            return starts

    # Making

    @property
    def _started(self) -> LeanConsumer:
        if self._consumer is None:
            raise BrokerUnavailable("the source is not started")
        return self._consumer

    def _of(self, partitions: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition) for partition in partitions]
