"""The numbers by which a model standardises, taken from the training part alone. Knows no optimiser.

Shapes: C channels, F features, K horizons, O targets, n ticks.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from streamrnn.errors import DataError
from streamrnn.nn.model import Model
from streamrnn.train.history import Extent, History
from streamrnn.train.trimming import sampled, trim_of

SMALLEST_DEVIATION = 1e-6
"""Relative to the mean's size: what varies less is taken as constant and only centred."""
SMALL = 0.1
"""Share of the streams that are smaller than a small one."""
PART_NUMBERS = 1 << 22
"""Numbers of a history, or of what is worked out from it, in memory at once."""

Read = Callable[[slice], NDArray[np.float64]]
"""Rows (n, *shape) of some ticks."""


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

    def merge(self, other: "Moments") -> None:
        """What another has seen."""
        total = np.maximum(self.count + other.count, 1)
        shift = other._mean - self._mean
        self._squares += other._squares + np.square(shift) * self.count * other.count / total
        self._mean += shift * other.count / total
        self.count += other.count

    def spread(self) -> NDArray[np.float64]:
        """The deviation as it is, 0 where nothing was known or all was alike."""
        spread: NDArray[np.float64] = np.sqrt(self._squares / np.maximum(self.count, 1))
        return np.where(spread > SMALLEST_DEVIATION * np.maximum(np.abs(self._mean), 1e-30), spread, 0.0)

    def mean(self) -> NDArray[np.float64]:
        """0 where nothing was known."""
        return self._mean

    def deviation(self) -> NDArray[np.float64]:
        """1 where nothing was known or all was alike."""
        spread = self.spread()
        return np.where(spread > 0, spread, 1.0)


class Spread:
    """Moments of a family of columns over all streams, and how far single streams go from what all are like.

    has_bound: without what is absurd in its stream (trimming.py); is_log: which columns are logarithms.
    """

    def __init__(self, shape: tuple[int, ...], has_bound: bool, is_log: NDArray[np.bool_] | bool = False) -> None:
        self.all = Moments(shape)
        self._has_bound, self._is_log = has_bound, is_log
        self._widest = np.zeros(shape)
        self._least, self._most = np.full(shape, np.inf), np.full(shape, -np.inf)

    def add(self, read: Read, extent: Extent, ticks: int) -> Moments:
        """Add a stream's rows (n, *shape), which `read` gives of some ticks; the stream's own moments.

        ticks: how many are read at once.
        """
        own, trim = Moments(self.all.count.shape), None
        if self._has_bound:
            sample = [read(rows) for rows in sampled(extent.start, extent.stop)]
            trim = trim_of(np.concatenate(sample), self._is_log)
        for rows in _parts(extent, ticks):
            own.add(read(rows) if trim is None else trim.apply(read(rows)))
        self.all.merge(own)
        some = own.count > 0
        self._widest = np.maximum(self._widest, np.where(some, own.spread(), 0.0))
        self._least = np.where(some, np.minimum(self._least, own.mean()), self._least)
        self._most = np.where(some, np.maximum(self._most, own.mean()), self._most)
        return own

    def farthest(self) -> NDArray[np.float64]:
        """The largest deviation of a stream from the mean of all, in deviations of all; 1 where all are alike."""
        mean = self.all.mean()
        off = np.where(self.all.count > 0, np.maximum(self._most - mean, mean - self._least), 0.0)
        farthest: NDArray[np.float64] = np.sqrt(np.square(self._widest) + np.square(off)) / self.all.deviation()
        return np.maximum(farthest, 1.0)


def set_statistics(
    model: Model, history: History, train: Sequence[Extent], part_numbers: int = PART_NUMBERS
) -> None:
    """Fill the model's statistics from the training part; DataError when a target is never observed in it.

    part_numbers: numbers of the history in memory at once. The statistics do not depend on it but for rounding.
    """
    _Statistics(model, history, train, part_numbers).set_all()


