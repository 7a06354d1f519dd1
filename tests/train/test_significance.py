"""Whether a difference is more than chance: by hand, by published tables, and by simulation of equals."""

import math

import numpy as np
import pytest

from streamrnn.train.significance import LEAST_MOMENTS, Difference, compare, student


@pytest.mark.parametrize(
    ("freedom", "t", "p"),
    [(1, 6.313752, 0.95), (2, 2.919986, 0.95), (3, 2.353363, 0.95), (5, 2.015048, 0.95), (10, 1.812461, 0.95),
     (30, 2.042272, 0.975), (120, 2.357825, 0.99)],
)  # fmt: skip
def test_students_t_is_that_of_the_tables(freedom: int, t: float, p: float) -> None:
    assert student(t, freedom) == pytest.approx(p, abs=1e-6)
    assert student(-t, freedom) == pytest.approx(1 - p, abs=1e-6)
    assert student(0.0, freedom) == 0.5


def test_the_error_is_that_of_cosine_weights_worked_out_one_by_one() -> None:
    """Fifty moments and forecasts two ahead: 0.4 x 50^(2/3) = 5.43 and 50/4 = 12.5, so 5 cosines."""
    series = [math.sin(t) + 0.1 * t % 0.7 for t in range(50)]
    weight = [1.0 + (t % 3) for t in range(50)]
    mean = sum(series) / sum(weight)
    rest = [s - mean * w for s, w in zip(series, weight, strict=True)]
    weights = [
        math.sqrt(2 / 50) * sum(r * math.cos(math.pi * j * (t + 0.5) / 50) for t, r in enumerate(rest))
        for j in range(1, 6)
    ]
    error = math.sqrt(50 * sum(w * w for w in weights) / 5) / sum(weight)
    found, p = compare(np.array(series), np.array(weight), 2), student(mean / error, 5)
    assert found == Difference(pytest.approx(mean), pytest.approx(error), pytest.approx(p), 50)


def test_moments_without_a_truth_do_not_count() -> None:
    rng = np.random.default_rng(1)
    series = rng.normal(size=80)
    spread = np.zeros(200)
    spread[np.sort(rng.choice(200, 80, replace=False))] = series
    assert compare(spread, (spread != 0).astype(float), 1) == compare(series, np.ones(80), 1)


@pytest.mark.parametrize(("moments", "longest"), [(LEAST_MOMENTS - 1, 1), (96, 49), (0, 1)])
def test_too_few_moments_show_nothing(moments: int, longest: int) -> None:
    """Also where none of the horizons is done twice over."""
    found = compare(np.full(moments, -1.0), np.ones(moments), longest)
    assert not found.is_shown
    assert math.isnan(found.p)
    assert found.moments == moments


def test_what_always_differs_is_shown_and_what_never_does_is_not() -> None:
    ones = np.ones(60)
    assert compare(-ones, ones, 1).is_shown
    assert not compare(ones, ones, 1).is_shown
    assert not compare(0 * ones, ones, 1).is_shown


def walk_of(rng: np.random.Generator, kind: str, moments: int) -> np.ndarray:
    """A series of mean 0: white, autoregressive, heavy-tailed, or of sums that overlap by 24."""
    noise = rng.normal(size=moments + 124)
    if kind == "autoregressive":
        for t in range(1, len(noise)):
            noise[t] += 0.5 * noise[t - 1]
    elif kind == "heavy":
        noise = rng.standard_t(4, size=len(noise))
    elif kind == "overlapping":
        total = np.cumsum(noise)
        noise = total[24:] - total[:-24]
    return noise[-moments:]


@pytest.mark.parametrize(
    ("kind", "moments", "longest"),
    [("white", 60, 1), ("white", 1000, 1), ("autoregressive", 400, 1), ("heavy", 200, 1), ("overlapping", 700, 24)],
)
def test_of_two_equals_the_first_is_shown_to_be_better_one_time_in_twenty(
    kind: str, moments: int, longest: int
) -> None:
    """In 4,000 drawings three standard deviations of the share are 1 %; strong dependence may add 1 % more."""
    rng, ones = np.random.default_rng(7), np.ones(moments)
    shown = [compare(walk_of(rng, kind, moments), ones, longest).is_shown for _ in range(4000)]
    assert 0.038 < np.mean(shown) < 0.07


def test_a_true_difference_is_found_the_more_often_the_larger_it_is() -> None:
    """A mean of .1 deviations is 3.2 standard errors of 1,000 moments: found some nine times in ten."""
    rng, ones = np.random.default_rng(8), np.ones(1000)
    power = [
        np.mean([compare(rng.normal(size=1000) - shift, ones, 1).is_shown for _ in range(500)])
        for shift in (0.0, 0.05, 0.1)
    ]
    assert power[0] < 0.08
    assert 0.3 < power[1] < 0.7
    assert power[2] > 0.85


def test_streams_that_err_together_count_as_one() -> None:
    """A hundred copies of a series are no more moments than it has."""
    series = np.random.default_rng(9).normal(size=300) - 0.05
    one, many = compare(series, np.ones(300), 1), compare(100 * series, np.full(300, 100.0), 1)
    assert many == Difference(pytest.approx(one.mean), pytest.approx(one.error), pytest.approx(one.p), 300)
