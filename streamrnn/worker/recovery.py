"""How one partition's rows come to be those of its committed offset. Owns the choice; knows no phases.

In this order: the rows still in memory, and what came since; the newest snapshot that can be trusted, and what came
since; all records since the state's beginning where they are not too many; else a warm-up from fresh rows, which is
another state and gets a pedigree that says so. Nothing is published for what is replayed.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar

from streamrnn.codecs import Decoder
from streamrnn.config import Settings
from streamrnn.engine.engine import Engine
from streamrnn.errors import BrokerUnavailable, StateError
from streamrnn.kafka.marks import Mark
from streamrnn.kafka.reading.log import read_whole
from streamrnn.kafka.reading.member import Source
from streamrnn.metrics import Metrics
from streamrnn.provenance.pedigree import Pedigree
from streamrnn.ticks import Record
from streamrnn.worker.keeper import Keeper
from streamrnn.worker.partition import Partition

log = logging.getLogger(__name__)
T = TypeVar("T")
SAY_S = 10.0
"""Pause between lines on a recovery's progress."""


class Recovery:
    """Brings partitions to their committed offset, for one model."""

    def __init__(
        self,
        settings: Settings,
        source: Source,
        engine: Engine,
        executor: ThreadPoolExecutor,
        decoder: Decoder,
        metrics: Metrics,
        keeper: Keeper,
        fingerprint: str,
    ) -> None:
        self._settings, self._source, self._engine, self._executor = settings, source, engine, executor
        self._decoder, self._metrics, self._keeper, self._fingerprint = decoder, metrics, keeper, fingerprint

    async def run(self, partition: Partition) -> None:
        """Place the partition's rows; BrokerError or StoreUnavailable may pass, StateError may not."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._settings.limits.recovery_total_s):
                how = await self._place(partition)
        except TimeoutError as error:
            limit = self._settings.limits.recovery_total_s
            raise BrokerUnavailable(f"recovery took longer than {limit:g} s") from error
        finally:
            self._metrics.recovering(partition.number, 0, 0.0)
        self._metrics.recovered(how, time.monotonic() - started)

    async def _place(self, partition: Partition) -> str:
        """Returns where the rows came from."""
        await self._source.look_at_topic()
        mark = await self._source.committed(partition.number)
        if mark is None:
            await self._begin(partition)
            return "new"
        written = Pedigree.from_text(mark.metadata)
        if written is not None and not written.is_of(self._source.topic_id):
            log.warning(
                "partition %d: the committed offset %d is of a deleted topic of this name: it begins anew",
                partition.number,
                mark.offset,
            )
            await self._begin(partition)
            return "new"
        known = written if written is not None and written.fingerprint == self._fingerprint else None
        if known is not None and known.model != self._engine.spec.label:  # the same state under another name
            known = known._replace(model=self._engine.spec.label, served_from=mark.offset)
        if known is not None and known.since > mark.offset:
            known = None  # of another log: somebody has copied it
        first = await self._source.log_start(partition.number)
        if mark.offset < first:
            return await self._after_gap(partition, mark.offset, first, _born(written))
        is_ours = known is not None or written is None  # some brokers and tools keep no metadata
        if is_ours and await self._from_memory(partition, mark.offset, known):
            how = "memory"
        elif await self._from_snapshot(partition, mark.offset, known, _born(written)):
            how = "snapshot"
        else:
            how = await self._from_records(partition, mark.offset, known, _born(written))
        partition.committed = mark.offset
        if partition.pedigree != written or partition.position != mark.offset:
            await self._commit(partition)
        return how

    def _pedigree(self, since: int, served_from: int, born: str | None = None) -> Pedigree:
        """Of a state that begins, or of that which was `born` before."""
        born = self._of_topic() + secrets.token_hex(4) if born is None else born
        return Pedigree(self._engine.spec.label, self._fingerprint, since, served_from, born)

    def _of_topic(self) -> str:
        """What the tokens of all states of this topic start with."""
        return f"{topic_id}." if (topic_id := self._source.topic_id) else ""

    async def _commit(self, partition: Partition) -> None:
        """What the rows are, before anything is published that was made of them."""
        assert partition.pedigree is not None
        await self._source.commit({partition.number: Mark(partition.position, partition.pedigree.to_text())})
        partition.committed = partition.position

    async def _begin(self, partition: Partition) -> None:
        """A group without a committed offset begins where it is told; committed at once, so that it stays there."""
        start = await self._source.first_start(partition.number)
        await self._empty(partition, start, self._pedigree(start, start))
        await self._commit(partition)
        log.info("partition %d begins at %d", partition.number, start)
        kept = await self._keeper.newest(partition.number, self._of_topic() or None)
        if kept is not None:
            log.warning(
                "partition %d: the group has no offset there, expired or deleted, but a snapshot at %d: it begins "
                "at %d, as input.start says, with new states; to go on from the snapshot, stop, and set the offset "
                "with kafka-consumer-groups.sh --reset-offsets --to-offset %d --topic %s:%d",
                *(partition.number, kept, start, kept, self._settings.input.topic, partition.number),
            )

    def forget(self, number: int) -> None:
        """The partition's rows are about to be dropped, for it is another worker's."""
        self._keeper.forget(number)

    async def _empty(self, partition: Partition, start: int, pedigree: Pedigree) -> None:
        partition.void()
        self._keeper.forget(partition.number)
        await self._on_engine(lambda: self._engine.drop(partition.number))
        partition.pedigree = pedigree
        partition.place(start)

    async def _from_memory(self, partition: Partition, committed: int, known: Pedigree | None) -> bool:
        """Go on with the rows in memory, where nobody has made another state of the records since."""
        pedigree, number = partition.pedigree, partition.number
        if number in self._keeper.damaged:
            return False
        if pedigree is None or not partition.has_rows or (known is not None and not known.is_kin(pedigree)):
            return False
        if committed < partition.position:
            # All below `position` was published before a rebalance, which kept it from being committed.
            if committed != partition.committed:
                log.info("partition %d: its rows are at %d, beyond %d", number, partition.position, committed)
                return False
        elif committed > partition.position:
            if await self._source.log_start(number) > partition.position:
                log.info("partition %d: ticks after its rows in memory are gone", number)
                return False
            await self._replay(partition, committed)
        log.info("partition %d goes on at %d with its rows in memory", number, partition.position)
        return True

    async def _from_snapshot(
        self, partition: Partition, committed: int, known: Pedigree | None, born: str | None
    ) -> bool:
        number, of_topic = partition.number, self._of_topic() or None
        partition.void()
        since, born = None if known is None else known.since, of_topic if born is None else born
        found = await self._keeper.restore(number, committed, since, born)
        if found is None:
            return False
        start = await self._source.log_start(number)
        if found.offset < committed and start > found.offset:
            self._say_gap(number, f"the snapshot at {found.offset}", start)
            return False
        served_from = committed if known is None else known.served_from
        partition.pedigree = self._pedigree(found.since, served_from, found.born)
        partition.place(found.offset)
        replayed = await self._replay(partition, committed)
        log.info(
            "partition %d restored: %d rows of the snapshot at %d and %d records up to %d",
            *(number, found.rows, found.offset, replayed, committed),
        )
        return True

    def _say_gap(self, number: int, what: str, start: int) -> None:
        said = f"partition {number}: {what} needs ticks below {start}, which retention has deleted"
        if self._settings.snapshots.on_gap == "fail":
            raise StateError(f"{said}; snapshots.on_gap is fail")
        log.warning("%s: warming up anew", said)

    async def _after_gap(self, partition: Partition, committed: int, first: int, born: str | None) -> str:
        """Ticks that were never stepped are gone: another state begins at the first that is left."""
        self._say_gap(partition.number, f"the committed offset {committed}", first)
        await self._empty(partition, first, self._pedigree(first, first, born))
        await self._commit(partition)
        return "warmup"

    async def _from_records(
        self, partition: Partition, committed: int, known: Pedigree | None, born: str | None
    ) -> str:
        """All since the state's beginning where that is not too much, else a warm-up."""
        number, most = partition.number, self._settings.input.warmup_ticks
        kept = self._settings.snapshots
        whole = max(most, kept.max_replay if kept.url is not None else 0)
        first = await self._source.log_start(number)
        if known is not None and committed - known.since <= whole and first <= known.since:
            pedigree, how = known, "beginning"
        else:
            if known is not None and first > known.since and kept.url is not None:
                self._say_gap(number, f"its state, which begins at {known.since},", first)
            start = min(committed, max(first, committed - most))
            pedigree, how = self._pedigree(start, committed, born), "warmup"
        await self._empty(partition, pedigree.since, pedigree)
        replayed = await self._replay(partition, committed)
        if how == "warmup" and known is not None:
            log.warning("partition %d: no usable snapshot, its state is no longer what it was", number)
        log.info(
            "partition %d: state of the %d records from %d to %d (%s)",
            number,
            replayed,
            pedigree.since,
            committed,
            how,
        )
        return how

    async def _replay(self, partition: Partition, stop: int) -> int:
        """Step all records up to `stop`; cut short at any point, the rows are what `position` says or void."""
        start, replayed, limit = partition.position, 0, self._settings.input.max_poll_records
        if start >= stop:
            return 0
        begun = said = time.monotonic()
        pedigree = partition.pedigree
        topic = self._settings.input.topic
        async with aclosing(read_whole(self._settings, topic, partition.number, start, stop, limit)) as batches:
            while True:
                async with self._progress(partition.number):
                    records = await anext(batches, None)
                if records is None:
                    break
                partition.void()
                await self._on_engine(lambda records=records: self._warm(records))  # type: ignore[misc]
                partition.pedigree = pedigree
                partition.place(records[-1].offset + 1)
                replayed += len(records)
                left = stop - partition.position
                seconds = (time.monotonic() - begun) / (partition.position - start) * left
                self._metrics.recovering(partition.number, left, seconds)
                if time.monotonic() - said > SAY_S:
                    said = time.monotonic()
                    log.info("partition %d: %d offsets to replay, about %.0f s", partition.number, left, seconds)
        partition.place(stop)
        return replayed

    @asynccontextmanager
    async def _progress(self, number: int) -> AsyncIterator[None]:
        limit = self._settings.limits.recovery_stall_s
        try:
            async with asyncio.timeout(limit):
                yield
        except TimeoutError as error:
            raise BrokerUnavailable(f"recovery of partition {number} came no further in {limit:g} s") from error

    def _warm(self, records: list[Record]) -> None:
        """On the engine thread: step and publish nothing."""
        self._engine.step(self._decoder.decode(records)[0], warm=True)

    async def _on_engine(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)


def _born(written: Pedigree | None) -> str | None:
    """Whatever model wrote it: a state of the same log."""
    return (written.born or None) if written is not None else None
