"""The bounds of levels, worked out by hand."""

import math

import msgspec
import numpy as np

from streamrnn.train.history import Extent, split_each
from streamrnn.train.trained_ranges import WIDER, ranges_of

from .histories import history_of, ticks_of

NAN = math.nan


def whole(history) -> list[Extent]:
    return split_each(history, (1.0, 0.0, 0.0)).train


def test_lowest_and_highest_of_all_streams_are_widened_by_ten_times_their_distance() -> None:
    a, b = np.array([[20, NAN], [21, NAN], [22, NAN]]), np.array([[18, NAN], [19, NAN], [20.5, NAN]])
    history = history_of(("t", "never"), {"a": ticks_of(a), "b": ticks_of(b)})
    assert WIDER == 10
    assert ranges_of(history, whole(history)) == ((18 - 40.0, 22 + 40.0), None)


def test_sentinels_in_the_training_part_widen_nothing() -> None:
    """A year's temperatures, one in a hundred a sentinel: -999 is within a hundred times their swing."""
    at, rng = np.arange(8760), np.random.default_rng(1)
    clean = 10 + 12 * np.sin(at * 2 * np.pi / 8760) + rng.uniform(-3, 3, len(at))
    spoilt = clean.copy()
    spoilt[::100] = np.resize([-999.0, -9999.0, 65535.0, 1e30], len(spoilt[::100]))
    kept = np.float32(np.delete(clean, np.s_[::100]))
    low, high = float(kept.min()), float(kept.max())
    history = history_of(("t",), {"a": ticks_of(spoilt)})
    [bounds] = ranges_of(history, whole(history))
    assert bounds == (low - 10 * (high - low), high + 10 * (high - low))
    assert bounds[0] > -999


def test_a_feature_that_never_differs_has_no_bounds_and_the_test_part_no_say() -> None:
    rows = np.array([[1.0, 5.0]] * 6 + [[3.0, 5.0]] * 2 + [[1e6, 7.0]] * 2)
    history = history_of(("a", "b"), {"s": ticks_of(rows)})
    found = ranges_of(history, split_each(history, (0.8, 0.1, 0.1)).train)
    assert found == ((-19.0, 23.0), None)


def test_bounds_are_plain_numbers_that_a_spec_can_write() -> None:
    history = history_of(("a",), {"s": ticks_of(np.arange(5.0))})
    assert msgspec.json.encode(ranges_of(history, whole(history))) == b"[[-40.0,44.0]]"
