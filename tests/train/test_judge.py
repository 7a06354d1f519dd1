"""The judge against plain loops over every window, horizon and target."""

import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.errors import DataError
from streamrnn.train import judge as module
from streamrnn.train.baselines import Persistence
from streamrnn.train.history import Extent, History, split_each
from streamrnn.train.judge import MOST_SAMPLES, SAMPLE_TICKS, Judgement, check_windows, judge
from streamrnn.train.retrain_report import Grid
from streamrnn.train.scales import error_scales
from streamrnn.train.stream_scores import stream_scores
from streamrnn.train.windows import Windows, windows_of

from .histories import Values, history_of, shaky_streams, ticks_of

FEATURES, TARGETS, HORIZONS = ("x", "y", "z"), ("z", "x"), (1, 4)
SCALES = ((2.0, 0.5), (300.0, 7.0), (0.01, math.nan))
"""Of the streams one after the other, by target; NaN: no score."""
Cell = tuple[int, int, int]
"""Origin, number of the horizon, number of the target."""


class Scripted:
    """Says what a function of the cell does, quantile by quantile."""

    kind = "model"

    def __init__(self, name: str, said: Callable[[Cell], Sequence[float]], levels: tuple[float, ...] = ()) -> None:
        self.name, self.levels, self.said = name, levels, said

    def forecast(self, history: History, windows: Windows) -> Values:
        cells = [[[self.said((at, k, o)) for o in (0, 1)] for k in (0, 1)] for at in windows.origins.tolist()]
        return np.array(cells, np.float32)


def noise(seed: int, gaps: float = 0.0, quantiles: int = 1) -> Callable[[Cell], list[float]]:
    """Ascending numbers about 3 that depend on the cell alone, some of them missing."""

    def said(cell: Cell) -> list[float]:
        rng = np.random.default_rng((seed, *cell))
        numbers = np.sort(rng.normal(3, 2, quantiles)).astype(np.float32)
        numbers[rng.random(quantiles) < gaps] = math.nan
        return [float(number) for number in numbers]

    return said


def forecasters() -> list[Scripted]:
    levels = (0.1, 0.5, 0.9)
    return [
        Scripted("sure", noise(1, 0.1, 3), levels),
        Scripted("point", noise(2, 0.2)),
        Scripted("plain", noise(3)),
    ]


class Error(NamedTuple):
    """Of a truth that all could forecast: its stream, one's error, whether it is below each of his quantiles."""

    stream: int
    error: float
    below: list[bool]


def errors(
    history: History, part: list[Extent], who: Sequence[Scripted], one: Scripted, k: int, o: int
) -> list[Error]:
    """Of every such truth of a horizon and target."""
    found = []
    for extent in part:
        stream = history.starts.tolist().index(extent.stream_start)
        for at in range(max(extent.start - 1, extent.stream_start), extent.stop - max(HORIZONS)):
            truth = float(history.values[at + HORIZONS[k], FEATURES.index(TARGETS[o])])
            if not any(map(math.isnan, [truth, *(x for w in who for x in w.said((at, k, o)))])):
                said = one.said((at, k, o))
                found.append(Error(stream, truth - said[len(said) // 2], [truth < number for number in said]))
    return found


def some(cells: dict[tuple[int, int], float | None]) -> dict[tuple[int, int], float]:
    return {cell: number for cell, number in cells.items() if number is not None}


CELLS = [(k, o) for k in (0, 1) for o in (0, 1)]


def same(found: Grid, right: dict[tuple[int, int], float]) -> None:
    """Nearly the same numbers, and none where there is none."""
    assert [number for row in found for number in row] == [
        pytest.approx(right[cell]) if cell in right else None for cell in CELLS
    ]


def judged(history: History, part: list[Extent], who: Sequence[Scripted], **more: int) -> Judgement:
    scales = np.array([SCALES[s % len(SCALES)] for s in range(len(history.streams))])
    return judge(history, part, who, TARGETS, HORIZONS, scales, **more)


def over_streams(rows: list[Error], o: int, size: Callable[[float], float]) -> float | None:
    """The mean over the streams with a scale of each one's mean of its scaled errors' sizes."""
    own: dict[int, list[float]] = {}
    for row in rows:
        scale = SCALES[row.stream % len(SCALES)][o]
        if not math.isnan(scale):
            own.setdefault(row.stream, []).append(size(row.error / scale))
    return fmean(map(fmean, own.values())) if own else None


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), lengths=st.lists(st.integers(1, 30), max_size=3), at_once=st.integers(1, 200))
def test_all_are_scored_on_the_truths_that_all_could_forecast(seed: int, lengths: list[int], at_once: int) -> None:
    """However many windows are taken at a time."""
    history, who = history_of(FEATURES, shaky_streams(seed, [*lengths, 40], 3)), forecasters()
    part = split_each(history, (0.3, 0.2, 0.5)).test
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "NUMBERS_AT_ONCE", at_once)
        found = judged(history, part, who)
    assert [score.name for score in found.scores] == ["sure", "point", "plain"]
    for score, one in zip(found.scores, who, strict=True):
        mine = {cell: errors(history, part, who, one, *cell) for cell in CELLS}
        assert [count for row in found.truths for count in row] == [len(mine[cell]) for cell in CELLS]
        mse = {cell: fmean(row.error**2 for row in rows) for cell, rows in mine.items() if rows}
        mae = {cell: fmean(abs(row.error) for row in rows) for cell, rows in mine.items() if rows}
        std_mse = some({(k, o): over_streams(rows, o, lambda x: x * x) for (k, o), rows in mine.items()})
        std_mae = some({(k, o): over_streams(rows, o, abs) for (k, o), rows in mine.items()})
        for name, right in (("mse", mse), ("mae", mae), ("std_mse", std_mse), ("std_mae", std_mae)):
            same(getattr(score, name), right)
        assert score.overall == pytest.approx(fmean(std_mse.values()))
        assert score.overall_mae == pytest.approx(fmean(std_mae.values()))
        below = [row.below for rows in mine.values() for row in rows]
        shares = [fmean(column) for column in zip(*below, strict=True)] if one.levels else None
        assert score.coverage == (None if shares is None else pytest.approx(shares))


