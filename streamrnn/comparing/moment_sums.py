"""Sums by moment of time, compiled: so many moments at most, twice as long each time there are more.

A moment is a time shifted right by some bits, so that which there are in the end depends on the times alone.
Shapes: E cells, M most moments, C places to look at, a power of two.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.process.compiling import called, spliced

HELD, SHRUNK, LAST = range(3)
"""In `counts`: rows in use; how often they became fewer; the row of the tick before."""
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_HIGH = np.uint64(32)


class MomentSums(NamedTuple):
    """Sums by moment, in the order in which moments were first seen.

    begins (M,) times without their last counts[SHRUNK] bits; difference (M, E) of squared errors, challenger's less
    champion's; weight (M, E) truths; look (C,) int32 a row + 1 where a moment is found, or 0.
    """

    counts: NDArray[np.int64]
    begins: NDArray[np.int64]
    difference: NDArray[np.float64]
    weight: NDArray[np.float64]
    look: NDArray[np.int32]


def make_moments(most: int, cells: int) -> MomentSums:
    """Without any."""
    difference, weight = np.zeros((2, most, cells))
    return MomentSums(np.array([0, 0, -1]), np.zeros(most, np.int64), difference, weight, make_look(most))


def make_look(most: int) -> NDArray[np.int32]:
    """Twice as many places as rows at least."""
    return np.zeros(1 << (2 * most - 1).bit_length(), np.int32)


@spliced
def _find_moment(moments: Any, begin: Any) -> Any:
    """Where in `look` a moment is, or is to be."""
    mask = len(moments.look) - 1
    at = np.int64((np.uint64(begin) * _SPREAD) >> _HIGH) & mask
    while moments.look[at] != 0 and moments.begins[moments.look[at] - 1] != begin:
        at = (at + 1) & mask
    return at


@called
def _widen(moments: Any) -> None:
    """Have a moment be twice as long: each holds what two held."""
    counts, begins = moments.counts, moments.begins
    for at in range(len(moments.look)):
        moments.look[at] = 0
    kept = 0
    for row in range(counts[HELD]):
        begin = begins[row] >> 1
        at = _find_moment(moments, begin)
        into = moments.look[at] - 1
        if into < 0:
            into, kept = kept, kept + 1
            moments.look[at], begins[into] = kept, begin
            for cell in range(moments.weight.shape[1]):
                moments.difference[into, cell] = moments.difference[row, cell]
                moments.weight[into, cell] = moments.weight[row, cell]
        else:
            for cell in range(moments.weight.shape[1]):
                moments.difference[into, cell] += moments.difference[row, cell]
                moments.weight[into, cell] += moments.weight[row, cell]
    counts[HELD], counts[LAST] = kept, -1
    counts[SHRUNK] += 1


@spliced
def moment_of(moments: Any, time_ms: Any) -> Any:
    """The row of a time's moment, made if there is none; all become longer as long as there is no room."""
    counts, begins = moments.counts, moments.begins
    begin = time_ms >> counts[SHRUNK]
    if counts[LAST] >= 0 and begins[counts[LAST]] == begin:
        return counts[LAST]
    at = _find_moment(moments, begin)
    while moments.look[at] == 0 and counts[HELD] == len(begins):
        _widen(moments)
        begin = time_ms >> counts[SHRUNK]
        at = _find_moment(moments, begin)
    if moments.look[at] == 0:
        row = counts[HELD]
        counts[HELD] = row + 1
        moments.look[at], begins[row] = row + 1, begin
        for cell in range(moments.weight.shape[1]):
            moments.difference[row, cell] = moments.weight[row, cell] = 0.0
    counts[LAST] = moments.look[at] - 1
    return counts[LAST]
