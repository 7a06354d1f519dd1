"""Which features' steps float32 does not hold: a meter that stands at 987,654,324 and counts single units.

Owns that one question. Shapes: N ticks of S streams, F features.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

PASS_TICKS = 1 << 18
"""Ticks in memory at once."""
LOST_STEP, LOST_SHARE = 0.1, 0.05
"""A step is lost where float32 tells it wrong by so large a part; a feature is fine where so many are lost."""
NOISE = 1e-12
"""Of a value: a step below it is what arithmetic in float64 left over, and no one's measurement."""


def passes(n: int, each: int = PASS_TICKS) -> Iterator[slice]:
    """0 .. n - 1 in runs of `each`."""
    for start in range(0, n, each):
        yield slice(start, min(n, start + each))


def find_fine(
    values: NDArray[np.float64], starts: NDArray[np.int64], pass_ticks: int = PASS_TICKS
) -> NDArray[np.bool_]:
    """(F,) of values (N, F), stream after stream, each beginning at its place in starts (S + 1,)."""
    steps, lost = (np.zeros(values.shape[1], np.int64) for _ in range(2))
    for at in passes(len(values), pass_ticks):
        first = max(0, at.start - 1)
        part = np.asarray(values[first : at.stop])
        exact = np.diff(part, axis=0)
        begins = starts[(starts > first) & (starts < at.stop)] - first - 1
        exact[begins] = np.nan
        with np.errstate(over="ignore", invalid="ignore"):
            told = np.diff(part.astype(np.float32).astype(np.float64), axis=0)
            is_step = np.abs(exact) > NOISE * np.abs(part[1:])
            steps += is_step.sum(axis=0)
            lost += (is_step & (np.abs(told - exact) > LOST_STEP * np.abs(exact))).sum(axis=0)
    fine: NDArray[np.bool_] = lost > LOST_SHARE * steps
    return fine
