"""How one partition's rows come to be those of its committed offset: facts, choice, act.

Owns the gathering of facts and the acts; recovery_plan.py owns the choice. Nothing is published for what is
replayed. Knows no phases.

A line that speaks commits what its rows have become. A line that follows goes by what is committed.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Protocol

from streamrnn.config import Settings
from streamrnn.errors import NotInTime
from streamrnn.kafka.marks import Mark
from streamrnn.provenance.pedigree import Pedigree
from streamrnn.ticks import Record
from streamrnn.worker.keeper import Restored
from streamrnn.worker.line import Line
from streamrnn.worker.partition import Partition
from streamrnn.worker.pauses import Pauses
from streamrnn.worker.recovery_plan import (
    FROM_FRESH_ROWS,
    Note,
    RecoveryChoice,
    RecoveryFacts,
    RecoveryTerms,
    RowsInMemory,
    SnapshotSought,
    Way,
    begins_anew,
    choice_after,
    first_choice,
)
from streamrnn.worker.source import TickSource

log = logging.getLogger(__name__)
ALL = 1 << 62
"""More ticks than there are."""


class RecoveryWatch(Protocol):
    """Who is told how recoveries go."""

    def recovering(self, partition: int, records: int, seconds: float) -> None:
        """So many records are left to replay, which takes so long; 0 when the recovery has ended."""

    def recovered(self, source: str, seconds: float) -> None:
        """A partition's rows are at its committed offset: where they came from, and how long that took."""


