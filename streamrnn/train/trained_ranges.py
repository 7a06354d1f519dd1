"""Where the levels of each feature lie, generously: what is far outside is an outlier. Knows no policy.

Shapes: F features.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamrnn.train.fineness import passes
from streamrnn.train.history import Extent, History
from streamrnn.train.trimming import sampled, trim_of

WIDER = 10.0
"""Of their distance by which lowest and highest level are widened. Of two years of ETTh1 and 20 of exchange rates
all the rest is within five times a first month or year; sentinels (-999, -9999, 65535) are mostly beyond tens."""
CLOSER = 0.2
"""Levels have shorter tails than changes, for which the reach of a trim is made: -999 is absurd for a year's
temperatures, though within a hundred times their swing."""
Ranges = tuple[tuple[float, float] | None, ...]


def ranges_of(history: History, train: Sequence[Extent]) -> Ranges:
    """Low and high of each feature over all streams of the training part, without what is absurd in its stream.

    None where a feature has no value there, or never another one: then nothing tells how far it may go.
    """
    width = len(history.features)
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    for extent in train:
        least, most = _extremes(history, extent)
        low, high = np.fmin(low, least), np.fmax(high, most)
    with np.errstate(invalid="ignore", over="ignore"):
        margin = WIDER * (high - low)
        bounds = np.stack((low - margin, high + margin), axis=1)
    is_known = (low < high) & np.isfinite(bounds).all(axis=1)
    return tuple((b[0], b[1]) if known else None for b, known in zip(bounds.tolist(), is_known, strict=True))


def _extremes(history: History, extent: Extent) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(F,) the lowest and the highest level of one stream, inf and -inf where none is known."""
    sample = [history.values[rows].astype(np.float64) for rows in sampled(extent.start, extent.stop)]
    trim = trim_of(np.concatenate(sample))
    trim = trim._replace(reach=CLOSER * trim.reach)
    width = len(history.features)
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    for at in passes(extent.length):
        levels = trim.apply(history.values[extent.start + at.start : extent.start + at.stop].astype(np.float64))
        low, high = np.fmin(low, np.fmin.reduce(levels)), np.fmax(high, np.fmax.reduce(levels))
    return low, high
