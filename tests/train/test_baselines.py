"""The forecasters that a model must beat, against plain loops."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.train import baselines
from streamrnn.train.baselines import Forecaster, Persistence, RidgeAR, SeasonalNaive, season_of
from streamrnn.train.history import Extent, History, Split, split_each
from streamrnn.train.windows import Windows, windows_of

from .histories import T0, Tick, Values, history_of, shaky_streams, ticks_of

FEATURES, TARGETS = ("x", "y", "z"), ("z", "x")


def whole(history: History) -> list[Extent]:
    """Every stream from its first tick to its last."""
    return split_each(history, (0.0, 0.0, 1.0)).test


def all_windows(history: History, targets: Sequence[str], horizons: Sequence[int]) -> Windows:
    [windows] = windows_of(history, whole(history), targets, horizons, 1 << 30)
    return windows


def observed(history: History, stream: int, until: int, target: str) -> float:
    """The last value known of a stream at a tick, NaN before the first; looked for backwards."""
    column = history.features.index(target)
    for at in range(until, int(history.starts[stream]) - 1, -1):
        if not math.isnan(history.values[at, column]):
            return float(history.values[at, column])
    return math.nan


def seasonal(history: History, stream: int, origin: int, horizon: int, target: str, season: int) -> float:
    """Back from the tick that is forecast, season by season, to one that has been."""
    at = origin + horizon
    while at > origin:
        at -= season
    known = observed(history, stream, at, target) if at >= history.starts[stream] else math.nan
    return observed(history, stream, origin, target) if math.isnan(known) else known


@settings(deadline=None)
@given(seed=st.integers(0, 1000), lengths=st.lists(st.integers(1, 40), max_size=3), season=st.integers(1, 12))
def test_persistence_says_the_last_value_and_the_seasonal_one_that_of_the_season_before(
    seed: int, lengths: list[int], season: int
) -> None:
    history, horizons = history_of(FEATURES, shaky_streams(seed, [*lengths, 20], 3)), (1, 2, 7)
    windows = all_windows(history, TARGETS, horizons)
    places = list(zip(windows.streams.tolist(), windows.origins.tolist(), strict=True))
    last = [[[[observed(history, s, at, t)] for t in TARGETS] for _ in horizons] for s, at in places]
    before = [[[[seasonal(history, s, at, h, t, season)] for t in TARGETS] for h in horizons] for s, at in places]
    np.testing.assert_equal(Persistence(TARGETS, horizons).forecast(history, windows).tolist(), last)
    np.testing.assert_equal(SeasonalNaive(TARGETS, horizons, season).forecast(history, windows).tolist(), before)


def season(streams: dict[str, list[Tick]]) -> int | None:
    """That of streams which are for training from end to end."""
    history = history_of(("x",), streams)
    return season_of(history, split_each(history, (1.0, 0.0, 0.0)).train)


@pytest.mark.parametrize(("gap_s", "right"), [(3600, 24), (900, 96), (86_400, None), (43_200, 2), (1, None)])
def test_a_season_is_a_day_by_the_median_gap_where_that_is_some_ticks_and_not_too_many(
    gap_s: int, right: int | None
) -> None:
    streams = {name: ticks_of(np.zeros(200), step_ms=1000 * gap_s) for name in "ab"}
    streams["b"][190:] = [(time_ms + 10**9, values) for time_ms, values in streams["b"][190:]]
    streams["c"] = [(T0, (0.0,))] * 900
    assert season(streams) == right


@pytest.mark.parametrize(("ticks", "right"), [(47, None), (48, 24)])
def test_there_is_no_season_where_no_stream_has_two_for_training(ticks: int, right: int | None) -> None:
    """A season later than all that is known is persistence by another name."""
    streams = {name: ticks_of(np.zeros(ticks), step_ms=3_600_000) for name in "abc"}
    assert season(streams) == right


def test_there_is_no_season_where_so_many_ticks_before_is_another_time_of_the_day() -> None:
    """Hourly bars of a market that is open for seven hours a day: 24 ticks are not a day."""
    opened = [(T0 + 86_400_000 * (t // 7) + 3_600_000 * (t % 7), (0.0,)) for t in range(700)]
    assert season({"stock": opened}) is None
    assert season({"stock": opened[:168], "sensor": ticks_of(np.zeros(900), step_ms=3_600_000)}) == 24


def test_ticks_without_a_gap_have_no_season() -> None:
    assert season({"one": ticks_of(np.zeros(1)), "same": [(T0, (0.0,))] * 9}) is None


class SlowRidge:
    """The ridge's twin: rows written one by one, each penalty's least squares by numpy on augmented rows."""

    def __init__(
        self,
        history: History,
        split: Split,
        target: str,
        horizons: Sequence[int],
        lags: int,
        penalties: Sequence[float],
    ) -> None:
        self._history, self._target, self._horizons, self._lags = history, target, horizons, lags
        self._column = history.features.index(target)
        standards = [self._standard(stream, split.train) for stream in range(len(history.streams))]
        centers, scales = zip(*standards, strict=True)
        self._standards = list(zip(_or_mean(centers, 0.0), _or_mean(scales, 1.0), strict=True))
        x, y = self._rows(split.train)
        penalised, nothing = np.diag([1e-9**0.5, *[1.0] * lags]), np.zeros((lags + 1, len(horizons)))
        tried = [
            np.linalg.lstsq(np.vstack((x, penalty**0.5 * penalised)), np.vstack((y, nothing)))[0]
            for penalty in penalties
        ]
        x, y = self._rows(split.validation or split.train)
        errors = [float(np.square(x @ weights - y).sum()) for weights in tried]
        self.weights = tried[int(np.argmin(errors))]

    def _standard(self, stream: int, train: list[Extent]) -> tuple[float, float]:
        """Mean and deviation of a stream's training part, NaN where there is none."""
        for extent in train:
            if extent.stream_start == self._history.starts[stream]:
                values = self._history.values[extent.start : extent.stop, self._column].astype(float)
                values = values[~np.isnan(values)]
                if len(values):
                    return float(values.mean()), float(values.std()) if len(set(values.tolist())) > 1 else math.nan
        return math.nan, math.nan

    def lagged(self, stream: int, origin: int) -> list[float]:
        """1 and the standardised last values, the newest first, the oldest known again for those before it."""
        center, scale = self._standards[stream]
        row: list[float] = []
        for back in range(self._lags):
            at = max(origin - back, int(self._history.starts[stream]))
            value = (observed(self._history, stream, at, self._target) - center) / scale
            row.append(row[-1] if math.isnan(value) and row else value)
        return [1.0, *row]

    def _rows(self, part: list[Extent]) -> tuple[np.ndarray, np.ndarray]:
        rows = []
        for windows in windows_of(self._history, part, [self._target], self._horizons, 1 << 30):
            for stream, origin, truth in zip(windows.streams, windows.origins, windows.truth[..., 0], strict=True):
                center, scale = self._standards[stream]
                rows.append([*self.lagged(int(stream), int(origin)), *((truth.astype(float) - center) / scale)])
        whole = np.array([row for row in rows if not np.isnan(row).any()])
        return whole[:, : self._lags + 1], whole[:, self._lags + 1 :]

    def say(self, stream: int, origin: int) -> list[float]:
        center, scale = self._standards[stream]
        return [float(x) * scale + center for x in np.array(self.lagged(stream, origin)) @ self.weights]