class Recovery:
    """Brings partitions to their committed offset, for one line."""

    def __init__(
        self,
        settings: Settings,
        source: TickSource,
        line: Line,
        metrics: RecoveryWatch,
        pauses: Pauses,
        *,
        is_speaking: bool = True,
        rest: float = 0.0,
    ) -> None:
        """is_speaking: whether what the rows have become is committed. rest: pause after each batch that is
        replayed, as a multiple of the time that the batch took."""
        self._settings, self._source, self._thread, self._engine = settings, source, line.thread, line.engine
        self._decoder, self._keeper, self._metrics, self._pauses = line.decoder, line.keeper, metrics, pauses
        self._rest = rest
        kept, reads_all = settings.snapshots, not is_speaking and settings.model.warmup == "all"
        self._terms = RecoveryTerms(
            model=line.spec.label,
            fingerprint=line.fingerprint,
            warmup_ticks=ALL if reads_all else settings.input.warmup_ticks,
            max_replay=None if kept.url is None else kept.max_replay,
            fails_on_gap=kept.on_gap == "fail",
            is_speaking=is_speaking,
        )

    async def run(self, partition: Partition) -> None:
        """Place the partition's rows; BrokerError or StoreUnavailable may pass, StateError may not."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._settings.limits.recovery_total_s):
                how = await self._place(partition)
        except TimeoutError as error:
            limit = self._settings.limits.recovery_total_s
            raise NotInTime(f"recovery took longer than {limit:g} s") from error
        finally:
            self._metrics.recovering(partition.number, 0, 0.0)
        self._metrics.recovered(how, time.monotonic() - started)

    async def _place(self, partition: Partition) -> str:
        """Facts, choice, act. Returns where the rows came from."""
        facts = await self._gather(partition)
        choice, restored = first_choice(facts, self._terms), None
        if isinstance(choice, SnapshotSought):
            self._say(partition.number, choice.notes)
            restored = await self._restore(partition, choice)
            choice = choice_after(facts, self._terms, restored)
        self._say(partition.number, choice.notes)
        replayed = await self._act(partition, choice)
        if facts.committed is not None:
            partition.committed = facts.committed
        stands = (partition.serving.position, partition.serving.pedigree)
        if self._terms.is_speaking and stands != (facts.committed, facts.written):
            await self._commit(partition)
        await self._say_done(partition, choice, replayed, restored)
        return "warmup" if choice.way is Way.GAP else choice.way.value

    # Facts

    async def _gather(self, partition: Partition) -> RecoveryFacts:
        """All that the first choice needs, of one moment: the log's start is looked up once."""
        source, number = self._source, partition.number
        await source.look_at_topic()
        mark = await source.committed(number)
        offset, written = (None, None) if mark is None else (mark.offset, Pedigree.from_text(mark.metadata))
        is_new = begins_anew(offset, written, source.topic_id)
        first = await (source.first_start(number) if is_new else source.log_start(number))
        memory = self._in_memory(partition)
        return RecoveryFacts(number, offset, written, source.topic_id, first, memory, secrets.token_hex(4))

    def _in_memory(self, partition: Partition) -> RowsInMemory | None:
        rows = partition.serving
        if not rows.has_rows:
            return None
        assert rows.pedigree is not None
        is_damaged = partition.number in self._keeper.damaged
        return RowsInMemory(rows.position, partition.committed, rows.pedigree, is_damaged)

    # Acts

    async def _restore(self, partition: Partition, sought: SnapshotSought) -> Restored | None:
        partition.serving.void()
        return await self._keeper.restore(partition.number, sought.at_most, sought.since, sought.born)

    async def _act(self, partition: Partition, choice: RecoveryChoice) -> int:
        """Make the rows those of the choice; how many records were replayed for it."""
        if choice.way in FROM_FRESH_ROWS:
            partition.serving.void()
            self._keeper.forget(partition.number)
            await self._thread.call(self._engine.drop, partition.number)
        if choice.way is not Way.MEMORY:
            partition.serving.place(choice.start, choice.pedigree)
        return await self.replay(partition, choice.stop)

    async def _commit(self, partition: Partition) -> None:
        """What the rows are, before anything is published that was made of them."""
        rows = partition.serving
        assert rows.pedigree is not None
        await self._source.commit({partition.number: Mark(rows.position, rows.pedigree.to_text())})
        partition.committed = rows.position

    def drop(self, number: int) -> None:
        """Let go of the rows of a partition that is another worker's, before whatever is done with it next."""
        self._keeper.forget(number)
        self._thread.post(self._engine.drop, number)

    # What the log says

    def _say(self, number: int, notes: Iterable[Note]) -> None:
        for note in notes:
            log.log(note.level, "partition %d: %s", number, note.text)

    async def _say_done(
        self, partition: Partition, choice: RecoveryChoice, replayed: int, restored: Restored | None
    ) -> None:
        number = partition.number
        if choice.way is Way.NEW:
            log.info("partition %d begins at %d", number, choice.start)
            await self._say_snapshot_left(number, choice.start)
        elif choice.way is Way.MEMORY:
            log.info("partition %d goes on at %d with its rows in memory", number, choice.stop)
        elif restored is not None and choice.way is Way.SNAPSHOT:
            log.info(
                "partition %d restored: %d rows of the snapshot at %d and %d records up to %d",
                *(number, restored.rows, restored.offset, replayed, choice.stop),
            )
        elif choice.way is not Way.GAP:
            log.info(
                "partition %d: state of the %d records from %d to %d (%s)",
                *(number, replayed, choice.start, choice.stop, choice.way),
            )

    async def _say_snapshot_left(self, number: int, start: int) -> None:
        """A group without an offset may have lost it: a snapshot to go on from is told, not taken."""
        topic_id = self._source.topic_id
        kept = await self._keeper.newest(number, f"{topic_id}." if topic_id else None)
        if kept is not None:
            log.warning(
                "partition %d: the group has no offset there, expired or deleted, but a snapshot at %d: it begins "
                "at %d, as input.start says, with new states; to go on from the snapshot, stop, and set the offset "
                "with kafka-consumer-groups.sh --reset-offsets --to-offset %d --topic %s:%d",
                *(number, kept, start, kept, self._settings.input.topic, number),
            )

    # Replay

    async def replay(self, partition: Partition, stop: int) -> int:
        """Step all records up to `stop`; cut short at any point, the rows are what `position` says or void."""
        rows, replayed = partition.serving, 0
        start, pedigree = rows.position, rows.pedigree
        if start >= stop:
            return 0
        left = _Left(partition.number, start, stop, self._metrics, self._pauses.say_s)
        most = self._settings.input.max_poll_records
        async with aclosing(self._source.read_again(partition.number, start, stop, most)) as batches:
            while (records := await self._next(partition.number, batches)) is not None:
                rows.void()
                begun = time.monotonic()
                await self._thread.call(self._warm, records)
                rows.place(records[-1].offset + 1, pedigree)
                replayed += len(records)
                left.note(rows.position)
                if self._rest:
                    await asyncio.sleep(self._rest * (time.monotonic() - begun))
        rows.place(stop, pedigree)
        return replayed

    async def _next(self, number: int, batches: AsyncGenerator[Sequence[Record], None]) -> Sequence[Record] | None:
        """The next records, None after the last; NotInTime where none come for too long."""
        limit = self._settings.limits.recovery_stall_s
        try:
            async with asyncio.timeout(limit):
                return await anext(batches, None)
        except TimeoutError as error:
            raise NotInTime(f"recovery of partition {number} came no further in {limit:g} s") from error

    def _warm(self, records: Sequence[Record]) -> None:
        """On the engine thread: step and publish nothing."""
        self._engine.step(self._decoder.decode(records)[0], warm=True)


class _Left:
    """How much of a replay is left, and about how long that takes: told at every batch, said now and then."""

    def __init__(self, number: int, start: int, stop: int, metrics: RecoveryWatch, say_s: float) -> None:
        self._number, self._start, self._stop, self._metrics = number, start, stop, metrics
        self._begun_s = self._said_s = time.monotonic()
        self._say_s = say_s

    def note(self, position: int) -> None:
        """All below `position` has been replayed."""
        now_s, left = time.monotonic(), self._stop - position
        seconds = (now_s - self._begun_s) / (position - self._start) * left
        self._metrics.recovering(self._number, left, seconds)
        if now_s - self._said_s > self._say_s:
            self._said_s = now_s
            log.info("partition %d: %d offsets to replay, about %.0f s", self._number, left, seconds)
