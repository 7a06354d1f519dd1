"""By what a stream's errors are divided before they are put together with those of others.

Its own deviation in the training part, for each target: then kilowatts and bars count alike. With one stream it
is the deviation that the published tables divide by. Shapes: n ticks, S streams, O targets.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from streamrnn.train.history import Extent, History
from streamrnn.train.statistics import Moments
from streamrnn.train.trimming import sampled, trim_of

LEAST_KNOWN = 10
"""Values in the training part without which a stream's deviation is taken over all that it has."""
PART_TICKS = 1 << 20
"""Looked at at once."""


def error_scales(history: History, train: Sequence[Extent], targets: Sequence[str]) -> NDArray[np.float64]:
    """(S, O) each stream's deviation, without what is absurd in it; NaN where it is constant or nothing is known.

    In units of a deviation of nothing any error is infinite: what is constant in training can have no score.
    """
    columns = [history.features.index(target) for target in targets]
    scales = np.full((len(history.streams), len(columns)), np.nan)
    known = np.zeros(scales.shape, np.int64)
    for extent in train:
        stream = int(np.searchsorted(history.starts, extent.start, side="right")) - 1
        known[stream], scales[stream] = _deviation(history, extent, columns)
    for stream in np.flatnonzero((known < LEAST_KNOWN).any(axis=1)).tolist():
        start, stop = history.starts[stream : stream + 2].tolist()
        _, of_all = _deviation(history, Extent(start, stop, start), columns)
        scales[stream] = np.where(known[stream] < LEAST_KNOWN, of_all, scales[stream])
    return scales


def _deviation(
    history: History, extent: Extent, columns: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(O,) known values of an extent and their deviation."""

    def read(rows: slice) -> NDArray[np.float64]:
        return history.values[rows][:, columns].astype(np.float64)

    trim = trim_of(np.concatenate([read(rows) for rows in sampled(extent.start, extent.stop)]))
    moments = Moments((len(columns),))
    for rows in _parts(extent):
        moments.add(trim.apply(read(rows)))
    spread = moments.spread()
    return moments.count, np.where(spread > 0, spread, np.nan)


def _parts(extent: Extent) -> Iterator[slice]:
    for start in range(extent.start, extent.stop, PART_TICKS):
        yield slice(start, min(extent.stop, start + PART_TICKS))


def typical(scales: NDArray[np.float64]) -> list[float | None]:
    """(O,) the middle one over the streams; None where none has any."""
    return [float(np.median(own[np.isfinite(own)])) if np.isfinite(own).any() else None for own in scales.T]
