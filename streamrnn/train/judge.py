"""Judges forecasters by walking forward over the test part: forecast first, then the truth. Trains nothing.

Everybody is judged on the same truths: those for which all had a forecast. Shapes: n windows, K horizons,
O targets, Q quantiles.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.errors import DataError
from streamrnn.nn.spec import middle_of
from streamrnn.nn.truths import Truths
from streamrnn.train.baselines import Forecaster
from streamrnn.train.beyond import Beyond
from streamrnn.train.history import Extent, History
from streamrnn.train.moments import timeline
from streamrnn.train.retrain_report import Grid, Sample, Score
from streamrnn.train.significance import Difference, compare
from streamrnn.train.tally import JudgedWindows, Tally
from streamrnn.train.windows import Windows, count_origins, windows_of

NUMBERS_AT_ONCE = 1 << 22
"""Forecasts in memory at a time, of one forecaster."""
MOST_SAMPLES, SAMPLE_TICKS = 6, 240


class Judgement(NamedTuple):
    """truths [horizon][target]; each forecaster's score, in their order; the first one's loss less each other's;
    stream_error (S, F) mean standardised squared errors, NaN where a stream has no score, stream_truths (S,) of how
    many; scales (S, O), NaN where a target has none; samples of what the first one said; beyond, the truths
    that were left out."""

    truths: list[list[int]]
    scores: list[Score]
    differences: list[Difference]
    stream_error: NDArray[np.float64]
    stream_truths: NDArray[np.int64]
    scales: NDArray[np.float64]
    samples: list[Sample]
    beyond: Beyond


class _Coverage:
    """Of one forecaster with quantiles: truths below each so far."""

    def __init__(self, levels: tuple[float, ...]) -> None:
        self.below = np.zeros(len(levels))

    def add(self, said: NDArray[np.floating], truth: NDArray[np.float64], known: NDArray[np.bool_]) -> None:
        """said (n, K, O, Q), truth and known (n, K, O)."""
        if len(self.below):
            self.below += ((truth[..., None] < said) & known[..., None]).sum(axis=(0, 1, 2))

    def shares(self, count: int) -> list[float] | None:
        return (self.below / max(1, count)).tolist() if len(self.below) else None


def _score(who: Forecaster, number: int, tally: Tally, coverage: _Coverage) -> Score:
    some, streams = np.maximum(tally.count, 1), np.maximum(tally.streams, 1)
    return Score(
        name=who.name,
        kind=who.kind,
        mse=_grid(tally.squared[number] / some, tally.count),
        mae=_grid(tally.absolute[number] / some, tally.count),
        std_mse=_grid(tally.std_squared[number] / streams, tally.streams),
        std_mae=_grid(tally.std_absolute[number] / streams, tally.streams),
        coverage=coverage.shares(int(tally.count.sum())),
    )


def _grid(numbers: NDArray[np.float64], count: NDArray[np.int64]) -> Grid:
    return [
        [float(number) if n else None for number, n in zip(row, counts, strict=True)]
        for row, counts in zip(numbers, count.tolist(), strict=True)
    ]


def check_windows(part: Sequence[Extent], horizons: Sequence[int]) -> None:
    """DataError when no window lies in the part whole; to be known before anything is fitted."""
    if not any(count_origins(extent, max(horizons)) for extent in part):
        raise DataError(
            f"nothing to judge by: no tick of the test part has its truths {max(horizons)} ticks ahead in it"
        )


def judge(
    history: History,
    part: Sequence[Extent],
    forecasters: Sequence[Forecaster],
    targets: Sequence[str],
    horizons: Sequence[int],
    scales: NDArray[np.float64],
    truths: Truths | None = None,
    numbers_at_once: int = NUMBERS_AT_ONCE,
) -> Judgement:
    """Score all on a part of the history; scales (S, O): by what each stream's errors are divided, NaN where they
    have no score (scales.py); truths tells which count, all if it is None.

    DataError when no window lies in the part whole, or none has a truth that all could forecast and that counts.
    """
    check_windows(part, horizons)
    moments = timeline(history, part, max(horizons))
    tally = Tally(scales, moments, len(forecasters), len(horizons))
    covered = [_Coverage(who.levels) for who in forecasters]
    samples: list[Sample] = []
    beyond = Beyond(targets, horizons)
    widest = max(1, *(len(who.levels) for who in forecasters))
    most = max(1, numbers_at_once // (len(horizons) * len(targets) * widest))
    for windows in windows_of(history, part, targets, horizons, most, truths):
        beyond.add(history, windows)
        said = [who.forecast(history, windows) for who in forecasters]
        truth = windows.truth.astype(np.float64)
        known = np.isfinite(truth) & np.all([np.isfinite(one).all(axis=3) for one in said], axis=0)
        middles = [one[..., middle_of(one.shape[3])] for one in said]
        tally.add(
            JudgedWindows(windows.streams, moments.at(history.time_ms[windows.origins]), truth, middles, known)
        )
        for one, own in zip(said, covered, strict=True):
            own.add(one, truth, known)
        samples += _samples(history, windows, said[0], targets, horizons, bool(forecasters[0].levels))
    tally.close()
    _check(tally)
    return Judgement(
        truths=tally.count.tolist(),
        scores=[_score(who, n, tally, covered[n]) for n, who in enumerate(forecasters)],
        differences=[compare(tally.loss[0] - loss, tally.weight, moments.longest) for loss in tally.loss],
        stream_error=tally.stream_error,
        stream_truths=tally.stream_truths,
        scales=scales,
        samples=_spread(samples),
        beyond=beyond,
    )


def _check(tally: Tally) -> None:
    if not tally.count.any():
        raise DataError("nothing to judge by: no truth in the test part could be forecast by all")
    if not tally.streams.any():
        raise DataError("nothing to judge by: every target is constant in the training part of its stream")


def _samples(
    history: History,
    windows: Windows,
    said: NDArray[np.floating],
    targets: Sequence[str],
    horizons: Sequence[int],
    has_band: bool,
) -> list[Sample]:
    """The end of each stream's windows, for every target, at the first and the last horizon."""
    firsts = np.flatnonzero(np.diff(windows.streams, prepend=-1))
    result = []
    for first, last in zip(firsts, [*firsts[1:], len(windows.streams)], strict=True):
        at = slice(max(int(first), int(last) - SAMPLE_TICKS), int(last))
        stream = history.streams[windows.streams[first]]
        for o, target in enumerate(targets):
            for k in sorted({0, len(horizons) - 1}):
                result.append(_sample(history, windows, said, at, (k, o), (stream, target, horizons[k]), has_band))
        if len(result) > 64 * MOST_SAMPLES:
            break
    return result


def _sample(
    history: History,
    windows: Windows,
    said: NDArray[np.floating],
    at: slice,
    cell: tuple[int, int],
    names: tuple[str, str, int],
    has_band: bool,
) -> Sample:
    (k, o), (stream, target, horizon) = cell, names
    own = said[at, k, o]
    return Sample(
        stream=stream,
        target=target,
        horizon=horizon,
        time_ms=history.time_ms[windows.origins[at] + horizon].tolist(),
        actual=_numbers(windows.truth[at, k, o]),
        predicted=_numbers(own[:, middle_of(own.shape[1])]),
        low=_numbers(own[:, 0]) if has_band else None,
        high=_numbers(own[:, -1]) if has_band else None,
    )


def _numbers(values: NDArray[np.floating]) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]


def _spread(samples: list[Sample]) -> list[Sample]:
    """A few of them, from the first to the last."""
    if len(samples) <= MOST_SAMPLES:
        return samples
    return [samples[round(i)] for i in np.linspace(0, len(samples) - 1, MOST_SAMPLES)]
