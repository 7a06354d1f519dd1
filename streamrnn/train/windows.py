"""Which forecasts are judged: windows of a part of a history, all of whose truths lie in that part.

Owns origins and truths; knows no forecaster. Shapes: n windows, K horizons, O targets.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.nn.truths import Truths
from streamrnn.train.history import Extent, History


class Windows(NamedTuple):
    """n windows: origins (n,) the ticks at which the forecasts are made, truth (n, K, O) what came then, NaN where
    it is missing or does not count; streams (n,) the number of each window's stream; extents, those the windows are
    of; spans, the origins of each: all it has, or a part of a single one that goes on where the windows before it
    ended; beyond (n, K, O) the truths that do not count because they are absurd, None where all count."""

    extents: Sequence[Extent]
    spans: Sequence[range]
    origins: NDArray[np.int64]
    streams: NDArray[np.int64]
    truth: NDArray[np.floating]
    beyond: NDArray[np.bool_] | None = None


def count_origins(extent: Extent, longest: int) -> range:
    """The ticks a forecast of an extent may be made at: the one before its first tick, if the stream has it, to the
    last whose `longest` horizon is still in it."""
    return range(max(extent.stream_start, extent.start - 1), extent.stop - longest)


def windows_of(
    history: History,
    extents: Sequence[Extent],
    targets: Sequence[str],
    horizons: Sequence[int],
    most: int,
    truths: Truths | None = None,
) -> Iterator[Windows]:
    """All windows, at most `most` at a time: groups of whole extents, and long ones in parts, one after the other.

    An extent too short for its longest horizon has none. truths: the bound beyond which none counts.
    """
    columns = history.columns(targets)
    for group in _groups(extents, max(horizons), most):
        origins = np.concatenate([np.arange(span.start, span.stop) for _, span in group])
        truth = history.values[origins[:, None] + np.array(horizons)][..., columns]
        streams = np.searchsorted(history.starts, origins, side="right") - 1
        whose, spans = zip(*group, strict=True)
        windows = Windows(whose, spans, origins, streams, np.asarray(truth))
        yield windows if truths is None else _within(windows, truths, history.carried[origins][:, None, columns])


def _within(windows: Windows, truths: Truths, base: NDArray[np.floating]) -> Windows:
    """The windows without the truths that are beyond their bound."""
    beyond = truths.beyond(windows.truth, base)
    return windows._replace(truth=np.where(beyond, np.float32(np.nan), windows.truth), beyond=beyond)


def _groups(extents: Sequence[Extent], longest: int, most: int) -> Iterator[list[tuple[Extent, range]]]:
    """Extents with their origins, `most` origins together."""
    group: list[tuple[Extent, range]] = []
    for extent in extents:
        own = count_origins(extent, longest)
        if group and sum(len(span) for _, span in group) + len(own) > most:
            yield group
            group = []
        while len(own) > most:
            yield [(extent, own[:most])]
            own = own[most:]
        if own:
            group.append((extent, own))
    if group:
        yield group
