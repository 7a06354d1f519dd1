"""When snapshots are taken of which partition, and what is restored from them. Owns the chains it goes on from.

A snapshot is of the rows at a position that was reached by stepping; its manifest is written once that position is
committed, so no undo goes below it. Rows are copied in slices between steps and written by other threads.
Knows the engine and the shelf; asks no broker.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from streamrnn.config import SnapshotSettings
from streamrnn.engine.capture import Capture
from streamrnn.engine.engine import Engine
from streamrnn.errors import CaptureVoid, StoreUnavailable
from streamrnn.metrics import Metrics
from streamrnn.snapshots import Chain, Damaged, Draft, Shelf
from streamrnn.ticks import StreamRows
from streamrnn.worker.cold import ColdTiers
from streamrnn.worker.partition import Partition, Phase

log = logging.getLogger(__name__)
T = TypeVar("T")
SLICE_ROWS = 1024
"""Rows copied between two steps at most."""
THREADS = 4
"""One for the snapshot being written, others for restores; each may hang with its store."""
LOOK_S = 0.05
LONGEST_WAIT_S = 60.0
"""For a commit to reach the position of a snapshot that is otherwise done."""


class Restored(NamedTuple):
    """What a snapshot gave back: where it stands, what it is a function of, and how many rows were read."""

    offset: int
    since: int
    rows: int


class Keeper(Protocol):
    """Takes snapshots, or does not."""

    async def restore(self, number: int, at_most: int, since: int | None) -> Restored | None:
        """Give the partition the rows of its newest snapshot to be trusted; StoreUnavailable may pass."""

    def forget(self, number: int) -> None:
        """The partition's rows are about to be dropped."""

    @property
    def damaged(self) -> set[int]:
        """Partitions some of whose rows only snapshots held that turned out to be damaged: restore them."""

    def close(self) -> None:
        """Let go of all threads; those that hang in a store are left behind."""

    async def run(self, partitions: Callable[[], Iterable[Partition]]) -> None:
        """Take snapshots as they fall due, for ever."""

    async def last(self, partitions: Iterable[Partition], patience_s: float) -> None:
        """Take one of each live partition that has moved since its last, in that time."""


class NoKeeper:
    """Snapshots off."""

    async def restore(self, number: int, at_most: int, since: int | None) -> Restored | None:
        """Nothing is kept."""
        return None

    def forget(self, number: int) -> None:
        """Nothing is known."""

    @property
    def damaged(self) -> set[int]:
        """None."""
        return set()

    def close(self) -> None:
        """Nothing was opened."""

    async def run(self, partitions: Callable[[], Iterable[Partition]]) -> None:
        """Nothing falls due."""
        await asyncio.Event().wait()

    async def last(self, partitions: Iterable[Partition], patience_s: float) -> None:
        """Nothing is taken."""


@dataclass(slots=True)
class _Taken:
    """The newest snapshot that the partition's rows go on from, and when it was taken."""

    chain: Chain | None
    at_s: float