def _or_mean(numbers: tuple[float, ...], nothing: float) -> list[float]:
    """The mean of those that are known in the place of each that is not."""
    known = [number for number in numbers if not math.isnan(number)]
    mean = sum(known) / len(known) if known else nothing
    return [mean if math.isnan(number) else number for number in numbers]


def level_streams(seed: int) -> dict[str, list[tuple[int, tuple[float, ...]]]]:
    """Walks at levels and of sizes of their own, one of them constant, one born late and one all missing."""
    streams, rng = shaky_streams(seed, (90, 60, 70), 3), np.random.default_rng(seed)
    streams["s1"] = [(time_ms, tuple(5e3 + 300 * v for v in values)) for time_ms, values in streams["s1"]]
    streams["still"] = ticks_of(np.full((40, 3), 0.1))
    streams["late"] = ticks_of(rng.normal(size=(2, 3)))
    streams["silent"] = ticks_of(np.full((30, 3), math.nan))
    streams["first"] = ticks_of(np.vstack((np.full((15, 3), math.nan), rng.normal(size=(25, 3)))))
    return streams


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("penalties", [(1e-6,), (1.0,), baselines.PENALTIES])
@pytest.mark.parametrize("validation", [0.2, 0.0])
def test_the_ridge_is_the_least_squares_of_rows_written_one_by_one(
    seed: int, penalties: tuple[float, ...], validation: float
) -> None:
    history, horizons = history_of(FEATURES, level_streams(seed)), (1, 3)
    split = split_each(history, (0.6, validation, 0.4 - validation))
    split = Split([extent for extent in split.train if extent.length > 2], split.validation, split.test)
    windows = all_windows(history, TARGETS, horizons)
    said = RidgeAR(history, split, TARGETS, horizons, 4, penalties, 17).forecast(history, windows)
    for o, target in enumerate(TARGETS):
        slow = SlowRidge(history, split, target, horizons, 4, penalties)
        right = [slow.say(s, at) for s, at in zip(windows.streams.tolist(), windows.origins.tolist(), strict=True)]
        np.testing.assert_allclose(said[:, :, o, 0], right, rtol=2e-5, atol=2e-5)
    assert 0 < np.isnan(said).sum() < said.size / 2


def ridge(
    history: History,
    split: Split,
    horizons: Sequence[int],
    lags: int,
    penalties: Sequence[float] = baselines.PENALTIES,
) -> Values:
    """What it says at every origin, of one target: (n, K)."""
    forecaster = RidgeAR(history, split, ("x",), horizons, lags, penalties)
    return forecaster.forecast(history, all_windows(history, ("x",), horizons))[..., 0, 0]


