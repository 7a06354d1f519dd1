"""What of a stream's numbers is absurd beside the rest of them. Owns one rule; knows neither model nor history.

A number counts while it is within so many times the distance from the stream's own middle that a twentieth of its
numbers exceed: what comes so often is no glitch. Of a stream that seldom moves the median of the distances that are
not 0 tells instead. Neither is moved by a hundredth of glitches, of which each makes two absurd changes.
Shapes: n ticks; the rest are columns, each for itself.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

OFTEN, ABSURD = 0.95, 100.0
ABSURD_SELDOM = 1000.0
"""Bursts of some hundred times the ordinary are a sensor's own; sentinels are mostly beyond thousands of times."""
ABSURD_RATIO = 10.0
"""Logarithms squeeze what is absurd: of ratios, ten times the distance is, where that is beyond tenfold."""
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
    often, seldom = _quantile(distance, OFTEN), _quantile(np.where(distance > 0, distance, np.nan), 0.5)
    reach = np.where(often > 0, ABSURD * often, ABSURD_SELDOM * seldom)
    reach = np.where(is_log, np.minimum(reach, np.maximum(0.1 * reach, np.log(ABSURD_RATIO))), reach)
    return Trim(np.nan_to_num(middle), np.where(seldom > 0, reach, np.inf))


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
    if not len(rows):
        return np.full(rows.shape[1:], np.nan)
    ordered = np.sort(rows, axis=0)
    at = (np.maximum(np.isfinite(rows).sum(axis=0) - 1, 0) * share).astype(np.int64)
    found: NDArray[np.float64] = np.take_along_axis(ordered, at[None], axis=0)[0]
    return found
