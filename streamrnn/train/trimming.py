"""What of a stream's numbers is absurd beside the rest of them. Owns one rule; knows neither model nor history.

A number counts while it is within ABSURD times the stream's own typical distance from its own middle. Both are
medians, which a share of glitches below a half cannot move; distances of 0 do not count, or a sensor that seldom
moves would have none. Where one trembles more often than it moves, a twentieth of the distances tells.
Shapes: n ticks; the rest are columns, each for itself.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ABSURD = 1000.0
"""Bursts of some hundred times the ordinary are a sensor's own; sentinels are beyond thousands of times."""
OFTEN = 0.95
ABSURD_OFTEN = 100.0
"""Of the distance that a twentieth exceeds: what comes so often is no glitch, nor is what is not much larger."""
ABSURD_RATIO = 100.0, 10.0
"""Logarithms squeeze what is absurd: of a ratio a hundred times the ordinary is, if it is beyond tenfold."""
SAMPLE_TICKS, BLOCK_TICKS = 4096, 64
"""Of a stream that are looked at to tell, and of them in a row."""


class Trim(NamedTuple):
    """The middle of each column and how far from it a number still counts; infinite where nothing differs."""

    middle: NDArray[np.float64]
    reach: NDArray[np.float64]

    def apply(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rows (n, ...), NaN where they are absurd."""
        with np.errstate(invalid="ignore", over="ignore"):
            return np.where(np.abs(rows - self.middle) > self.reach, np.nan, rows)


def trim_of(sample: NDArray[np.float64], is_log: NDArray[np.bool_] | bool = False) -> Trim:
    """What a sample (n, ...) of a stream says; is_log marks the columns that are logarithms of ratios."""
    middle = _quantile(sample, 0.5)
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.abs(sample - middle)
    typical = _quantile(np.where(distance > 0, distance, np.nan), 0.5)
    reach, (times, ratio) = ABSURD * typical, ABSURD_RATIO
    reach = np.where(is_log, np.minimum(reach, np.maximum(times * typical, np.log(ratio))), reach)
    often = np.where(is_log, 0.1, 1) * ABSURD_OFTEN * _quantile(distance, OFTEN)
    return Trim(np.nan_to_num(middle), np.where(typical > 0, np.maximum(reach, often), np.inf))


def sampled(start: int, stop: int) -> Iterator[slice]:
    """Runs of ticks from all over start .. stop - 1, all of them where these are few."""
    runs = SAMPLE_TICKS // BLOCK_TICKS
    if stop - start <= SAMPLE_TICKS:
        yield slice(start, stop)
        return
    for first in np.linspace(start, stop - BLOCK_TICKS, runs).astype(np.int64).tolist():
        yield slice(first, first + BLOCK_TICKS)


def _quantile(rows: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Of each column the known number that so large a share is at most, the lower one; NaN where none is known."""
    ordered = np.sort(rows, axis=0)
    at = (np.maximum(np.isfinite(rows).sum(axis=0) - 1, 0) * share).astype(np.int64)
    found: NDArray[np.float64] = np.take_along_axis(ordered, at[None], axis=0)[0]
    return found
