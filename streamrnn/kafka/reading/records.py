"""Owns what a consumer of ours gives: records in columns, without an object for each.

What cannot be read stops nobody, or is refused, as the settings say. Knows no group and no log's end.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streamrnn.config import Settings
from streamrnn.errors import CorruptBatch
from streamrnn.kafka.compiled.warming import compile_loops
from streamrnn.kafka.internals.answers import CORRUPT_MESSAGE, Part
from streamrnn.kafka.internals.fetching import STAND_IN, FetchingConsumer, Records
from streamrnn.kafka.reading.ahead import NOTHING_AHEAD, Ahead, AheadOfReading
from streamrnn.kafka.reading.answer import Answer, Skip, Terms
from streamrnn.kafka.reading.detour import Detour, Refusals, find_detour
from streamrnn.kafka.reading.unpacking import Unpacking
from streamrnn.ticks import RecordColumns

log = logging.getLogger(__name__)
SAY_S = 1.0
"""At least so long between two lines on what was skipped."""
PAUSE_S = 0.25
"""Between two questions that a broker answers with CORRUPT_MESSAGE."""


class LeanConsumer(FetchingConsumer):
    """A consumer whose `getmany` gives RecordColumns of each partition.

    It goes past what cannot be read and tells `on_skip`, or raises CorruptBatch, as input.corrupt says.
    """

    def __init__(
        self, settings: Settings, *topics: str, on_skip: Callable[[Skip], None] | None = None, **options: Any
    ) -> None:
        super().__init__(*topics, **options)
        self.read_by(_Unread(self, settings, on_skip))

    async def start(self) -> None:
        """See FetchingConsumer. Compiling comes first: a member that compiled would send no heartbeat."""
        await asyncio.to_thread(compile_loops)
        await super().start()

    async def bounds(self, tp: TopicPartition) -> tuple[int, int]:
        """The log's first offset and the one after the last stable."""
        starts, ends = await self.beginning_offsets([tp]), await self.end_offsets([tp])
        return starts[tp], ends[tp]


class _RefusedBatch(NamedTuple):
    start: int
    error: CorruptBatch


class _Kept(NamedTuple):
    """An answer until it is read; where it is a detour's, see Answer."""

    data: bytes
    highwater: int
    begins: int = 0
    beyond: int | None = None
    ahead: Ahead = NOTHING_AHEAD


NOTHING_KEPT = _Kept(b"", 0)


class _Unread:
    """Answers between their arrival and their reading, and what is to be done with what cannot be read."""

    def __init__(self, consumer: LeanConsumer, settings: Settings, on_skip: Callable[[Skip], None] | None) -> None:
        self._consumer, given = consumer, settings.input
        self._refuses, self._on_skip = given.corrupt == "refuse", on_skip
        self._terms = Terms(given.max_batch_bytes, self._skip, self._is_doubtful)
        self._ahead = AheadOfReading(given.max_batch_bytes)
        self._answers: dict[TopicPartition, _Kept] = {}
        self._refused: dict[TopicPartition, _RefusedBatch] = {}
        self._doubts: dict[TopicPartition, int] = {}
        self._say_at_s, self._unsaid = 0.0, 0
        self._refusals = Refusals()

    async def arrived(self, node: int, tp: TopicPartition, offset: int, part: Part) -> Part:
        """Keep an answer's bytes, or a detour's where the broker gives none; aiokafka sees a batch of nothing."""
        if part.code == CORRUPT_MESSAGE or (part.code == 0 and not part.data and part.stable > offset):
            detour = await self._detour(node, tp, offset, part)
            if detour is None:
                return part
            kept = _Kept(detour.part.data, detour.part.highwater, detour.start, detour.beyond)
            part = detour.part
        elif part.code == 0 and part.data:
            self._refusals.forget(tp)
            kept = _Kept(part.data, part.highwater, ahead=await self._ahead.unpacked(part.data))
        else:
            return part
        self._answers[tp] = kept
        return part._replace(data=STAND_IN)

    async def _detour(self, node: int, tp: TopicPartition, offset: int, part: Part) -> Detour | None:
        """What to go on with where the broker gives nothing for long; None while there is hope that it will."""
        if not self._refusals.is_due(tp, offset):
            if part.code:
                await asyncio.sleep(PAUSE_S)  # aiokafka would ask again at once
            return None
        try:
            ask = partial(self._consumer.fetch_once, node, tp)
            bounds = await self._consumer.bounds(tp)
            detour = await find_detour(ask, part, offset, bounds, self._refusals.is_long(tp))
        except KafkaError as error:
            log.warning("%s-%d: looking for a way past offset %d: %r", tp.topic, tp.partition, offset, error)
            detour = None
        if detour is None:
            self._refusals.put_off(tp)
        return detour

    def read(self, tp: TopicPartition, start: int, aborted: list[tuple[int, int]]) -> Records | Exception:
        """Our reader of an answer that was kept; an error where what lies at `start` was refused before."""
        # A later answer may have been read in its place, where another broker leads by now: then there is nothing.
        kept, refused = self._answers.pop(tp, NOTHING_KEPT), self._refused.pop(tp, None)
        if refused is not None and refused.start == start:
            return refused.error
        answer = Answer(kept.data, kept.highwater, aborted, kept.begins, kept.beyond, kept.ahead)
        return Unpacking(tp, start, answer, self._terms)

    def _skip(self, skip: Skip) -> bool:
        if self._refuses:
            error = CorruptBatch(f'{_said(skip)}; input.corrupt = "skip" goes on behind them')
            self._refused[skip.tp] = _RefusedBatch(skip.start, error)
            return False
        self._say(skip)
        if self._on_skip is not None:
            self._on_skip(skip)
        return True

    def _say(self, skip: Skip) -> None:
        now_s = time.monotonic()
        if now_s < self._say_at_s:
            self._unsaid += 1
            return
        others = f"; {self._unsaid} other places before" if self._unsaid else ""
        log.error("%s and are skipped (input.corrupt)%s", _said(skip), others)
        self._say_at_s, self._unsaid = now_s + SAY_S, 0

    def _is_doubtful(self, tp: TopicPartition, offset: int) -> bool:
        known = self._doubts.get(tp) == offset
        self._doubts[tp] = offset
        return known


def _said(skip: Skip) -> str:
    which = f"offset {skip.start}" if skip.stop == skip.start + 1 else f"offsets {skip.start} to {skip.stop - 1}"
    return f"{skip.tp.topic}-{skip.tp.partition}: {which} cannot be read: {skip.why}"


def to_records(batches: Mapping[TopicPartition, RecordColumns]) -> RecordColumns:
    """What a lean consumer's `getmany` gave, by (partition, offset)."""
    return RecordColumns.joined([batches[tp] for tp in sorted(batches)]) if batches else RecordColumns.of(())
