"""Which partitions this worker may step, and what phase each is in. Owns phases; recovery.py makes the rows.

A partition that goes is parked with its rows; one that comes is gated until its recovery is done. A recovery that
fails keeps its partition gated, is counted, and is tried again; others go on meanwhile.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping

from streamrnn.errors import (
    BrokerError,
    NotInTime,
    Rebalanced,
    StoreUnavailable,
    TopicReplaced,
    Unsettled,
    WorkerFenced,
)
from streamrnn.kafka.marks import Mark
from streamrnn.metrics import Metrics
from streamrnn.worker.lineup.lineup import Lineup
from streamrnn.worker.partition import Partition, Phase
from streamrnn.worker.pauses import Pauses
from streamrnn.worker.source import TickSource

log = logging.getLogger(__name__)


class Assigner:
    """The partitions of one worker, from assignment to live."""

    def __init__(
        self, source: TickSource, recovery: Lineup, metrics: Metrics, at_once: int, pauses: Pauses
    ) -> None:
        self._source, self._recovery, self._metrics, self._pauses = source, recovery, metrics, pauses
        self._partitions: dict[int, Partition] = {}
        self._parked: dict[int, Partition] = {}
        self._parked_s: dict[int, float] = {}
        self._broken_off: set[int] = set()
        self._recoveries: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(at_once)
        self._failure: BaseException | None = None
        self.is_assigned = False

    def live(self, speaker: str | None = None) -> list[int]:
        """Partitions that may be fetched: all, or those of which one model speaks."""
        live = (p for p in self._partitions.values() if p.phase is Phase.LIVE)
        return [p.number for p in live if speaker in (None, p.speaker)]

    def owned(self) -> list[Partition]:
        """All partitions of this worker."""
        return list(self._partitions.values())

    def phases(self) -> dict[int, str]:
        """Each owned partition's phase."""
        return {number: p.phase.value for number, p in self._partitions.items()}

    def positions(self) -> dict[int, int]:
        """The next offset of each partition that is served."""
        return {p.number: p.serving.position for p in self._partitions.values() if p.is_serving}

    def marks(self, positions: Mapping[int, int]) -> dict[int, Mark]:
        """What to commit for the positions that have moved."""
        marks = {}
        for number, position in positions.items():
            partition = self._partitions.get(number)
            pedigree = None if partition is None else partition.serving.pedigree
            if partition is not None and pedigree is not None and position != partition.committed:
                marks[number] = Mark(position, pedigree.to_text())
        return marks

    def stepped(self, positions: Mapping[int, int]) -> None:
        """Take note of how far the state has come."""
        for partition, position in self._those_of(positions):
            partition.serving.position = position

    def committed(self, positions: Mapping[int, int]) -> None:
        """Take note of what the group's committed offsets now are."""
        for partition, position in self._those_of(positions):
            partition.committed = partition.serving.settled = position

    def published(self, positions: Mapping[int, int]) -> None:
        """All below is with the broker, though not committed: nothing undoes it any more."""
        for partition, position in self._those_of(positions):
            partition.serving.settled = position

    def undone(self) -> None:
        """The engine has gone back to where it was settled."""
        for partition in (*self._partitions.values(), *self._parked.values()):
            partition.serving.undo()

    def _those_of(self, positions: Mapping[int, int]) -> Iterable[tuple[Partition, int]]:
        found = ((self._partitions.get(number), position) for number, position in positions.items())
        return [(partition, position) for partition, position in found if partition is not None]

    def readmit(self) -> None:
        """Live partitions find out anew where they stand; the others are about to."""
        for partition in self._partitions.values():
            if partition.phase in (Phase.LIVE, Phase.SWITCHING):
                partition.phase = Phase.GATED
                self._spawn(partition)
        self._metrics.state(self.phases())

    async def admit(self, numbers: Iterable[int]) -> None:
        """Follow a new assignment: park what went, gate what came, recover it in the background."""
        await self._cancel_recoveries()
        known, now_s = self._parked | self._partitions, time.monotonic()
        self._partitions = {n: known.pop(n, Partition(n)) for n in sorted(numbers)}
        self._parked = {n: p for n, p in known.items() if p.serving.has_rows}
        # A recovery that was cancelled may have left some of its rows.
        self._broken_off = (self._broken_off | known.keys()) - self._parked.keys() - self._partitions.keys()
        for partition in self._parked.values():
            partition.phase = Phase.GATED
        self._parked_s = {n: self._parked_s.get(n, now_s) for n in self._parked}
        self._recovery.assigned(self._partitions.keys())
        for partition in self._partitions.values():
            partition.phase = Phase.GATED
            self._spawn(partition)
        log.info("assigned partitions: %s", ", ".join(map(str, self._partitions)) or "none")
        self.is_assigned = True
        self._metrics.state(self.phases())

    def drop_expired(self) -> list[int]:
        """Drop rows that were others' for long or are of no use; of which partitions.

        It awaits nothing: a partition that is assigned later is restored behind its own drop.
        """
        limit_s = time.monotonic() - self._pauses.parked_s
        gone = {number for number, since_s in self._parked_s.items() if since_s < limit_s}
        for number in gone:
            del self._parked[number], self._parked_s[number]
        gone |= self._broken_off
        self._broken_off = set()
        for number in gone:
            self._recovery.drop(number)
        return sorted(gone)

    def _spawn(self, partition: Partition) -> None:
        task = asyncio.create_task(self._recover(partition), name=f"recover-{partition.number}")
        self._recoveries.add(task)
        task.add_done_callback(self.ended)

    def ended(self, task: asyncio.Task[None]) -> None:
        """A task of the worker's has ended: what it raised ends the worker."""
        self._recoveries.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error

    def raise_failure(self) -> None:
        """Raise what ended a recovery for good: a failing device, state that cannot be had."""
        if self._failure is not None:
            raise self._failure

    async def _recover(self, partition: Partition) -> None:
        """Bring one partition to live; what may pass keeps it gated, is counted, and is tried again."""
        while True:
            try:
                async with self._turns:
                    return await self._recover_once(partition)
            except Unsettled as error:  # a vanished worker's transaction, which the broker will end
                partition.phase = Phase.GATED
                log.info("partition %d waits: %s", partition.number, error)
                await asyncio.sleep(self._pauses.first_retry_s)
            except Rebalanced as error:  # a new assignment is on its way
                partition.phase = Phase.GATED
                log.debug("partition %d: %s", partition.number, error)
                await asyncio.sleep(self._pauses.first_retry_s)
            except (TopicReplaced, WorkerFenced):
                raise
            except (BrokerError, NotInTime, StoreUnavailable) as error:
                _leave_if_cancelled()
                partition.attempts += 1
                partition.phase = Phase.GATED
                self._metrics.recovery_failed()
                self._metrics.state(self.phases())
                log.warning("partition %d stays gated, try %d: %s", partition.number, partition.attempts, error)
                await asyncio.sleep(self._pauses.after_failures(partition.attempts))

    async def _recover_once(self, partition: Partition) -> None:
        partition.phase = Phase.RECOVERING
        self._metrics.state(self.phases())
        await self._recovery.run(partition)
        self._source.seek(partition.number, partition.serving.position)
        partition.phase, partition.attempts = Phase.LIVE, 0
        self._metrics.state(self.phases())

    async def _cancel_recoveries(self) -> None:
        while self._recoveries:
            for task in self._recoveries:
                task.cancel()
            await asyncio.wait(self._recoveries, timeout=1.0)

    async def close(self) -> None:
        """Stop recovering; phases say draining."""
        await self._cancel_recoveries()
        for partition in self._partitions.values():
            partition.phase = Phase.DRAINING
        self._metrics.state(self.phases())


def _leave_if_cancelled() -> None:
    """An error that came of a cancellation must not take its place."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
