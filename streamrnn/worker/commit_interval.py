"""A batch on its way, and the interval: all that is committed or undone together. No I/O."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from streamrnn.engine.thread import EngineThread
from streamrnn.ticks import DeadLetter, PredictionBatch, RecordColumns
from streamrnn.worker.line import Stepped
from streamrnn.worker.lineup.voice import ModelVoice


@dataclass(slots=True)
class BatchUnderWay:
    """Records on their way: who speaks of them, what was fetched and up to where, what was refused, and the step
    under way."""

    voice: ModelVoice
    records: RecordColumns
    positions: dict[int, int]
    dead: list[DeadLetter]
    step: "asyncio.Future[Stepped]"


@dataclass(slots=True)
class SentBatch:
    """What a voice has said of records up to `positions`; `acknowledged_ms` is NaN until the broker has it."""

    voice: ModelVoice
    records: RecordColumns
    positions: dict[int, int]
    predictions: PredictionBatch
    dead: list[DeadLetter]
    dropped: Counter[str]
    acknowledged_ms: float = float("nan")


@dataclass(slots=True)
class Interval:
    """What was stepped and sent since the cut before.

    positions: what may be committed once all is acknowledged.
    """

    positions: dict[int, int] = field(default_factory=dict)
    sent: list[SentBatch] = field(default_factory=list)

    def add(self, sent: SentBatch) -> None:
        """One more batch."""
        self.positions.update(sent.positions)
        self.sent.append(sent)

    def steps(self) -> dict[EngineThread, int]:
        """The undo layers that its end releases, of each engine."""
        return Counter(sent.voice.thread for sent in self.sent)

    def take_back(self, earlier: "Interval") -> None:
        """`earlier`, which went before, is not committed after all: it is with this one."""
        self.positions = earlier.positions | self.positions
        self.sent = earlier.sent + self.sent
