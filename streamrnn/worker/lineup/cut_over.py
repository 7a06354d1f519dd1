"""Has another line speak of a partition, from one committed offset on. Owns when; the lineup owns who.

In this order, for each partition whose wanted line follows closely:

1. nothing more of it is fetched, and what was fetched is committed, up to P;
2. the wanted line's rows come to P, as it follows what is committed;
3. P is committed again, with the wanted line's pedigree beside it: from here on that line speaks, whatever happens;
4. the two change places: the wanted line's rows are those that serve, the other line follows from P.

Until 3 is known to have succeeded the old line speaks, and its next commit says so; after a crash what is written
at P decides. So every offset is spoken of by one line, and neither line's state is ever that of the other.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

from streamrnn.kafka.marks import Mark
from streamrnn.metrics import Metrics
from streamrnn.provenance.pedigree import Pedigree
from streamrnn.worker.lineup.lineup import Lineup
from streamrnn.worker.lineup.voice import ModelVoice
from streamrnn.worker.partition import Partition, Phase
from streamrnn.worker.source import TickSource

log = logging.getLogger(__name__)
LONGEST_HOLD_S = 2.0
"""After which a partition that waits to change is fetched again, to try later."""
PAUSE_S = 5.0
"""Before the next try."""
CommitMarks = Callable[[Mapping[int, Mark]], Awaitable[bool]]
"""Whether the offsets are known to be committed; raises where the worker must go back to what is."""


class CutOver:
    """Brings the partitions of one worker to the line that is wanted."""

    def __init__(
        self, lineup: Lineup, source: TickSource, commit: CommitMarks, metrics: Metrics, *, together: bool
    ) -> None:
        """commit: of offsets alone, so that no other commit is overtaken by it.

        together: whether all partitions of the worker change at one moment, or each as soon as it can.
        """
        self._lineup, self._source, self._metrics, self._together = lineup, source, metrics, together
        self._commit = commit
        self._held_s: dict[int, float] = {}
        self._not_before_s = 0.0

    @property
    def is_holding(self) -> bool:
        """Whether a partition waits, so that what was sent should be committed soon."""
        return bool(self._held_s)

    async def turn(self, owned: Iterable[Partition]) -> bool:
        """One look at what can be done, and whether a phase is another now; an error as of any commit."""
        voice = self._lineup.main()
        others = [p for p in owned if p.speaker not in ("", voice.label)]
        if not others:
            self._held_s = {}
            return False
        phases = [p.phase for p in others]
        self._hold(voice, others)
        switching = [p for p in others if p.phase is Phase.SWITCHING]
        self._held_s = {p.number: self._held_s.get(p.number, time.monotonic()) for p in switching}
        ready = [p for p in switching if _is_at_rest(voice, p)]
        if ready and not (self._together and len(ready) < len(others)):
            await self._change(voice, ready)
        self._let_go_late(switching)
        return [p.phase for p in others] != phases

    def _hold(self, voice: ModelVoice, others: list[Partition]) -> None:
        """Step 1."""
        if time.monotonic() < self._not_before_s:
            return
        near = [p for p in others if p.phase is Phase.LIVE and voice.follower.is_near(p.number)]
        if self._together and len(near) < len(others):
            return
        for partition in near:
            partition.phase = Phase.SWITCHING

    async def _change(self, voice: ModelVoice, partitions: list[Partition]) -> None:
        """Steps 3 and 4."""
        pedigrees = {p.number: _speaking_from(voice, p) for p in partitions}
        marks = {p.number: Mark(p.serving.position, pedigrees[p.number].to_text()) for p in partitions}
        if not await self._commit(marks):
            return  # gone through or not, the old line's next commit is behind it
        if self._source.has_rebalanced():
            return  # the next recovery reads what is written
        if not self._lineup.speaks(voice.label):
            self._metrics.model(voice.line.spec, str(voice.line.engine.device))
        for partition in partitions:
            before = self._lineup.speaker(partition)
            rows, left = voice.follower.release(partition.number), partition.serving
            rows.place(left.position, pedigrees[partition.number])
            partition.serving, partition.speaker, partition.phase = rows, voice.label, Phase.LIVE
            self._held_s.pop(partition.number, None)
            if before is not None:
                if not before.follower.partitions():
                    before.compare_with(voice.line.spec)
                before.follower.adopt(partition.number, left)
            self._metrics.cut_over()
            log.info("partition %d: %s speaks from %d on", partition.number, voice.label, rows.position)

    def _let_go_late(self, switching: list[Partition]) -> None:
        now_s = time.monotonic()
        late = [p for p in switching if now_s - self._held_s.get(p.number, now_s) > LONGEST_HOLD_S]
        for partition in late:
            partition.phase = Phase.LIVE
            del self._held_s[partition.number]
            self._not_before_s = now_s + PAUSE_S
            log.warning("partition %d goes on as it was: it did not come to rest", partition.number)


def _is_at_rest(voice: ModelVoice, partition: Partition) -> bool:
    """Steps 1 and 2 are done: all that was stepped is committed, and the wanted line has stepped as much."""
    at = partition.serving.position
    return at == partition.committed and voice.follower.is_at(partition.number, at)


def _speaking_from(voice: ModelVoice, partition: Partition) -> Pedigree:
    followed = voice.follower.pedigree(partition.number)
    assert followed is not None, "it is at rest"
    assert partition.serving.pedigree is not None, "it speaks"
    return followed.speaking_after(partition.serving.pedigree, partition.serving.position)
