"""Truths left out of a judgement because they are absurd: how many, and which values are to blame. Judges nothing.

Shapes: n windows, K horizons, O targets.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np

from streamrnn.train.history import History
from streamrnn.train.windows import Windows

MOST_NAMED = 5
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Outlier(NamedTuple):
    """A value that is absurd beside the training part; time_ms is its tick's event time."""

    stream: str
    feature: str
    time_ms: int
    value: float

    def words(self) -> str:
        """For people."""
        try:
            moment = f"{EPOCH + timedelta(milliseconds=self.time_ms):%Y-%m-%d %H:%M:%S} UTC"
        except OverflowError:
            moment = f"{self.time_ms} ms"
        return f"{self.feature} {self.value:g} of {self.stream[:100]} at {moment}"


class Beyond:
    """Counts (K, O) and the most absurd values so far."""

    def __init__(self, targets: Sequence[str], horizons: Sequence[int]) -> None:
        self._targets, self._horizons = targets, np.array(horizons)
        self.counts = np.zeros((len(horizons), len(targets)), np.int64)
        self._named: dict[tuple[int, int], tuple[float, Outlier]] = {}

    def add(self, history: History, windows: Windows) -> None:
        """Count the windows' own; of each truth and what it was forecast from, the one farther off may be named."""
        if windows.beyond is None or not windows.beyond.any():
            return
        self.counts += windows.beyond.sum(axis=0)
        for o in range(len(self._targets)):
            found, k = np.nonzero(windows.beyond[:, :, o])
            if not len(found):
                continue
            column, at = history.features.index(self._targets[o]), windows.origins[found]
            ticks = np.unique(np.concatenate((at, at + self._horizons[k])))
            values = history.values[ticks, column].astype(np.float64)
            known = windows.truth[:, :, o][np.isfinite(windows.truth[:, :, o])]
            off = np.nan_to_num(np.abs(values - (np.median(known) if len(known) else 0.0)), nan=-1.0)
            for n in np.argsort(-off, kind="stable")[:MOST_NAMED].tolist():
                self._name(history, (int(ticks[n]), o), float(values[n]), float(off[n]))

    def _name(self, history: History, place: tuple[int, int], value: float, off: float) -> None:
        tick, o = place
        stream = history.streams[int(np.searchsorted(history.starts, tick, side="right")) - 1]
        outlier = Outlier(stream=stream, feature=self._targets[o], time_ms=int(history.time_ms[tick]), value=value)
        ordered = sorted({**self._named, place: (off, outlier)}.items(), key=lambda item: -item[1][0])
        self._named = dict(ordered[:MOST_NAMED])

    def named(self) -> list[Outlier]:
        """The most absurd first."""
        return [outlier for _, outlier in self._named.values()]

    def notes(self) -> list[str]:
        """What a report must say of it, nothing where all truths counted."""
        count = int(self.counts.sum())
        if not count:
            return []
        named = "; ".join(outlier.words() for outlier in self.named())
        return [
            f"{count:,} truths are beyond the model's bound, or forecast from values that are, and left out of "
            f"everybody's scores: {named}"
        ]
