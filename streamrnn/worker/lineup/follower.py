"""Keeps the rows of one line at what the group has committed, for partitions of which another line speaks.

A partition is brought to the committed offset first, by a snapshot or a warm-up, while the batches go on; then
every committed batch steps it. Only committed batches do, so nothing is ever undone here. What fails for a while is
tried again; what fails for good ends `run`. Publishes nothing, commits nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Literal, NamedTuple

from streamrnn.config import Settings
from streamrnn.errors import BrokerError, NotInTime, StoreUnavailable
from streamrnn.provenance.pedigree import Pedigree
from streamrnn.ticks import PredictionBatch, RecordColumns
from streamrnn.worker.line import Line
from streamrnn.worker.lineup.handed import Handed, HandedQueue
from streamrnn.worker.partition import NOTHING, Partition, Phase, Standing
from streamrnn.worker.pauses import Pauses
from streamrnn.worker.recovery import Recovery
from streamrnn.worker.source import TickSource

log = logging.getLogger(__name__)
MOST_QUEUED_BYTES = 256_000_000
"""Of batches that wait to be followed; beyond, they are read again."""
NEAR = 20_000
"""Offsets that are read again while the committed batches wait."""
REST = 1.0
"""Pause after a replayed batch, as a multiple of its time: the line that speaks needs the processor."""
_MAY_PASS = (BrokerError, NotInTime, StoreUnavailable)

State = Literal["hydrating", "lagging", "ready", "failing"]


class FollowedView(NamedTuple):
    """How far a partition has come: offsets behind, seconds left where that is known, and what fails."""

    number: int
    state: State
    lag: int
    left_s: float | None
    reason: str


class Follower:
    """One line beside another; `said` is told of each batch what the other line and this one made of it."""

    def __init__(
        self,
        settings: Settings,
        source: TickSource,
        line: Line,
        committed: Callable[[int], int | None],
        pauses: Pauses,
        said: Callable[[PredictionBatch, PredictionBatch], object] = lambda spoken, own: None,
    ) -> None:
        """committed: what the worker has committed of a partition. said: called on the line's thread."""
        self.line, self._committed, self._pauses, self._said = line, committed, pauses, said
        self._recovery = Recovery(settings, source, line, self, pauses, is_speaking=False, rest=REST)
        self._partitions: dict[int, Partition] = {}
        self._bringing: dict[int, asyncio.Task[None]] = {}
        self._queue, self._is_handed = HandedQueue(MOST_QUEUED_BYTES), asyncio.Event()
        self._turn, self._at_once = asyncio.Lock(), asyncio.Semaphore(settings.limits.recoveries)
        self._left_s: dict[int, float] = {}
        self._reasons: dict[int, str] = {}
        self._failure: BaseException | None = None
        self._has_failed = asyncio.Event()

    # Which partitions

    def partitions(self) -> list[Partition]:
        """Those that follow or are on their way to it; the line's keeper takes snapshots of them."""
        return list(self._partitions.values())

    def follow(self, number: int, rows: Standing | None = None) -> None:
        """Bring a partition to the committed offset, by its rows where they are good, and follow from there.

        rows: where rows that this line has of it stand.
        """
        self._stop_bringing(number)
        partition = self._partitions.setdefault(number, Partition(number))
        if rows is not None:
            partition.serving, partition.committed = rows, rows.position if rows.has_rows else None
        self._bring_soon(partition)

    def retain(self, numbers: Collection[int]) -> None:
        """Forget all others; these wait, with their rows, until they are to be followed again."""
        for number in list(self._partitions):
            if number not in numbers:
                self.forget(number)
            else:
                self._stop_bringing(number)
                self._partitions[number].phase = Phase.GATED

    def forget(self, number: int) -> None:
        """Let go of a partition and its rows."""
        self.release(number)
        self._recovery.drop(number)

    def release(self, number: int) -> Standing:
        """Follow the partition no more; where its rows stand, which are whoever's takes that."""
        self._stop_bringing(number)
        partition = self._partitions.pop(number, None)
        if partition is None:
            return Standing()
        # The keeper may have it in its hands.
        rows, partition.serving, partition.phase = partition.serving, Standing(), Phase.GATED
        return rows

    def adopt(self, number: int, rows: Standing) -> None:
        """Follow a partition whose rows this line has at the committed offset: it spoke of them until now."""
        partition = Partition(number, Phase.LIVE, committed=rows.position, serving=rows)
        self._partitions[number] = partition

    def is_at(self, number: int, offset: int) -> bool:
        """Whether the partition follows, and its rows are at this offset."""
        partition = self._partitions.get(number)
        return partition is not None and partition.phase is Phase.LIVE and partition.serving.position == offset

    def is_near(self, number: int) -> bool:
        """Whether the partition follows closely."""
        view = self.view(number)
        return view is not None and view.state == "ready"

    def pedigree(self, number: int) -> Pedigree | None:
        """What the rows of a partition are a function of."""
        return self._partitions[number].serving.pedigree

    def view(self, number: int) -> FollowedView | None:
        """How far the partition has come; None where it does not follow."""
        if (partition := self._partitions.get(number)) is None:
            return None
        reason = self._reasons.get(number, "")
        committed = self._committed(number)
        lag = 0 if committed is None else max(0, committed - partition.serving.position)
        if reason:
            state: State = "failing"
        elif partition.phase is not Phase.LIVE:
            state = "hydrating"
        else:
            state = "ready" if lag <= NEAR else "lagging"
        left_s = self._left_s.get(number) if state == "hydrating" else None
        return FollowedView(number, state, lag, left_s, reason)

    # Following

    def hand(self, handed: Handed) -> None:
        """Take a committed batch; batches come in the order in which they were committed."""
        if not self._partitions:
            return
        for left in self._queue.push(handed):
            self._miss(self._following(left))
        self._is_handed.set()

    async def run(self) -> None:
        """Follow for ever; raises what the line cannot go on after."""
        following = asyncio.create_task(self._follow_all(), name=f"{self._label} steps")
        following.add_done_callback(self._ended)
        try:
            await self._has_failed.wait()
            assert self._failure is not None
            raise self._failure
        finally:
            following.cancel()
            for number in list(self._bringing):
                self._stop_bringing(number)
            await asyncio.gather(following, return_exceptions=True)

    async def _follow_all(self) -> None:
        while True:
            await self._is_handed.wait()
            if await self.line.keeper.is_overfull(list(self._partitions)):
                await asyncio.sleep(self._pauses.retry_s)
                continue
            async with self._turn:
                if len(self._queue):
                    await self._step(self._queue.pop())
                else:
                    self._is_handed.clear()

    async def _step(self, handed: Handed) -> None:
        """Step the partitions that stand where the batch begins; those that have missed some are brought anew."""
        followed = self._following(handed)
        here = [p for p in followed if p.serving.position == handed.begins[p.number]]
        self._miss([p for p in followed if p.serving.position < handed.begins[p.number]])
        if not here:
            return
        records = handed.of(p.number for p in here)
        for partition in here:
            partition.serving.position = NOTHING
        try:
            await self.line.thread.call(self._advance, records, handed.said)
        except _MAY_PASS as error:
            log.warning("%s is brought anew: %s", self._label, error)
            for partition in here:
                if self._partitions.get(partition.number) is partition and partition.phase is Phase.LIVE:
                    self._bring_soon(partition)
            return
        for partition in here:
            if self._partitions.get(partition.number) is partition:  # else its rows are somebody else's by now
                partition.committed = handed.ends[partition.number]
                partition.serving.place(partition.committed, partition.serving.pedigree)

    def _following(self, handed: Handed) -> list[Partition]:
        """Partitions that the batch takes further, and that follow."""
        followed = (self._partitions.get(number) for number in handed.moved())
        return [p for p in followed if p is not None and p.phase is Phase.LIVE]

    def _miss(self, partitions: list[Partition]) -> None:
        """Have batches that were missed read again, though none may come after them."""
        for partition in partitions:
            log.info("partition %d: %s has missed batches and reads them again", partition.number, self._label)
            self._bring_soon(partition)

    def _advance(self, records: RecordColumns, spoken: PredictionBatch) -> None:
        """On the line's thread: step, and have both predictions compared.

        The steps are warm: a layer of the undo log would be settled in place of one of the partitions of which this
        line speaks, and be undone with those.
        """
        ticks = self.line.decoder.decode(records)[0]
        self._said(spoken, self.line.engine.step(ticks, warm=True, has_misses=True))

    # Bringing a partition to what is committed

    def _bring_soon(self, partition: Partition) -> None:
        partition.phase = Phase.RECOVERING
        task = asyncio.create_task(self._bring(partition), name=f"follow-{partition.number}")
        self._bringing[partition.number] = task
        task.add_done_callback(self._ended)

    async def _bring(self, partition: Partition) -> None:
        """Until the partition follows; what may pass is said, and tried again."""
        tries = 0
        async with self._turn:
            pass  # a batch that steps this partition is over: from here on its rows stand where they say
        while True:
            try:
                async with self._at_once:
                    await self._bring_once(partition)
                self._reasons.pop(partition.number, None)
                return
            except _MAY_PASS as error:
                tries += 1
                self._reasons[partition.number] = str(error)
                log.warning("partition %d: %s does not follow yet: %s", partition.number, self._label, error)
                await asyncio.sleep(self._pauses.after_failures(tries))

    async def _bring_once(self, partition: Partition) -> None:
        """Far away beside the batches; the last steps while they wait, so that none is missed."""
        await self._recovery.run(partition)
        while self._goal(partition) - partition.serving.position > NEAR:
            await self._recovery.replay(partition, self._goal(partition))
        async with self._turn:
            await self._recovery.replay(partition, self._goal(partition))
            partition.committed = partition.serving.position
            partition.phase = Phase.LIVE
        log.info("partition %d: %s follows from %d", partition.number, self._label, partition.serving.position)

    def _goal(self, partition: Partition) -> int:
        """Where the next batch to be followed begins: the oldest that waits, or what is committed."""
        begin = self._queue.begin_of(partition.number)
        goal = self._committed(partition.number) if begin is None else begin
        return partition.serving.position if goal is None else goal

    def _stop_bringing(self, number: int) -> None:
        if (task := self._bringing.pop(number, None)) is not None:
            task.cancel()
        self._reasons.pop(number, None)
        self._left_s.pop(number, None)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = self._failure or error
            self._has_failed.set()

    # What its recovery tells

    def recovering(self, partition: int, records: int, seconds: float) -> None:
        """How much is left to replay."""
        self._left_s[partition] = seconds

    def recovered(self, source: str, seconds: float) -> None:
        """One is at what was committed when it began."""
        log.debug("%s: rows from %s in %.1f s", self._label, source, seconds)

    @property
    def _label(self) -> str:
        return self.line.spec.label