class SnapshotKeeper:
    """Keeps the partitions of one worker on a shelf."""

    def __init__(
        self, settings: SnapshotSettings, shelf: Shelf, engine: Engine, executor: ThreadPoolExecutor,
        cold: ColdTiers, metrics: Metrics, patience_s: float = 60.0,
    ) -> None:  # fmt: skip
        """patience_s: longest wait for one answer of the store."""
        self._settings, self._shelf, self._engine, self._metrics = settings, shelf, engine, metrics
        self._executor, self._cold, self._patience_s = executor, cold, patience_s
        self._threads = ThreadPoolExecutor(THREADS, "snapshots")
        self._taken: dict[int, _Taken] = {}
        self._turn = asyncio.Lock()

    # Restoring

    async def restore(self, number: int, at_most: int, since: int | None) -> Restored | None:
        """The newest that can be trusted; one whose parts are damaged gives way to an older one."""
        self.forget(number)
        while True:
            found = await self._in_thread(lambda: self._shelf.find(number, at_most, since))
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
            return Restored(found.chain.offset, found.chain.since, rows)

    async def _load(self, number: int, chain: Chain) -> int:
        await self._on_engine(lambda: self._engine.drop(number))
        parts: Generator[StreamRows, None, None] = self._shelf.load(chain, self._cold.of(number))
        count = 0
        try:
            while (rows := await self._in_thread(lambda: next(parts, None))) is not None:
                count += len(rows.streams)
                await self._on_engine(lambda rows=rows: self._engine.load(number, rows))  # type: ignore[misc]
        finally:
            await self._in_thread(parts.close)
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

    # Taking

    async def run(self, partitions: Callable[[], Iterable[Partition]]) -> None:
        """One after the other; a failure is counted, said, and made up for when the next is due."""
        while True:
            await asyncio.sleep(LOOK_S)
            for partition in partitions():
                if self._is_due(partition):
                    async with self._turn:
                        await self._take(partition)

    def _is_due(self, partition: Partition) -> bool:
        number = partition.number
        taken = self._taken.setdefault(number, _Taken(None, time.monotonic()))
        start = partition.pedigree.since if partition.pedigree is not None else 0
        moved = partition.position - (start if taken.chain is None else taken.chain.offset)
        many = self._settings.interval_records
        if moved <= 0 or not partition.has_rows or partition.phase is not Phase.LIVE:
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
            is_new = taken is None or taken.chain is None or taken.chain.offset != partition.position
            if is_new and partition.has_rows and partition.phase is Phase.LIVE:
                await self._take(partition)

    async def _take(self, partition: Partition) -> None:
        number, begun = partition.number, time.monotonic()
        taken = self._taken.setdefault(number, _Taken(None, begun))
        taken.at_s = begun
        position = partition.position
        draft, captured, is_full = self._begin(partition, taken.chain)
        capture = await captured
        try:
            await self._write(partition, position, draft, capture)
            chain = await self._in_thread(draft.finish)
        except CaptureVoid as void:
            log.info("partition %d: a snapshot was given up: %s", number, void)
            await self._give_up(draft, capture)
        except (OSError, StoreUnavailable, Damaged) as error:
            log.warning("partition %d: no snapshot: %s", number, error)
            self._metrics.snapshot_failed()
            if isinstance(error, Damaged) and is_full:  # rows that are nowhere else
                self._cold.damaged.add(number)
            if isinstance(error, Damaged):
                taken.chain = None
            await self._give_up(draft, capture)
        except BaseException:
            await self._give_up(draft, capture)
            raise
        else:
            await self._on_engine(capture.confirm)
            taken.chain = chain
            self._metrics.snapshot_written(draft.bytes, time.monotonic() - begun)
            log.debug("partition %d: snapshot %s, %d bytes", number, chain.name, draft.bytes)
            await self._prune(partition)

    def _begin(
        self, partition: Partition, base: Chain | None
    ) -> tuple[Draft, "asyncio.Future[Capture]", bool]:
        """Not a coroutine: between the look at the position and the engine's turn no further step may come."""
        assert partition.pedigree is not None
        number, cold = partition.number, self._cold.of(partition.number)
        base = None if base is None or base.is_due_full or cold.needs_full else base
        draft = self._shelf.draft(number, partition.pedigree.since, partition.position, base, cold)
        loop = asyncio.get_running_loop()
        captured = loop.run_in_executor(self._executor, self._engine.capture, number, base is None)
        return draft, captured, base is None

    async def _write(self, partition: Partition, position: int, draft: Draft, capture: Capture) -> None:
        """All rows, and then the wait for the commit."""
        pedigree = partition.pedigree
        while (reading := await self._on_engine(lambda: capture.take_soon(SLICE_ROWS))) is not None:
            await self._in_thread(lambda reading=reading: draft.add(reading()))  # type: ignore[misc]
        until = time.monotonic() + LONGEST_WAIT_S
        while partition.committed is None or partition.committed < position:
            if time.monotonic() > until:
                raise CaptureVoid(f"{position} was not committed in {LONGEST_WAIT_S:g} s")
            await asyncio.sleep(LOOK_S)
            if partition.position < position or partition.pedigree != pedigree:
                raise CaptureVoid(f"{position} was undone")

    async def _give_up(self, draft: Draft, capture: Capture) -> None:
        await self._on_engine(capture.fail)
        await self._in_thread(draft.abandon)

    async def _prune(self, partition: Partition) -> None:
        number, committed = partition.number, partition.committed
        if committed is None:
            return
        try:
            await self._in_thread(lambda: self._shelf.prune(number, committed))
        except (OSError, StoreUnavailable, Damaged) as error:
            log.warning("partition %d: old snapshots stay: %s", number, error)

    # Threads

    def close(self) -> None:
        """Wait for none of them."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        """What waits for the store; StoreUnavailable where it fails or hangs."""
        try:
            async with asyncio.timeout(self._patience_s):
                return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except TimeoutError as error:
            raise StoreUnavailable(f"snapshots: no answer in {self._patience_s:g} s") from error
        except OSError as error:
            raise StoreUnavailable(f"snapshots: {error}") from error

    async def _on_engine(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)
