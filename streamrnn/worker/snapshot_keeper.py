"""When snapshots are taken of which partition, and what is restored from them.

Owns, for each partition, the snapshot on which the next incremental one builds.

A snapshot is of the rows at a position that was reached by stepping; its manifest is written once that position is
committed, so no undo goes below it. Rows are copied in slices between steps and written by other threads.
Knows the engine and the shelf; asks no broker.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from streamrnn.config import SnapshotSettings
from streamrnn.engine.thread import EngineThread
from streamrnn.errors import CaptureVoid, Damaged, StoreUnavailable
from streamrnn.metrics import Metrics
from streamrnn.snapshots import Chain, Shelf
from streamrnn.worker.cold_tiers import ColdTiers
from streamrnn.worker.keeper import Restored
from streamrnn.worker.partition import Partition, Phase
from streamrnn.worker.snapshot_under_way import Parts, Taking

log = logging.getLogger(__name__)
T = TypeVar("T")
SLICE_ROWS = 1024
"""Rows copied between two steps at most."""
LATEST = 2**63 - 1
"""At or above every offset."""
THREADS = 4
"""One for the snapshot being written, others for restores; each may hang with its store."""
OVERFULL = 2
"""Times engine.max_parked: so many rows that no snapshot holds may wait in memory."""
HURRY_S = 1.0
"""Between two snapshots of a partition while the input waits for one."""
LONGEST_WAIT_S = 60.0
"""For a commit to reach the position of a snapshot that is otherwise done."""


@dataclass(slots=True)
class _Taken:
    """The newest snapshot that the partition's rows go on from, and when it was taken."""

    chain: Chain | None
    at_s: float