def test_a_target_without_a_truth_has_no_score_and_does_not_count() -> None:
    values = np.column_stack((np.arange(20.0), np.zeros(20), np.full(20, math.nan)))
    history = history_of(FEATURES, {"s": ticks_of(values)})
    found = judged(history, [Extent(10, 20, 0)], [Scripted("low", lambda cell: [cell[0]])])
    [score] = found.scores
    assert found.truths == [[0, 7], [0, 7]]
    assert score.mse == [[None, 1.0], [None, 16.0]]
    assert score.std_mse == [[None, 4.0], [None, 64.0]]
    assert (score.overall, score.overall_mae) == (34.0, 5.0)


def test_samples_are_what_the_first_one_said_at_the_end_of_a_streams_windows_for_the_time_it_said_it_of() -> None:
    history = history_of(FEATURES, shaky_streams(4, (300, 20), 3))
    who = forecasters()
    samples = judged(history, split_each(history, (0.0, 0.0, 1.0)).test, who).samples
    assert {(sample.stream, sample.horizon) for sample in samples} >= {("s0", 1), ("s1", 4)}
    for sample in samples:
        k, o = HORIZONS.index(sample.horizon), TARGETS.index(sample.target)
        start, stop = {"s0": (0, 300), "s1": (300, 320)}[sample.stream]
        last = stop - max(HORIZONS)
        origins = range(max(start, last - SAMPLE_TICKS), last)
        said = [who[0].said((at, k, o)) for at in origins]
        truths = history.values[[at + sample.horizon for at in origins], FEATURES.index(sample.target)]
        assert sample.time_ms == [history.time_ms[at + sample.horizon] for at in origins]
        assert sample.actual == [none_if_nan(float(truth)) for truth in truths]
        columns = [[none_if_nan(numbers[q]) for numbers in said] for q in range(3)]
        assert [sample.low, sample.predicted, sample.high] == columns


def none_if_nan(number: float) -> float | None:
    return None if math.isnan(number) else number


@pytest.mark.parametrize("at_once", [1, 1 << 20])
def test_a_few_samples_are_taken_from_the_first_stream_to_the_last_and_points_have_no_band(at_once: int) -> None:
    history = history_of(FEATURES, {f"s{n}": ticks_of(np.ones((10, 3))) for n in range(40)})
    part, one = split_each(history, (0.0, 0.0, 1.0)).test, Scripted("one", lambda cell: [1.0])
    samples = judged(history, part, [one], numbers_at_once=at_once).samples
    assert len(samples) == MOST_SAMPLES
    streams = [int(sample.stream[1:]) for sample in samples]
    assert streams == sorted(streams)
    assert (streams[0], streams[-1]) == (0, 39)
    assert {(sample.low, sample.high) for sample in samples} == {(None, None)}


