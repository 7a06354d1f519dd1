"""What has no logarithm: a model of relative changes can say nothing of values that are not above 0.

Shapes: N ticks, F features.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from streamrnn.errors import DataError
from streamrnn.nn.spec import ModelSpec
from streamrnn.process.terminal import moment
from streamrnn.train.history import Extent, History

PART_TICKS = 1 << 20
"""Looked at at once."""


class NotPositive(NamedTuple):
    """Of a feature's known values, how many are not above 0, and the first of these."""

    wrong: int
    known: int
    stream: str
    time_ms: int
    value: float

    def words(self) -> str:
        """Such as: 3 of 200 values are not above 0, the first -1.5 of pump-7 at 2024-01-01 00:00."""
        how_many = (
            "none of its values is above 0"
            if self.wrong == self.known
            else (f"{self.wrong:,} of its {self.known:,} values are not above 0")
        )
        return f"{how_many}, the first {self.value:g} of {self.stream} at {moment(self.time_ms)}"


def check_logarithms(spec: ModelSpec, history: History, train: Sequence[Extent]) -> list[str]:
    """What the fit will leave out for want of a logarithm, in words; DataError when that is all of a target."""
    notes = []
    for feature, kind, option in _takers(spec):
        found = not_positive(history, train, feature)
        if found is None:
            continue
        if found.wrong == found.known and kind == "log_change":
            raise DataError(f"{feature} has no log_change: {found.words()}; use {option}")
        notes.append(f"{feature}: {found.words()}: {kind} leaves them out; {option} does not")
    return notes


def _takers(spec: ModelSpec) -> Iterator[tuple[str, str, str]]:
    """Features of which a logarithm is taken, what takes it, and the option that does without."""
    if spec.predicts == "log_change":
        yield from ((target, "log_change", "--predicts change") for target in spec.targets)
    for channel in spec.channels:
        if channel.kind == "log_return":
            yield channel.feature, "log_return", "--channels difference"


def not_positive(history: History, extents: Sequence[Extent], feature: str) -> NotPositive | None:
    """None where all known values of a feature are above 0, or none is known."""
    column, count, known, first = history.features.index(feature), 0, 0, -1
    for at in _parts(extents):
        values = history.values[at, column]
        wrong = np.flatnonzero(values <= 0)
        count, known = count + len(wrong), known + int(np.isfinite(values).sum())
        if first < 0 and len(wrong):
            first = at.start + int(wrong[0])
    if first < 0:
        return None
    stream = history.streams[int(np.searchsorted(history.starts, first, side="right")) - 1]
    return NotPositive(count, known, stream, int(history.time_ms[first]), float(history.values[first, column]))


def _parts(extents: Sequence[Extent]) -> Iterator[slice]:
    for extent in extents:
        for start in range(extent.start, extent.stop, PART_TICKS):
            yield slice(start, min(extent.stop, start + PART_TICKS))