class SnapshotKeeper:
    """Keeps the partitions of one worker on a shelf."""

    def __init__(
        self,
        settings: SnapshotSettings,
        shelf: Shelf,
        thread: EngineThread,
        cold: ColdTiers,
        metrics: Metrics,
        patience_s: float = 60.0,
        max_parked: int = 1_000_000,
        look_s: float = 0.05,
        slice_rows: int = SLICE_ROWS,
    ) -> None:
        """patience_s: longest wait for one answer of the store. look_s: between two looks at what is due.

        slice_rows: rows copied between two steps at most.
        """
        self._settings, self._shelf, self._engine, self._metrics = settings, shelf, thread.engine, metrics
        self._thread, self._cold, self._patience_s = thread, cold, patience_s
        self._max_parked, self._look_s, self._slice_rows = max_parked, look_s, slice_rows
        self._is_full = False
        self._threads = ThreadPoolExecutor(THREADS, "snapshots")
        self._taken: dict[int, _Taken] = {}
        self._turn = asyncio.Lock()

    # Restoring

    async def restore(self, number: int, at_most: int, since: int | None, born: str | None) -> Restored | None:
        """The newest that can be trusted; one whose parts are damaged gives way to an older one."""
        self.forget(number)
        while True:
            found = await self._in_thread(partial(self._shelf.find, number, at_most, since, born))
            for name, reason in found.passed_over:
                log.warning("partition %d: snapshot %s is passed over: %s", number, name, reason)
            if found.chain is None:
                where = self._shelf.place(number)
                log.info("partition %d: no snapshot at or below %d in %s", number, at_most, where)
                return None
            try:
                rows = await self._load(number, found.chain)
            except Damaged as error:
                log.warning("partition %d: snapshot %s: %s", number, found.chain.name, error)
                continue
            self._taken[number] = _Taken(found.chain, time.monotonic())
            return Restored(found.chain.offset, found.chain.since, found.chain.born, rows)

    async def newest(self, number: int, born: str | None) -> int | None:
        """Looked for by its manifest and the sizes of its parts."""
        found = await self._in_thread(partial(self._shelf.find, number, LATEST, None, born))
        return None if found.chain is None else found.chain.offset

    async def _load(self, number: int, chain: Chain) -> int:
        await self._thread.call(self._engine.drop, number)
        parts, count = Parts(self._shelf.load(chain, self._cold.of(number)), self._threads), 0
        try:
            while (rows := await self._wait(parts.next())) is not None:
                count += len(rows.streams)
                await self._thread.call(self._engine.load, number, rows)
        finally:
            parts.let_go()
        return count

    def forget(self, number: int) -> None:
        """The next snapshot will be a full one."""
        self._taken.pop(number, None)
        self._cold.of(number).clear()
        self._cold.damaged.discard(number)

    @property
    def damaged(self) -> set[int]:
        """Those that the cold tier or a full snapshot came upon."""
        return self._cold.damaged

    async def is_overfull(self, numbers: Collection[int]) -> bool:
        """More than twice `engine.max_parked` for each partition; said when it begins and when it ends."""
        most = OVERFULL * max(1, self._max_parked) * max(1, len(numbers))
        is_full = self._engine.parked_of(numbers) > most
        if is_full:
            for number in numbers:
                await self._thread.call(self._engine.relieve, number)
            is_full = self._engine.parked_of(numbers) > most
        if is_full != self._is_full:
            self._is_full = is_full
            log.warning(
                "input waits: over %d parked streams wait for a snapshot"
                if is_full
                else "input goes on: at most %d parked streams wait for a snapshot",
                most,
            )
        return is_full

    # Taking

    async def run(self, partitions: Callable[[], Iterable[Partition]]) -> None:
        """One after the other; a failure is counted, said, and made up for when the next is due."""
        while True:
            await asyncio.sleep(self._look_s)
            for partition in partitions():
                self._tell(partition)
                if self._is_due(partition):
                    async with self._turn:
                        await self._take(partition)

    def _kept_at(self, partition: Partition) -> int:
        """The offset of the newest snapshot, or where the state began."""
        pedigree, taken = partition.serving.pedigree, self._taken.get(partition.number)
        if taken is not None and taken.chain is not None:
            return taken.chain.offset
        return 0 if pedigree is None else pedigree.since

    def _tell(self, partition: Partition) -> None:
        """How much a recovery would have to replay."""
        if partition.serving.has_rows and partition.phase is Phase.LIVE:
            kept_at = self._kept_at(partition)
            self._metrics.snapshot_kept_at(partition.number, kept_at, partition.serving.position - kept_at)

    def _is_due(self, partition: Partition) -> bool:
        taken = self._taken.setdefault(partition.number, _Taken(None, time.monotonic()))
        rows = partition.serving
        moved = rows.position - self._kept_at(partition)
        many = self._settings.interval_records
        if not rows.has_rows or partition.phase is not Phase.LIVE:
            return False
        if self._is_full:  # also where an undo has made the rows of the last one dirty again
            return time.monotonic() - taken.at_s >= min(self._settings.interval_s, HURRY_S)
        if moved <= 0:
            return False
        return time.monotonic() - taken.at_s >= self._settings.interval_s or 0 < many <= moved

    async def last(self, partitions: Iterable[Partition], patience_s: float) -> None:
        """So that the next start replays nothing."""
        try:
            async with asyncio.timeout(patience_s), self._turn:
                await self._take_last(partitions)
        except TimeoutError:
            log.warning("no last snapshot of all partitions in %g s: the next start replays more", patience_s)

    async def _take_last(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            taken = self._taken.get(partition.number)
            is_new = taken is None or taken.chain is None or taken.chain.offset != partition.serving.position
            if is_new and partition.serving.has_rows and partition.phase is Phase.LIVE:
                await self._take(partition)

    async def _take(self, partition: Partition) -> None:
        """One snapshot, or the reason why there is none; nothing that may pass is raised."""
        number, begun = partition.number, time.monotonic()
        taken = self._taken.setdefault(number, _Taken(None, begun))
        taken.at_s = begun
        try:
            taking = self._begin(partition, taken.chain)
        except ValueError as error:  # the cold tier is of another chain: a full one mends that
            log.info("partition %d: the next snapshot is a full one: %s", number, error)
            taken.chain = None
            return
        try:
            chain = await self._write(partition, taking)
            await self._thread.call(taking.confirm)
        except CaptureVoid as void:
            log.info("partition %d: a snapshot was given up: %s", number, void)
            taking.give_up(self._thread, self._threads)
        except (OSError, StoreUnavailable, Damaged) as error:
            log.warning("partition %d: no snapshot: %s", number, error)
            self._metrics.snapshot_failed()
            self._note_damage(taken, number, error, taking.is_full)
            taking.give_up(self._thread, self._threads)
        except BaseException:
            taking.give_up(self._thread, self._threads)
            raise
        else:
            taken.chain = chain
            self._metrics.snapshot_written(taking.draft.bytes, time.monotonic() - begun)
            log.debug("partition %d: snapshot %s, %d bytes", number, chain.name, taking.draft.bytes)
            await self._prune(partition)

    def _note_damage(self, taken: "_Taken", number: int, error: Exception, is_full: bool) -> None:
        """What the next one would build on is wrong; in a full one, rows that are nowhere else."""
        if isinstance(error, Damaged):
            taken.chain = None
            if is_full:
                self._cold.damaged.add(number)

    def _begin(self, partition: Partition, base: Chain | None) -> Taking:
        """Not a coroutine: between the look at the position and the engine's turn no further step may come."""
        pedigree, number, cold = partition.serving.pedigree, partition.number, self._cold.of(partition.number)
        assert pedigree is not None
        base = None if base is None or base.is_due_full else base
        draft = self._shelf.draft(number, pedigree.since, partition.serving.position, base, cold, pedigree.born)
        taking = Taking(partition, draft, base is None)
        self._thread.post(taking.capture, self._engine)
        return taking

    async def _write(self, partition: Partition, taking: Taking) -> Chain:
        """All rows, then the wait for the commit, then the manifest; CaptureVoid when they are overtaken."""
        while (reading := await self._thread.call(taking.take_soon, self._slice_rows)) is not None:
            await self._in_thread(lambda reading=reading: taking.draft.add(reading()))  # type: ignore[misc]
        while await self._in_thread(taking.draft.carry):
            taking.check()
        until = time.monotonic() + LONGEST_WAIT_S
        while not taking.is_committed():
            taking.check()
            if time.monotonic() > until:
                raise CaptureVoid(f"{taking.position} was not committed in {LONGEST_WAIT_S:g} s")
            await asyncio.sleep(self._look_s)
        taking.check()
        return await self._in_thread(taking.draft.finish)

    async def _prune(self, partition: Partition) -> None:
        number, committed, pedigree = partition.number, partition.committed, partition.serving.pedigree
        if committed is None or pedigree is None:
            return
        try:
            await self._in_thread(partial(self._shelf.prune, number, committed, pedigree.since, pedigree.born))
        except (OSError, StoreUnavailable, Damaged) as error:
            log.warning("partition %d: old snapshots stay: %s", number, error)

    # Threads

    def close(self) -> None:
        """Wait for none of them."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        """What waits for the store; StoreUnavailable where it fails or hangs."""
        return await self._wait(self._threads.submit(call))

    async def _wait(self, future: "Future[T]") -> T:
        try:
            async with asyncio.timeout(self._patience_s):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise StoreUnavailable(f"snapshots: no answer in {self._patience_s:g} s") from error
        except OSError as error:
            raise StoreUnavailable(f"snapshots: {error}") from error
