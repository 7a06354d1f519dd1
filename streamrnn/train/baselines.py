"""Forecasters that a model must beat: the last value again, the last season again, a ridge regression on lags.

Each says at a tick what it knows then and nothing later. Shapes: n windows, K horizons, O targets, P lags.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from streamrnn.train.history import Extent, History, Split, extents
from streamrnn.train.trimming import Trim, sampled, trim_of
from streamrnn.train.windows import Windows, count_origins

DAY_MS = 86_400_000
LONGEST_SEASON = 10_000
BLOCK = 8192
"""Windows whose lags are in memory at once."""
PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0, 10_000.0)


class Forecaster(Protocol):
    """Who is judged. levels: the quantiles it gives, empty for points."""

    name: str
    kind: str
    levels: tuple[float, ...]

    def forecast(self, history: History, windows: Windows) -> NDArray[np.floating]:
        """(n, K, O, Q) made at the windows' origins, Q = 1 for points; NaN where it cannot say."""


class Persistence:
    """The last observed value again, at every horizon."""

    name, kind = "persistence", "persistence"
    levels: tuple[float, ...] = ()

    def __init__(self, targets: Sequence[str], horizons: Sequence[int]) -> None:
        self._targets, self._horizons = targets, horizons

    def forecast(self, history: History, windows: Windows) -> NDArray[np.floating]:
        """(n, K, O, 1)."""
        columns = history.columns(self._targets)
        last = history.carried[windows.origins][:, None, columns, None]
        return np.repeat(last, len(self._horizons), axis=1)


