"""The lines of one worker, at most two: for each partition one speaks, and the other, where there is one, follows.

Which one speaks of a partition is what is written beside its committed offset, so a restart, another worker and a
half-done change of models all agree. To the assigner it is the recovery of every partition. Knows no registry.
"""

import asyncio
import gc
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator

from streamrnn.provenance.pedigree import Pedigree
from streamrnn.ticks import RecordColumns
from streamrnn.worker.commit_interval import SentBatch
from streamrnn.worker.lineup.handed import Handed
from streamrnn.worker.lineup.voice import ModelVoice
from streamrnn.worker.partition import Partition, Phase, Standing
from streamrnn.worker.source import TickSource

log = logging.getLogger(__name__)
MOST_VOICES = 2
COLLECT_S = 1.0
"""After a voice has gone, whose parts know each other: the collector frees its rows, and seldom looks by itself."""
NEWEST = 200
"""Records that are kept to judge by whether another model fits them."""

Summon = Callable[[Pedigree], Awaitable[ModelVoice | None]]
"""Has the voice made and added that a pedigree is of; None where it cannot be had, or no seat can."""


async def nobody(_: Pedigree) -> None:
    """No voice but those that there are."""


class Lineup:
    """Who speaks of which partition; every voice is followed by all the others."""

    def __init__(self, source: TickSource, wanted: str, summon: Summon = nobody) -> None:
        """wanted: the model that speaks where nothing else is written; its voice is to be added.

        summon: makes the voices that are written.
        """
        self._source, self.summon = source, summon
        self._voices: dict[str, ModelVoice] = {}
        self._partitions: dict[int, Partition] = {}
        self._met: dict[int, Partition] = {}
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}
        self._has_started, self._last_turn = False, ""
        self.wanted = wanted
        """Who is to speak of all partitions."""
        self._newest: deque[tuple[RecordColumns, int]] = deque()
        self.broken: dict[str, str] = {}
        """Voices that could not go on to follow, and why."""

    # Who there is

    def voices(self) -> list[ModelVoice]:
        """All of them, the one that is wanted first."""
        return sorted(self._voices.values(), key=lambda voice: voice.label != self.wanted)

    def main(self) -> ModelVoice:
        """The one that is wanted."""
        return self._voices[self.wanted]

    def get(self, label: str) -> ModelVoice | None:
        """The voice of a model; None where there is none."""
        return self._voices.get(label)

    def speaker(self, partition: Partition) -> ModelVoice | None:
        """Who speaks of a partition; None before its first recovery, or where that voice has gone."""
        return self._voices.get(partition.speaker)

    def turn(self) -> ModelVoice:
        """Each of those who speak of a live partition, one after the other; who is wanted where nobody does."""
        live = {p.speaker for p in self._partitions.values() if p.phase is Phase.LIVE}
        if len(live) < 2:
            return self._voices.get(next(iter(live), self.wanted)) or self.main()
        self._last_turn = next(label for label in sorted(live) if label != self._last_turn)
        return self._voices[self._last_turn]

    @property
    def is_mixed(self) -> bool:
        """Whether some partitions are spoken of by one voice, some by another."""
        return len({partition.speaker for partition in self._partitions.values()}) > 1

    def speaking(self) -> list[ModelVoice]:
        """Those who speak of any partition, who is wanted first; who is wanted where nobody does yet."""
        return [voice for voice in self.voices() if self.speaks(voice.label)] or [self.main()]

    def speaks(self, label: str) -> bool:
        """Whether a voice speaks of any partition."""
        return any(partition.speaker == label for partition in self._partitions.values())

    def partitions(self) -> list[Partition]:
        """Those that have been recovered under the present assignment."""
        return list(self._partitions.values())

    def committed(self, number: int) -> int | None:
        """What the worker has committed of a partition."""
        partition = self._partitions.get(number)
        return None if partition is None else partition.committed

    # Voices come and go

    def add(self, voice: ModelVoice) -> None:
        """One more, which follows all partitions; there is room for it."""
        assert len(self._voices) < MOST_VOICES, "make room first"
        for other in self._voices.values():
            voice.compare_with(other.line.spec)
            other.compare_with(voice.line.spec)
        self._voices[voice.label] = voice
        self.broken.pop(voice.label, None)
        if self._has_started:
            self._start(voice)
        for partition in self._partitions.values():
            if partition.speaker != voice.label:
                voice.follower.follow(partition.number)

    def remove(self, label: str) -> None:
        """Close a voice that speaks of no partition."""
        assert not self.speaks(label), "somebody else must speak first"
        voice = self._voices.pop(label)
        for partition in self._met.values():  # parked ones too: their rows go with the engine
            if partition.speaker == label:
                partition.speaker, partition.serving = "", Standing()
        for task in self._tasks.pop(label, []):
            task.cancel()
        voice.close()
        asyncio.get_running_loop().call_later(COLLECT_S, gc.collect)
        log.info("%s is let go", label)

    def start(self) -> None:
        """Have the voices follow, and their keepers take snapshots."""
        self._has_started = True
        for voice in self._voices.values():
            self._start(voice)

    def _start(self, voice: ModelVoice) -> None:
        keeping = asyncio.create_task(
            voice.line.keeper.run(lambda: self._kept(voice)), name=f"snapshots of {voice.label}"
        )
        following = asyncio.create_task(voice.follower.run(), name=f"{voice.label} follows")
        self._tasks[voice.label] = [keeping, following]

    def _kept(self, voice: ModelVoice) -> Iterator[Partition]:
        """Whose they are is asked when each has its turn: snapshots take their time."""
        for partition in list(self._partitions.values()):
            if partition.speaker == voice.label:
                yield partition
        yield from voice.follower.partitions()

    def look(self) -> None:
        """Raise what a voice that speaks has failed with; one that only follows is let go for it."""
        for label, tasks in list(self._tasks.items()):
            errors = [task.exception() for task in tasks if task.done() and not task.cancelled()]
            try:
                self._voices[label].thread.raise_failure()
                for error in errors:
                    raise error or AssertionError("it runs for ever")
            except Exception as error:
                others = [own for own in self._voices if own != label]
                if self.speaks(label) or not others:
                    raise
                if label == self.wanted:
                    self.wanted = others[0]
                log.error("%s cannot follow any more and is let go: %s", label, error)
                self.broken[label] = str(error)
                self.remove(label)

    async def last(self, patience_s: float) -> None:
        """Have each take its last snapshots of what it speaks of, in that time all together."""
        spoken = {v: [p for p in self._partitions.values() if p.speaker == v.label] for v in self._voices.values()}
        await asyncio.gather(*(voice.line.keeper.last(own, patience_s) for voice, own in spoken.items()))

    async def close(self) -> None:
        """Stop following and keeping; closes no engine's thread."""
        tasks = [task for own in self._tasks.values() for task in own]
        # Who is still made comes too late to be started.
        self._tasks, self._partitions, self._has_started = {}, {}, False
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for voice in self._voices.values():
            voice.line.keeper.close()

    # As the recovery of all partitions

    async def run(self, partition: Partition) -> None:
        """Have the partition's rows placed by who speaks of it; see Recovery.run. Then the others follow."""
        number = partition.number
        voice = await self._chosen(number)
        before, left = self._voices.get(partition.speaker), None
        if before is not voice:
            left = partition.serving
            partition.serving, partition.speaker = voice.follower.release(number), voice.label
        self._partitions[number] = self._met[number] = partition
        await voice.recovery.run(partition)
        for other in self._voices.values():
            if other is not voice:
                other.follower.follow(number, left if other is before else None)

    async def _chosen(self, number: int) -> ModelVoice:
        """Who speaks of a partition: the voice that is written beside its committed offset, else who is wanted."""
        if len(self._voices) == 1 and self.summon is nobody:
            return self.main()
        mark = await self._source.committed(number)
        written = None if mark is None else Pedigree.from_text(mark.metadata)
        if written is None:
            return self.main()
        for voice in sorted(self._voices.values(), key=lambda each: each.label != written.model):
            if voice.line.fingerprint == written.fingerprint:
                return voice
        return await self.summon(written) or self.main()

    def assigned(self, numbers: Collection[int]) -> None:
        """A new assignment: nobody follows until the partition's recovery has run."""
        self._partitions = {n: p for n, p in self._partitions.items() if n in numbers}
        for voice in self._voices.values():
            voice.follower.retain(numbers)

    def drop(self, number: int) -> None:
        """Let go of the rows of a partition that is another worker's."""
        for voice in self._voices.values():
            voice.recovery.drop(number)

    # What is handed to those who follow

    @property
    def is_followed(self) -> bool:
        """Whether anybody waits for what is committed."""
        return len(self._voices) > 1

    def hand(self, batches: Iterable[SentBatch]) -> None:
        """Hand on what is about to count as committed, in order."""
        reached: dict[int, int] = {}
        for sent in batches:
            self._keep_newest(sent)
            if not self.is_followed:
                continue
            begins = {n: reached.get(n, self._begin_of(n, end)) for n, end in sent.positions.items()}
            reached |= sent.positions
            handed = Handed(sent.records, begins, sent.positions, sent.predictions)
            for voice in self._voices.values():
                if voice is not sent.voice:
                    voice.follower.hand(handed)

    def _keep_newest(self, sent: SentBatch) -> None:
        if sent.records:
            self._newest.append((sent.records, len(sent.predictions.ticks)))
        while self._newest and sum(len(r) for r, _ in self._newest) - len(self._newest[0][0]) >= NEWEST:
            self._newest.popleft()

    def newest(self) -> tuple[RecordColumns, int] | None:
        """The newest records that were committed, and how many ticks of them were taken; None before the first."""
        if not self._newest:
            return None
        records = RecordColumns.joined([records for records, _ in self._newest])
        return records, sum(taken for _, taken in self._newest)

    def _begin_of(self, number: int, end: int) -> int:
        committed = self.committed(number)
        return end if committed is None else committed
