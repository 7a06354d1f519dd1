"""What is absurd in a stream, against streams with known glitches."""

import math

import numpy as np
import pytest

from streamrnn.train.trimming import ABSURD, ABSURD_SELDOM, SAMPLE_TICKS, sampled, trim_of

GLITCHES = (-9999.0, 20_500.0, 1.2e19, -3e38)


def readings(seed: int = 0, n: int = 2000) -> np.ndarray:
    return 20 + np.random.default_rng(seed).random((n, 1))


def test_a_share_of_glitches_is_left_out_and_nothing_else() -> None:
    rows = readings()
    at = np.random.default_rng(1).random(len(rows)) < 0.03
    rows[at, 0] = np.resize(GLITCHES, int(at.sum()))
    trimmed = trim_of(rows).apply(rows)
    assert np.isnan(trimmed[:, 0]).tolist() == at.tolist()
    assert trimmed[~at].tolist() == rows[~at].tolist()


def test_the_middle_is_the_median_and_the_reach_what_a_twentieth_exceeds_so_many_times() -> None:
    trim = trim_of(np.arange(201.0)[:, None])
    assert (trim.middle.tolist(), trim.reach.tolist()) == ([100.0], [95 * ABSURD])


def test_of_a_stream_that_seldom_moves_the_median_of_its_moves_tells() -> None:
    rows = np.array([5.0] * 97 + [7.0, 4.0, 9.0, math.nan])[:, None]
    trim = trim_of(rows)
    assert (trim.middle.tolist(), trim.reach.tolist()) == ([5.0], [2 * ABSURD_SELDOM])


def test_rare_bursts_of_a_seldom_moving_sensor_are_its_own() -> None:
    rows = np.zeros((3000, 1))
    rows[::300] = 5
    rows[1::600] = 400
    assert trim_of(rows).apply(rows).tolist() == rows.tolist()


def test_moves_of_a_sensor_that_mostly_trembles_are_its_own_and_its_glitches_are_not() -> None:
    rng = np.random.default_rng(4)
    rows = np.where(rng.random((3000, 1)) < 0.1, 20.0, 0.001) * rng.normal(size=(3000, 1))
    rows[[50, 900]] = -99_990
    trimmed = trim_of(rows).apply(rows)[:, 0]
    assert np.flatnonzero(np.isnan(trimmed)).tolist() == [50, 900]


@pytest.mark.parametrize("value", [3.5, math.nan])
def test_where_nothing_differs_or_is_known_everything_counts(value: float) -> None:
    trim = trim_of(np.full((10, 2), value))
    assert trim.reach.tolist() == [math.inf] * 2
    assert trim.apply(np.array([[1e30, -1.0]])).tolist() == [[1e30, -1.0]]


def test_of_a_sample_without_a_row_everything_counts() -> None:
    """Such as the lags of a stream that is shorter than they reach back."""
    trim = trim_of(np.zeros((0, 2)))
    assert (trim.middle.tolist(), trim.reach.tolist()) == ([0.0] * 2, [math.inf] * 2)


@pytest.mark.parametrize("length", [1, SAMPLE_TICKS, SAMPLE_TICKS + 1, 10 * SAMPLE_TICKS + 77])
def test_a_sample_is_bounded_and_from_all_over(length: int) -> None:
    ticks = [tick for run in sampled(100, 100 + length) for tick in range(run.start, run.stop)]
    assert len(ticks) == min(length, SAMPLE_TICKS)
    assert (ticks[0], ticks[-1]) == (100, 100 + length - 1)
    assert max(np.diff(ticks), default=0) <= max(1, 2 * length // 64)


def test_of_ratios_beyond_tenfold_less_is_absurd() -> None:
    changes = np.random.default_rng(2).normal(0, 0.05, (2000, 1))
    changes[[7, 8, 500, 501], 0] = [math.log(1000), -math.log(1000), 1.5, -1.5]
    trimmed = trim_of(changes, is_log=True).apply(changes)[:, 0]
    assert np.flatnonzero(np.isnan(trimmed)).tolist() == [7, 8]