def test_the_ridge_recovers_a_noise_free_autoregression() -> None:
    """Of order 3, seen in the training part alone: its forecasts are the values that come."""
    values = [1.0, -0.5, 0.3]
    while len(values) < 300:
        values.append(0.6 * values[-1] + 0.3 * values[-2] - 0.88 * values[-3])
    history = history_of(("x",), {"s": ticks_of(np.array(values))})
    split = Split([Extent(3, 150, 0)], [Extent(150, 200, 0)], [Extent(200, 300, 0)])
    said = ridge(history, split, (1, 5), 3, penalties=(1e-9,))
    truth = all_windows(history, ("x",), (1, 5)).truth[..., 0]
    assert truth.std() > 0.3
    np.testing.assert_allclose(said[2:], truth[2:], atol=1e-4)


def test_a_glitch_in_training_moves_the_ridge_no_more_than_the_rows_that_it_costs() -> None:
    """And among the lags of a forecast it stands for the mean."""
    rng, values = np.random.default_rng(3), [20.0]
    while len(values) < 2000:
        values.append(20 + 0.9 * (values[-1] - 20) + rng.normal(scale=0.3))
    clean = np.array(values)
    glitch = clean.copy()
    glitch[[700, 1800]] = -9999
    history, spoilt = (history_of(("x",), {"s": ticks_of(one)}) for one in (clean, glitch))
    split = split_each(history, (0.5, 0.25, 0.25))
    right, said = (ridge(each, split, (1,), 8)[:, 0] for each in (history, spoilt))
    apart = np.abs(right - said)
    assert apart[np.r_[0:700, 708:1800, 1808:1999]].max() < 0.05
    assert apart.max() < 3


def test_streams_that_differ_in_level_and_size_alone_are_forecast_alike() -> None:
    """0.125 and 4 lose no bits."""
    values = np.random.default_rng(1).normal(size=200).cumsum().astype(np.float32)
    history = history_of(("x",), {"a": ticks_of(values), "b": ticks_of(4096 + 0.125 * np.round(values, 1))})
    alone = history_of(("x",), {"a": ticks_of(values), "b": ticks_of(np.round(values, 1))})
    shares = (0.6, 0.2, 0.2)
    both, plain = (ridge(h, split_each(h, shares), (1, 4), 8) for h in (history, alone))
    half = len(both) // 2
    np.testing.assert_allclose(both[:half], plain[:half], atol=2e-3)
    np.testing.assert_allclose((both[half:] - 4096) / 0.125, plain[half:], atol=2e-2)


@pytest.mark.parametrize(("sign", "is_free"), [(1, True), (-1, False)])
def test_the_penalty_is_chosen_on_the_validation_part_alone(sign: int, is_free: bool) -> None:
    """Values that alternate in training: where they go on so the fit is trusted, where they stop to it is not."""
    values = np.array([(-1.0) ** (t // 2 if sign < 0 and 100 <= t < 150 else t) for t in range(200)])
    history = history_of(("x",), {"s": ticks_of(values)})
    said = ridge(history, split_each(history, (0.5, 0.25, 0.25)), (1,), 1, penalties=(1e-9, 1e9))[:, 0]
    np.testing.assert_allclose(said, -values[:-1] if is_free else np.zeros(199), atol=0.02)


def changed_after(history: History, tick: int) -> History:
    """The same up to a tick, something else after it."""
    values, carried = history.values.copy(), history.carried.copy()
    values[tick + 1 :], carried[tick + 1 :] = 1e6 - values[tick + 1 :], 77.0
    return History(history.features, history.streams, history.starts, history.time_ms, values, carried)


@settings(deadline=None)
@given(seed=st.integers(0, 1000), cut=st.integers(80, 118))
def test_no_baseline_looks_ahead(seed: int, cut: int) -> None:
    """Neither when it forecasts nor when it is made: what it learns from ends before the test part."""
    history, horizons = history_of(FEATURES, shaky_streams(seed, (120,), 3)), (1, 5)
    other, split = changed_after(history, cut), split_each(history, (0.4, 0.2, 0.4))
    for each in (history, other):
        made: list[Forecaster] = [
            Persistence(TARGETS, horizons),
            SeasonalNaive(TARGETS, horizons, 6),
            RidgeAR(each, split, TARGETS, horizons, 5),
        ]
        if each is history:
            before = [one.forecast(each, all_windows(each, TARGETS, horizons)) for one in made]
    for one, said in zip(made, before, strict=True):
        after = one.forecast(other, all_windows(other, TARGETS, horizons))
        np.testing.assert_array_equal(after[: cut + 1], said[: cut + 1])


def test_a_ridge_without_a_window_to_learn_from_says_the_mean() -> None:
    history = history_of(("x",), {"s": ticks_of(np.array([1.0, 3.0, 8.0, 9.0, 7.0]))})
    split = Split([Extent(0, 2, 0)], [], [Extent(2, 5, 0)])
    np.testing.assert_allclose(ridge(history, split, (2,), 3), 2.0)
