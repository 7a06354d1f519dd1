"""A batch on its way, and the interval: all that is committed or undone together. No I/O."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from streamrnn.ticks import DeadLetter, OutColumns, PredictionBatch, RecordColumns


class Stepped(NamedTuple):
    """A batch that went through the engine, and the records to publish for it; the seconds that it waited for the
    engine's thread, was stepped and was encoded."""

    predictions: PredictionBatch
    records: OutColumns
    queue_s: float
    step_s: float
    encode_s: float

    def stages(self) -> tuple[tuple[str, float], ...]:
        """The stages of metrics that it went through, and the seconds in each."""
        return ("queue", self.queue_s), ("step", self.step_s), ("encode", self.encode_s)


@dataclass(slots=True)
class BatchUnderWay:
    """Records on their way: what was fetched and up to where, what was refused, and the step under way."""

    records: RecordColumns
    positions: dict[int, int]
    dead: list[DeadLetter]
    step: "asyncio.Future[Stepped]"


@dataclass(slots=True)
class SentBatch:
    """A batch whose records are on their way; `acknowledged_ms` is NaN until the broker has them."""

    predictions: PredictionBatch
    dead: list[DeadLetter]
    dropped: Counter[str]
    acknowledged_ms: float = float("nan")


@dataclass(slots=True)
class Interval:
    """What was stepped and sent since the cut before.

    steps: undo layers that its end releases. positions: what may be committed once all is
    acknowledged.
    """

    steps: int = 0
    positions: dict[int, int] = field(default_factory=dict)
    sent: list[SentBatch] = field(default_factory=list)

    def add(self, sent: SentBatch, positions: dict[int, int]) -> None:
        """One more batch, up to `positions`."""
        self.steps += 1
        self.positions.update(positions)
        self.sent.append(sent)

    def take_back(self, earlier: "Interval") -> None:
        """`earlier`, which went before, is not committed after all: it is with this one."""
        self.steps += earlier.steps
        self.positions = earlier.positions | self.positions
        self.sent = earlier.sent + self.sent
