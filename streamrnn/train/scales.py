"""By what a stream's errors are divided before they are put together with those of others.

Its own deviation in the training part, for each target: then kilowatts and bars count alike. With one stream it
is the deviation that the published tables divide by. Shapes: n ticks, S streams, O targets.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from streamrnn.train.history import Extent, History
from streamrnn.train.standardising import Moments
from streamrnn.train.trimming import SAMPLE_TICKS, sampled, trim_of

LEAST_KNOWN = 10
"""Values in the training part without which a stream's deviation is taken over all that it has."""
PART_NUMBERS = 1 << 20
"""Looked at at once."""
SHORT_TICKS = SAMPLE_TICKS
"""Streams of at most so many ticks are taken side by side: each alone costs a third of a millisecond."""


def error_scales(history: History, train: Sequence[Extent], targets: Sequence[str]) -> NDArray[np.float64]:
    """(S, O) each stream's deviation, without what is absurd in it; NaN where it is constant or nothing is known.

    In units of a deviation of nothing any error is infinite: what is constant in training can have no score.
    """
    columns = history.columns(targets)
    shape = (len(history.streams), len(columns))
    known, scales = np.zeros(shape, np.int64), np.full(shape, np.nan)
    for group in _groups(train, len(columns)):
        streams = np.searchsorted(history.starts, [extent.start for extent in group], side="right") - 1
        known[streams], scales[streams] = _deviations(history, group, columns)
    few = known < LEAST_KNOWN
    bare = np.flatnonzero(few.any(axis=1))
    starts = history.starts
    whole = [Extent(int(starts[stream]), int(starts[stream + 1]), int(starts[stream])) for stream in bare]
    for group in _groups(whole, len(columns)):
        streams = np.searchsorted(history.starts, [extent.start for extent in group], side="right") - 1
        _, of_all = _deviations(history, group, columns)
        scales[streams] = np.where(few[streams], of_all, scales[streams])
    return scales


def _groups(extents: Sequence[Extent], width: int) -> Iterator[list[Extent]]:
    """Short ones side by side, of like length; long ones each alone."""
    group: list[Extent] = []
    for extent in sorted(extents, key=lambda extent: extent.length):
        if group and (extent.length > SHORT_TICKS or extent.length * width * (len(group) + 1) > PART_NUMBERS):
            yield group
            group = []
        group.append(extent)
    if group:
        yield group


def _deviations(
    history: History, group: Sequence[Extent], columns: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(G, O) known values of extents and their deviation; each column by itself, padded by unknown ones."""
    if len(group) == 1:
        return _deviation(history, group[0], columns)
    rows = np.full((group[-1].length, len(group), len(columns)), np.nan)
    for n, extent in enumerate(group):
        rows[: extent.length, n] = history.values[extent.start : extent.stop][:, columns]
    moments = Moments(rows.shape[1:])
    moments.add(trim_of(rows).apply(rows))
    return moments.count, _spread(moments)


def _deviation(
    history: History, extent: Extent, columns: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(O,) of one extent, a part at a time."""

    def read(rows: slice) -> NDArray[np.float64]:
        return history.values[rows][:, columns].astype(np.float64)

    trim = trim_of(np.concatenate([read(rows) for rows in sampled(extent.start, extent.stop)]))
    moments = Moments((len(columns),))
    ticks = max(1, PART_NUMBERS // len(columns))
    for start in range(extent.start, extent.stop, ticks):
        moments.add(trim.apply(read(slice(start, min(extent.stop, start + ticks)))))
    return moments.count, _spread(moments)


def _spread(moments: Moments) -> NDArray[np.float64]:
    spread = moments.spread()
    return np.where(spread > 0, spread, np.nan)


def typical(scales: NDArray[np.float64]) -> list[float | None]:
    """(O,) the middle one over the streams; None where none has any."""
    return [float(np.median(own[np.isfinite(own)])) if np.isfinite(own).any() else None for own in scales.T]
