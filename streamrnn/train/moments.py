"""Moments of time shared by all streams: so many that they tell what came together, and bounded in number.

Shapes: n ticks, T moments.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.train.history import Extent, History

MOST_MOMENTS = 4096
MOST_LOOKED_AT = 1 << 20
"""Ticks whose times say where the moments lie."""


class Timeline(NamedTuple):
    """Where each moment begins (T,), ascending; how many a forecast looks ahead at most."""

    begins: NDArray[np.int64]
    longest: float

    def at(self, time_ms: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) in which moment each time is."""
        return np.maximum(np.searchsorted(self.begins, time_ms, side="right") - 1, 0)


def timeline(history: History, part: Sequence[Extent], longest: int) -> Timeline:
    """Every time of the part, or moments with about as many ticks each; `longest` is in ticks."""
    every = max(1, sum(extent.length for extent in part) // MOST_LOOKED_AT)
    looked_at = [history.time_ms[extent.start : extent.stop : every] for extent in part]
    times = np.unique(np.concatenate(looked_at))
    if len(times) > MOST_MOMENTS:
        ordered = np.sort(np.concatenate(looked_at))
        times = np.unique(ordered[np.linspace(0, len(ordered) - 1, MOST_MOMENTS).astype(np.int64)])
    begun = Timeline(times, 1.0)
    ends = np.array([[history.time_ms[e.start], history.time_ms[e.stop - 1]] for e in part if e.length])
    first, last = begun.at(ends[:, 0]), begun.at(ends[:, 1])
    touched = float((np.maximum(last, first) - np.minimum(last, first) + 1).sum())
    return Timeline(times, longest * touched / sum(extent.length for extent in part))