def test_a_perfect_forecast_has_no_error() -> None:
    history = history_of(FEATURES, shaky_streams(2, (50,), 3))
    [windows] = windows_of(history, [Extent(0, 50, 0)], TARGETS, HORIZONS, 99)
    right = Scripted("right", lambda cell: [float(windows.truth[cell])])
    assert judged(history, [Extent(0, 50, 0)], [right]).scores[0].overall == 0


@pytest.mark.parametrize(
    ("values", "said", "why"),
    [
        (np.zeros((5, 3)), 0.0, "no tick of the test part has its truths 4 ticks ahead in it"),
        (np.full((20, 3), math.nan), 0.0, "no truth in the test part could be forecast by all"),
        (np.zeros((20, 3)), math.nan, "no truth in the test part could be forecast by all"),
        (np.zeros((20, 3)), math.inf, "no truth in the test part could be forecast by all"),
    ],
    ids=["too short", "no truth", "no forecast", "infinite"],
)
def test_with_nothing_to_judge_by_there_is_no_judgement(values: np.ndarray, said: float, why: str) -> None:
    history = history_of(FEATURES, {"s": ticks_of(values)})
    part = [Extent(2, len(values), 0)]
    with pytest.raises(DataError, match=f"nothing to judge by: {why}"):
        judged(history, part, [Scripted("a", lambda cell: [said]), Scripted("b", lambda cell: [1.0])])


def test_that_no_window_lies_in_the_part_can_be_known_before() -> None:
    check_windows([Extent(0, 5, 0), Extent(0, 2, 0)], (1, 4))
    for part in ([], [Extent(0, 4, 0)], [Extent(9, 9 + 3, 0)]):
        with pytest.raises(DataError, match="nothing to judge by"):
            check_windows(part, (1, 4))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), at_once=st.integers(1, 200))
def test_every_stream_has_its_own_error_whatever_the_others_have(seed: int, at_once: int) -> None:
    history, who = history_of(FEATURES, shaky_streams(seed, (30, 12, 40), 3)), forecasters()
    part = split_each(history, (0.3, 0.2, 0.5)).test
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "NUMBERS_AT_ONCE", at_once)
        found = judged(history, part, who)
    for number, one in enumerate(who):
        rows = [(row, o) for k, o in CELLS for row in errors(history, part, who, one, k, o)]
        for stream in range(3):
            own = [(row.error / SCALES[stream][o]) ** 2 for row, o in rows if row.stream == stream]
            own = [error for error in own if not math.isnan(error)]
            assert found.stream_truths[stream] == len(own)
            right = fmean(own) if own else math.nan
            assert found.stream_error[stream, number] == pytest.approx(right, nan_ok=True)
        means = found.stream_error[:, [0, number]]
        assert found.differences[number].mean == pytest.approx(np.nanmean(means[:, 0] - means[:, 1]), abs=1e-9)


def test_one_bad_stream_among_twenty_is_not_drowned_by_their_units() -> None:
    """Nineteen streams of size 1000 forecast to a tenth of persistence's error, one of size 1 to 40 times it."""
    rng = np.random.default_rng(5)
    walks = [(1000.0 if n else 1.0) * rng.normal(size=(400, 3)).cumsum(0) for n in range(20)]
    history = history_of(FEATURES, {f"s{n}": ticks_of(walk) for n, walk in enumerate(walks)})
    parts = split_each(history, (0.5, 0.0, 0.5))
    scales = error_scales(history, parts.train, TARGETS)

    def said(cell: Cell) -> list[float]:
        """Persistence's error times the root of .1, or of 40."""
        at, k, o = cell
        column, stream = FEATURES.index(TARGETS[o]), int(np.searchsorted(history.starts, at, side="right")) - 1
        truth, now = (float(history.values[t, column]) for t in (at + HORIZONS[k], at))
        return [truth + math.sqrt(0.1 if stream else 40.0) * (now - truth)]

    persistence = Persistence(TARGETS, HORIZONS)
    found = judge(history, parts.test, [Scripted("model", said), persistence], TARGETS, HORIZONS, scales)
    ratios = found.stream_error[:, 0] / found.stream_error[:, 1]
    np.testing.assert_allclose(ratios, [40.0] + [0.1] * 19, rtol=1e-4)
    streams = stream_scores(found, history.streams)
    assert (streams.scored, streams.judged, streams.worse) == (20, 20, [1, 0])
    assert streams.rows[0].stream == "s0"
    assert streams.quantiles[0] == pytest.approx(0.1, rel=1e-4)
    assert streams.quantiles[-1] == pytest.approx(40, rel=1e-4)
    base = found.stream_error[:, 1]
    assert found.scores[0].overall == pytest.approx((40 * base[0] + 0.1 * base[1:].sum()) / 20, rel=1e-4)