class _Statistics:
    """The statistics of one model and one training part, each set from a reading of its own."""

    def __init__(self, model: Model, history: History, train: Sequence[Extent], part_numbers: int) -> None:
        self._model, self._history, self._train, self._part_numbers = model, history, train, part_numbers
        self._spec, self._has_bound = model.spec, model.spec.bound is not None

    def set_all(self) -> None:
        """Features, gaps, channels, targets, and lags where the spec has some; DataError as set_statistics says."""
        self._set_features()
        self._set_gaps()
        self._set_channels()
        self._set_targets()
        if self._spec.lags:
            self._set_lags()

    def _add(self, spread: "Spread", read: Read, extent: Extent, width: int) -> Moments:
        return spread.add(read, extent, self._part_numbers // width)

    def _set_features(self) -> None:
        spec, history = self._spec, self._history
        features = Spread((len(spec.features),), self._has_bound)
        for extent in self._train:
            self._add(features, lambda rows: history.values[rows].astype(np.float64), extent, len(spec.features))
        seen = features.all.count[list(spec.target_columns)] > 0
        unseen = [target for target, is_seen in zip(spec.targets, seen, strict=True) if not is_seen]
        if unseen:
            raise DataError(f"the training part holds no value of {unseen}")
        self._model.set_stats(feature_mean=features.all.mean())

    def _set_gaps(self) -> None:
        gaps, time_ms = Moments((1,)), self._history.time_ms
        for extent in self._train:
            for rows in _parts(extent, self._part_numbers):
                before = time_ms[max(extent.stream_start, rows.start - 1) : rows.stop]
                gaps.add(np.log1p(np.maximum(np.diff(before), 0) / 1000)[:, None])
        self._model.set_stats(gap_mean=gaps.mean(), gap_std=gaps.deviation())

    def _set_channels(self) -> None:
        """An input of the largest stream's own size is within the bound."""
        model, bound = self._model, self._spec.bound
        is_log = np.array([c.kind == "log_return" for c in self._spec.channels], np.bool_)
        channels = Spread(is_log.shape, self._has_bound, is_log)
        for extent in self._train:
            self._add(channels, partial(_channels, model, self._history, extent), extent, _width(model))
        model.set_stats(channel_mean=channels.all.mean(), channel_std=channels.all.deviation())
        if bound is not None:
            model.set_stats(channel_bound=bound * channels.farthest())

    def _set_targets(self) -> None:
        model, bound = self._model, self._spec.bound
        shape = (len(self._spec.horizons), len(self._spec.targets))
        targets = Spread(shape, self._has_bound, model.head_kind.quantity.is_log)
        for extent in self._train:
            read = partial(_changes, model, self._history, limit=extent.stop)
            self._add(targets, read, extent, _width(model))
        model.set_stats(target_mean=targets.all.mean(), target_std=targets.all.deviation())
        if bound is not None:
            model.set_stats(target_bound=bound * targets.farthest())

    def _set_lags(self) -> None:
        """The scale of what the skip sees: the deviation of changes over half its lags.

        Under a bound, the deviation of the largest stream is never unknown, and a value within that of a small
        stream is always known. A small stream is one that a tenth of the streams are smaller than.
        """
        model, bound, width = self._model, self._spec.bound, len(self._spec.targets)
        lags = Spread((width,), self._has_bound, model.head_kind.lag_quantity.is_log)
        sizes = np.array(
            [
                self._add(lags, partial(_lagged, model, self._history, extent), extent, width).spread()
                for extent in self._train
            ]
        )
        model.set_stats(lag_std=lags.all.deviation())
        if bound is not None:
            small = np.array([np.quantile(s[s > 0], SMALL) if (s > 0).any() else 1.0 for s in sizes.T])
            least = np.maximum(np.minimum(small / lags.all.deviation(), lags.farthest()), SMALLEST_DEVIATION)
            model.set_stats(lag_bound=bound * lags.farthest(), lag_least=bound * least)


def stream_scales(
    model: Model, history: History, train: Sequence[Extent], part_numbers: int = PART_NUMBERS
) -> NDArray[np.float32]:
    """(S, O) how large each stream's standardised targets are, over all horizons: 1 for one of average size.

    A stream without a known target in the training part, or whose targets never differ from 0 there, has 1.
    """
    moments = np.zeros((2, len(history.streams), len(model.spec.targets)))
    mean, deviation = model.target_mean.double().cpu().numpy(), model.target_std.double().cpu().numpy()
    most = np.inf if model.spec.bound is None else model.target_bound.double().cpu().numpy()
    for extent in train:
        stream = int(np.searchsorted(history.starts, extent.start, side="right")) - 1
        for rows in _parts(extent, part_numbers // _width(model)):
            wanted = (_changes(model, history, rows, extent.stop) - mean) / deviation
            wanted = np.where(np.abs(wanted) > most, np.nan, wanted)
            moments[:, stream] += np.isfinite(wanted).sum((0, 1)), np.nansum(np.square(wanted), (0, 1))
    count, squares = moments
    scales: NDArray[np.float32] = np.sqrt(squares / np.maximum(count, 1)).astype(np.float32)
    return np.where(scales > SMALLEST_DEVIATION, scales, np.float32(1))


def _width(model: Model) -> int:
    """Numbers that one tick makes, at most."""
    spec = model.spec
    return max(len(spec.features), len(spec.channels), len(spec.horizons) * len(spec.targets))


def _parts(extent: Extent, ticks: int) -> Iterator[slice]:
    """The extent in pieces of so many ticks; of one, where there is room for none."""
    for start in range(extent.start, extent.stop, max(1, ticks)):
        yield slice(start, min(extent.stop, start + max(1, ticks)))


def _channels(model: Model, history: History, extent: Extent, rows: slice) -> NDArray[np.float64]:
    """(n, C) before standardisation; where nothing was observed yet a channel teaches nothing: NaN."""
    now = torch.from_numpy(np.array(history.carried[rows]))
    first = rows.start == extent.stream_start
    before = torch.from_numpy(np.array(history.carried[rows.start - (not first) : rows.stop - 1 + first]))
    if first:
        before = torch.cat((torch.full_like(before[:1], torch.nan), before[:-1]))
    of_channel = list(model.spec.channel_columns)
    values = model.channels(now, before).double().masked_fill(now[:, of_channel].isnan(), torch.nan)
    return values.numpy()


def _changes(model: Model, history: History, rows: slice, limit: int) -> NDArray[np.float64]:
    """(n, K, O) what the head is to say in raw units for each tick of the part; NaN where it cannot be known."""
    of_target = list(model.spec.target_columns)
    at = np.arange(rows.start, rows.stop)
    ahead = at[:, None] + np.array(model.spec.horizons)
    truth = history.values[np.minimum(ahead, limit - 1)][..., of_target].astype(np.float64)
    truth[ahead >= limit] = np.nan
    base = history.carried[at][:, None, of_target].astype(np.float64)
    number = model.head_kind.quantity.target(truth, base)
    return np.where(np.isnan(base), np.nan, number)  # a level too is left out before the first value


def _lagged(model: Model, history: History, extent: Extent, rows: slice) -> NDArray[np.float64]:
    """(m, O) how the targets have changed over half the lags, as the skip sees it but for the scale."""
    back = max(1, model.spec.lags // 2)
    at = np.arange(max(rows.start, extent.stream_start + back), rows.stop)
    of_target = list(model.spec.target_columns)
    now, before = (history.carried[ticks][:, of_target].astype(np.float64) for ticks in (at, at - back))
    return model.head_kind.lag_quantity.target(before, now)
