"""The numbers by which a model standardises, taken from the training part alone. Knows no optimiser.

Shapes: C channels, F features, K horizons, O targets, n ticks.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from streamrnn.errors import DataError
from streamrnn.nn.model import Model
from streamrnn.train.history import Extent, History

SMALLEST_DEVIATION = 1e-6
"""Relative to the mean's size: what varies less is taken as constant and only centred."""
PART_NUMBERS = 1 << 22
"""Of a history in memory at once, and of what is worked out from it."""


class Moments:
    """Mean and deviation of columns that come in parts; NaN does not count (Chan et al. 1979)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.count = np.zeros(shape)
        self._mean = np.zeros(shape)
        self._squares = np.zeros(shape)

    def add(self, rows: NDArray[np.floating]) -> None:
        """Rows (n, *shape)."""
        known = np.isfinite(rows)
        count = known.sum(axis=0)
        some = np.maximum(count, 1)
        mean = np.where(known, rows, 0.0).sum(axis=0, dtype=np.float64) / some
        squares = np.square(np.where(known, rows - mean, 0.0)).sum(axis=0)
        total = np.maximum(self.count + count, 1)
        shift = mean - self._mean
        self._squares += squares + np.square(shift) * self.count * count / total
        self._mean += shift * count / total
        self.count += count

    def mean(self) -> NDArray[np.float64]:
        """0 where nothing was known."""
        return self._mean

    def deviation(self) -> NDArray[np.float64]:
        """1 where nothing was known or all was alike."""
        deviation: NDArray[np.float64] = np.sqrt(self._squares / np.maximum(self.count, 1))
        floor = SMALLEST_DEVIATION * np.maximum(np.abs(self._mean), 1e-30)
        return np.where(deviation > floor, deviation, 1.0)


def set_statistics(model: Model, history: History, train: Sequence[Extent]) -> None:
    """Fill the model's statistics from the training part; DataError when a target is never observed in it."""
    spec = model.spec
    features = Moments((len(spec.features),))
    for rows in _parts(train, len(spec.features)):
        features.add(history.values[rows])
    unseen = [t for t in spec.targets if not features.count[spec.features.index(t)]]
    if unseen:
        raise DataError(f"the training part holds no value of {unseen}")
    model.set_stats(feature_mean=features.mean())
    channels, gaps = Moments((len(spec.channels),)), Moments((1,))
    targets = Moments((len(spec.horizons), len(spec.targets)))
    for extent in train:
        for rows in _parts([extent], _width(model)):
            _add_channels(channels, model, history, extent, rows)
            before = history.time_ms[max(extent.stream_start, rows.start - 1) : rows.stop]
            gaps.add(np.log1p(np.maximum(np.diff(before), 0) / 1000)[:, None])
            targets.add(_changes(model, history, rows, extent.stop))
    model.set_stats(
        channel_mean=channels.mean(), channel_std=channels.deviation(), gap_mean=gaps.mean(),
        gap_std=gaps.deviation(), target_mean=targets.mean(), target_std=targets.deviation(),
    )  # fmt: skip
    if spec.lags:
        _set_lags(model, history, train)


def stream_scales(model: Model, history: History, train: Sequence[Extent]) -> NDArray[np.float32]:
    """(S, O) how large each stream's standardised targets are, over all horizons: 1 for one of average size.

    A stream without a known target in the training part, or whose targets never differ from 0 there, has 1.
    """
    moments = np.zeros((2, len(history.streams), len(model.spec.targets)))
    mean, deviation = model.target_mean.double().cpu().numpy(), model.target_std.double().cpu().numpy()
    for extent in train:
        stream = int(np.searchsorted(history.starts, extent.start, side="right")) - 1
        for rows in _parts([extent], _width(model)):
            wanted = (_changes(model, history, rows, extent.stop) - mean) / deviation
            moments[:, stream] += np.isfinite(wanted).sum((0, 1)), np.nansum(np.square(wanted), (0, 1))
    count, squares = moments
    scales: NDArray[np.float32] = np.sqrt(squares / np.maximum(count, 1)).astype(np.float32)
    return np.where(scales > SMALLEST_DEVIATION, scales, np.float32(1))


def _width(model: Model) -> int:
    """Numbers that one tick makes, at most."""
    spec = model.spec
    return max(len(spec.features), len(spec.channels), len(spec.horizons) * len(spec.targets))


def _set_lags(model: Model, history: History, train: Sequence[Extent]) -> None:
    """The scale of what the skip sees: the deviation of changes over half its lags."""
    moments = Moments((len(model.spec.targets),))
    for extent in train:
        for rows in _parts([extent], len(model.spec.targets)):
            moments.add(_lagged(model, history, extent, rows))
    model.set_stats(lag_std=moments.deviation())


def _parts(extents: Sequence[Extent], width: int) -> Iterator[slice]:
    ticks = max(1, PART_NUMBERS // width)
    for extent in extents:
        for start in range(extent.start, extent.stop, ticks):
            yield slice(start, min(extent.stop, start + ticks))


def _add_channels(channels: Moments, model: Model, history: History, extent: Extent, rows: slice) -> None:
    """Where nothing was observed yet a channel is the filled mean, which teaches nothing: left out."""
    now = torch.from_numpy(np.array(history.carried[rows]))
    first = rows.start == extent.stream_start
    before = torch.from_numpy(np.array(history.carried[rows.start - (not first) : rows.stop - 1 + first]))
    if first:
        before = torch.cat((torch.full_like(before[:1], torch.nan), before[:-1]))
    of_channel = [model.spec.features.index(channel.feature) for channel in model.spec.channels]
    values = model.channels(now, before).double().masked_fill(now[:, of_channel].isnan(), torch.nan)
    channels.add(values.numpy())


def _changes(model: Model, history: History, rows: slice, limit: int) -> NDArray[np.float64]:
    """(n, K, O) what the head is to say in raw units for each tick of the part; NaN where it cannot be known."""
    of_target = [model.spec.features.index(target) for target in model.spec.targets]
    at = np.arange(rows.start, rows.stop)
    ahead = at[:, None] + np.array(model.spec.horizons)
    truth = history.values[np.minimum(ahead, limit - 1)][..., of_target].astype(np.float64)
    truth[ahead >= limit] = np.nan
    base = history.carried[at][:, None, of_target].astype(np.float64)
    return to_head(truth, base, model.spec.predicts)


def _lagged(model: Model, history: History, extent: Extent, rows: slice) -> NDArray[np.float64]:
    """(m, O) how the targets have changed over half the lags, as the skip sees it but for the scale."""
    back = max(1, model.spec.lags // 2)
    at = np.arange(max(rows.start, extent.stream_start + back), rows.stop)
    of_target = [model.spec.features.index(target) for target in model.spec.targets]
    now, before = (history.carried[ticks][:, of_target].astype(np.float64) for ticks in (at, at - back))
    return to_head(before, now, "log_change" if model.spec.predicts == "log_change" else "change")


def to_head(truth: NDArray[np.float64], base: NDArray[np.float64], predicts: str) -> NDArray[np.float64]:
    """What the head must say, unstandardised, so that the prediction is `truth` (any shapes that broadcast)."""
    if predicts == "change":
        return truth - base
    if predicts == "log_change":
        positive = (truth > 0) & (base > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(positive, np.log(truth / base), np.nan)
    return truth + 0 * base
