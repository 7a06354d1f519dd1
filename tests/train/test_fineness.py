"""Whether float32 holds a feature's steps, for numbers whose rounding is known."""

import numpy as np
import pytest

from streamrnn.train.fineness import find_fine

RNG = np.random.default_rng(1)
WALK = RNG.normal(size=400).cumsum()


@pytest.mark.parametrize(
    ("column", "is_fine"),
    [
        (987_654_324 + RNG.integers(3, 7, 400).cumsum(), True),  # float32's spacing is 64 there
        (20 + 0.01 * np.round(WALK), False),
        (100_000 + 0.01 * np.round(WALK), True),  # spacing 0.008
        (1e9 + 1e4 * np.round(WALK), False),
        ((100_000 + np.round(WALK)).astype(np.float32).astype(np.float64), False),
        (np.full(400, 987_654_324.5), False),
        (0.1 + 1e-16 * RNG.integers(0, 2, 400), False),  # what arithmetic leaves over
        (np.where(np.arange(400) % 2, np.nan, 987_654_321.0), False),
        (np.where(np.arange(400) == 7, 1e300, WALK), False),
    ],
    ids=["meter", "sensor", "cents", "coarse", "was float32", "constant", "noise", "never two", "one absurd"],
)
@pytest.mark.parametrize("at_once", [3, 1 << 18])
def test_a_feature_is_fine_where_rounding_tells_its_steps_wrong(
    column: np.ndarray, is_fine: bool, at_once: int
) -> None:
    values = np.stack((column, WALK), axis=1).astype(np.float64)
    assert find_fine(values, np.array([0, 400]), at_once).tolist() == [is_fine, False]


def test_between_two_streams_there_is_no_step() -> None:
    values = np.repeat(1e9 + 3.0 * np.arange(50), 4)[:, None]
    assert find_fine(values, np.arange(0, 204, 4)).tolist() == [False]
    assert find_fine(values, np.array([0, 200])).tolist() == [True]
