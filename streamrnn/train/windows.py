"""Which forecasts are judged: windows of a part of a history, all of whose truths lie in that part.

Owns origins and truths; knows no forecaster. Shapes: n windows, K horizons, O targets.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.train.history import Extent, History


class Windows(NamedTuple):
    """n windows: origins (n,) the ticks at which the forecasts are made, truth (n, K, O) what came then, NaN where
    it is missing; streams (n,) the number of each window's stream; extents, those the windows are of."""

    extents: Sequence[Extent]
    origins: NDArray[np.int64]
    streams: NDArray[np.int64]
    truth: NDArray[np.float32]


def count_origins(extent: Extent, longest: int) -> range:
    """The ticks a forecast of an extent may be made at: the one before its first tick, if the stream has it, to the
    last whose `longest` horizon is still in it."""
    return range(max(extent.stream_start, extent.start - 1), extent.stop - longest)


def windows_of(
    history: History, extents: Sequence[Extent], targets: Sequence[str], horizons: Sequence[int], most: int
) -> Iterator[Windows]:
    """All windows, in groups of whole extents of about `most` origins at a time; extents too short have none."""
    longest = max(horizons)
    group: list[Extent] = []
    origins: list[NDArray[np.int64]] = []
    for extent in extents:
        own = count_origins(extent, longest)
        if not own:
            continue
        if group and sum(map(len, origins)) + len(own) > most:
            yield _windows(history, group, np.concatenate(origins), targets, horizons)
            group, origins = [], []
        group.append(extent)
        origins.append(np.arange(own.start, own.stop))
    if group:
        yield _windows(history, group, np.concatenate(origins), targets, horizons)


def _windows(
    history: History, extents: Sequence[Extent], origins: NDArray[np.int64], targets: Sequence[str],
    horizons: Sequence[int],
) -> Windows:  # fmt: skip
    columns = [history.features.index(target) for target in targets]
    truth = history.values[origins[:, None] + np.array(horizons)][..., columns]
    streams = np.searchsorted(history.starts, origins, side="right") - 1
    return Windows(extents, origins, streams, np.asarray(truth))