class SeasonalNaive:
    """The last known value a whole number of seasons before the time forecast; else persistence."""

    kind = "seasonal"
    levels: tuple[float, ...] = ()

    def __init__(self, targets: Sequence[str], horizons: Sequence[int], season: int) -> None:
        self.name = f"seasonal naive ({season} ticks)"
        self._targets = targets
        ahead = np.array(horizons)
        self._back = season * -(-ahead // season) - ahead

    def forecast(self, history: History, windows: Windows) -> NDArray[np.floating]:
        """(n, K, O, 1)."""
        columns = history.columns(self._targets)
        begin = history.starts[windows.streams]
        at = windows.origins[:, None] - self._back
        at = np.where(at >= begin[:, None], at, windows.origins[:, None])
        now = history.carried[windows.origins][:, None, columns]
        said: NDArray[np.floating] = history.carried[at][..., columns]
        return np.where(np.isnan(said), now, said)[..., None]


def season_of(history: History, train: Sequence[Extent]) -> int | None:
    """Ticks in a day by the median gap between ticks; None where that makes no season: the training part of no
    stream is two of them long, or so many ticks before is mostly another time of the day."""
    gaps = np.concatenate([np.diff(history.time_ms[a:b]) for a, b in _some(history, 1000)] or [np.zeros(0)])
    gaps = gaps[gaps > 0]
    gap_ms = float(np.median(gaps)) if len(gaps) else math.inf
    ticks = round(DAY_MS / gap_ms)
    if not 2 <= ticks <= LONGEST_SEASON or max((e.length for e in train), default=0) < 2 * ticks:
        return None
    return ticks if _is_daily(history, ticks, gap_ms) else None


def _is_daily(history: History, ticks: int, gap_ms: float) -> bool:
    """Whether most ticks are a day, to half a gap, after the one so many ticks before."""
    right = count = 0
    for start, stop in _some(history, 4 * ticks + 1000):
        ages = history.time_ms[start + ticks : stop] - history.time_ms[start : max(start, stop - ticks)]
        right += int((np.abs(ages - DAY_MS) <= gap_ms / 2).sum())
        count += int((ages > 0).sum())
    return 2 * right > count


def _some(history: History, most: int) -> Iterator[tuple[int, int]]:
    """The first `most` ticks of up to 1,000 streams: enough to know how far apart ticks are."""
    for start, stop in itertools.islice(extents(history), 1000):
        yield start, min(stop, start + most)


class RidgeAR:
    """For each target a linear map from the last P values to all horizons, all streams together, each standardised
    by its own training part; fitted in closed form (Hoerl & Kennard 1970), the penalty chosen on validation.
    A value that is absurd in its stream (trimming.py) teaches nothing, and among the lags stands for the mean."""

    kind = "ridge"
    levels: tuple[float, ...] = ()

    def __init__(
        self,
        history: History,
        split: Split,
        targets: Sequence[str],
        horizons: Sequence[int],
        lags: int = 96,
        penalties: Sequence[float] = PENALTIES,
        block: int = BLOCK,
    ) -> None:
        self.name = f"ridge AR-{lags}"
        self._penalties, self._block = penalties, block
        self._lags, self._horizons = lags, np.array(horizons)
        self._columns = history.columns(targets)
        self._trims = _trims(history, split.train, self._columns)
        self._center, self._scale = _by_stream(history, split.train, self._columns, self._trims)
        train = [self._grams(history, split.train, o) for o in range(len(targets))]
        check = split.validation or split.train
        self._weights = [self._choose(history, check, o, *train[o]) for o in range(len(targets))]

    def _grams(
        self, history: History, parts: Sequence[Extent], o: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """X'X (P + 1, P + 1) and X'Y (P + 1, K) over all ticks of the parts."""
        gram = np.zeros((self._lags + 1, self._lags + 1))
        moment = np.zeros((self._lags + 1, len(self._horizons)))
        for x, y in self._pairs(history, parts, o):
            gram += x.T @ x
            moment += x.T @ y
        return gram, moment

    def _choose(
        self,
        history: History,
        parts: Sequence[Extent],
        o: int,
        gram: NDArray[np.float64],
        moment: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """The weights (P + 1, K) of the penalty with the least squared error on the parts."""
        free = np.eye(self._lags + 1)
        free[0, 0] = 1e-9  # the constant is not penalised
        tried = [np.asarray(np.linalg.solve(gram + p * free, moment), np.float64) for p in self._penalties]
        errors = np.zeros(len(tried))
        for x, y in self._pairs(history, parts, o):
            errors += [float(np.square(y - x @ weights).sum()) for weights in tried]
        return tried[int(errors.argmin())]

    def _pairs(
        self, history: History, parts: Sequence[Extent], o: int
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Lags (m, P + 1) and truths (m, K) of target o, block by block, where the truth is whole."""
        for extent in parts:
            own = count_origins(extent, int(self._horizons.max()))
            for first in range(own.start, own.stop, self._block):
                origins = np.arange(first, min(own.stop, first + self._block))
                streams = np.full(len(origins), np.searchsorted(history.starts, extent.start, side="right") - 1)
                x, (center, scale) = self._lagged(history, origins, streams, o, np.nan)
                truth = history.values[origins[:, None] + self._horizons, self._columns[o]]
                y = (self._trims.apply(truth, streams, o) - center) / scale
                known = np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1)
                yield x[known], y[known].astype(np.float64)

    def _lagged(
        self, history: History, origins: NDArray[np.int64], streams: NDArray[np.int64], o: int, absurd: float
    ) -> tuple[NDArray[np.float64], tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """A constant and the last P values (m, P + 1), newest first; the first known stands for those before, and
        `absurd` for what is absurd."""
        back = origins[:, None] - np.arange(self._lags)
        values = history.carried[np.maximum(back, history.starts[streams][:, None]), self._columns[o]]
        known = np.maximum(np.isfinite(values).sum(axis=1)[:, None], 1)
        values = np.take_along_axis(values, np.minimum(np.arange(self._lags), known - 1), axis=1)
        center, scale = self._center[streams, o][:, None], self._scale[streams, o][:, None]
        is_absurd = np.isfinite(values) & np.isnan(self._trims.apply(values, streams, o))
        standard = np.where(is_absurd, absurd, (values - center) / scale)
        return np.concatenate((np.ones((len(origins), 1)), standard), axis=1), (center, scale)

    def forecast(self, history: History, windows: Windows) -> NDArray[np.floating]:
        """(n, K, O, 1)."""
        n = len(windows.origins)
        said = np.empty((n, len(self._horizons), len(self._columns), 1), history.values.dtype)
        for first in range(0, n, self._block):
            at = slice(first, first + self._block)
            for o, weights in enumerate(self._weights):
                x, (center, scale) = self._lagged(history, windows.origins[at], windows.streams[at], o, 0.0)
                said[at, :, o, 0] = x @ weights * scale + center
        return said


class _Trims(NamedTuple):
    """(S, O) what is absurd in each stream: see Trim."""

    middle: NDArray[np.float64]
    reach: NDArray[np.float64]

    def apply(self, rows: NDArray[np.floating], streams: NDArray[np.int64], o: int) -> NDArray[np.float64]:
        """Numbers (m, n) of target o, NaN where they are absurd."""
        own = Trim(self.middle[streams, o][:, None], self.reach[streams, o][:, None])
        return own.apply(rows.astype(np.float64))


def _trims(history: History, train: Sequence[Extent], columns: Sequence[int]) -> _Trims:
    """From each stream's training part; nothing is absurd in a stream without one."""
    shape = (len(history.streams), len(columns))
    middle, reach = np.zeros(shape), np.full(shape, np.inf)
    for extent in train:
        stream = int(np.searchsorted(history.starts, extent.start, side="right")) - 1
        sample = [history.values[at][:, columns] for at in sampled(extent.start, extent.stop)]
        middle[stream], reach[stream] = trim_of(np.concatenate(sample).astype(np.float64))
    return _Trims(middle, reach)


def _by_stream(
    history: History, train: Sequence[Extent], columns: Sequence[int], trims: "_Trims"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(S, O) mean and deviation of each stream's training part, without what is absurd; a stream without one has
    those of all together."""
    shape = (len(history.streams), len(columns))
    center, scale = np.full(shape, np.nan), np.full(shape, np.nan)
    for extent in train:
        stream = int(np.searchsorted(history.starts, extent.start, side="right")) - 1
        values = history.values[extent.start : extent.stop][:, columns].astype(np.float64)
        values = Trim(trims.middle[stream], trims.reach[stream]).apply(values)
        known = np.isfinite(values).any(axis=0)
        if known.any():
            center[stream, known] = np.nanmean(values[:, known], axis=0)
            scale[stream, known] = np.nanstd(values[:, known], axis=0)
    scale = np.where(scale > 0, scale, np.nan)
    return _filled(center, 0.0), _filled(scale, 1.0)


def _filled(numbers: NDArray[np.float64], nothing: float) -> NDArray[np.float64]:
    """(S, O) with the mean of all streams where a stream's own is unknown, `nothing` where all are."""
    known = np.isfinite(numbers)
    count = known.sum(axis=0)
    mean = np.where(known, numbers, 0.0).sum(axis=0) / np.maximum(count, 1)
    return np.where(known, numbers, np.where(count > 0, mean, nothing))
