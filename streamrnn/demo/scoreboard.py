"""What the demo knows of each stream, learned from the output topic alone. Knows no Kafka and no terminal."""

import math
from collections import deque
from dataclasses import dataclass, field

import msgspec

KEPT = 12
"""Newest values of a stream kept for its curve."""


class _State(msgspec.Struct):
    steps: int


class _Said(msgspec.Struct):
    """The part of a prediction that is shown."""

    stream: str
    prediction: dict[str, tuple[float, ...]]
    state: _State
    residual: dict[str, float] = {}


@dataclass(slots=True)
class Stream:
    """One stream: what was predicted for its newest tick, what came, and the squared errors until now."""

    ticks: int = 0
    actual: float = math.nan
    expected: float = math.nan
    predicted: float = math.nan
    scored: int = 0
    squared: float = 0.0
    persistence_squared: float = 0.0
    curve: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))

    def take(self, predicted: float, residual: float | None) -> None:
        """A prediction record: its residual is the tick's value minus what was predicted for it."""
        self.ticks += 1
        before, self.expected = self.actual, self.predicted
        self.predicted = predicted
        if residual is None or math.isnan(self.expected):
            return
        self.actual = self.expected + residual
        self.curve.append(self.actual)
        if not math.isnan(before):
            self.scored += 1
            self.squared += residual**2
            self.persistence_squared += (self.actual - before) ** 2

    @property
    def rmse(self) -> float:
        """Root of the mean squared error, NaN before the first truth."""
        return math.sqrt(self.squared / self.scored) if self.scored else math.nan

    @property
    def persistence_rmse(self) -> float:
        """The same of "it stays as it is"."""
        return math.sqrt(self.persistence_squared / self.scored) if self.scored else math.nan

    @property
    def ratio(self) -> float:
        """Mean squared error by that of persistence: below 1 is better than it."""
        return self.squared / self.persistence_squared if self.persistence_squared else math.nan


class Scoreboard:
    """Every stream that has a prediction."""

    def __init__(self, feature: str) -> None:
        self.streams: dict[str, Stream] = {}
        self._feature = feature
        self._decode = msgspec.json.Decoder(_Said).decode

    @property
    def predictions(self) -> int:
        """Prediction records read."""
        return sum(stream.ticks for stream in self.streams.values())

    def take(self, value: bytes) -> None:
        """A prediction record's value."""
        said = self._decode(value)
        stream = self.streams.setdefault(said.stream, Stream())
        stream.take(said.prediction[self._feature][0], said.residual.get(self._feature))
