"""Deviations by stream against numpy's, and what has none."""

import math

import numpy as np
import pytest

from streamrnn.train.history import Extent, split_each
from streamrnn.train.moments import MOST_MOMENTS, timeline
from streamrnn.train.scales import LEAST_KNOWN, error_scales, typical

from .histories import T0, history_of, ticks_of


def test_each_streams_scale_is_its_own_deviation_in_training() -> None:
    rng = np.random.default_rng(1)
    rows = {"kW": 1000 * rng.normal(size=(100, 2)), "bar": 0.01 * rng.normal(size=(60, 2))}
    rows["bar"][3:9, 1] = np.nan
    history = history_of(("a", "b"), {name: ticks_of(values) for name, values in rows.items()})
    found = error_scales(history, split_each(history, (0.5, 0.0, 0.5)).train, ("b", "a"))
    halves = [values[: len(values) // 2].astype(np.float32) for values in rows.values()]
    right = [[np.nanstd(half[:, o], dtype=float) for o in (1, 0)] for half in halves]
    np.testing.assert_allclose(found, right, rtol=1e-6)
    assert typical(found) == [pytest.approx((right[0][o] + right[1][o]) / 2) for o in (0, 1)]


def test_one_sentinel_in_training_does_not_make_a_stream_large() -> None:
    values = np.random.default_rng(2).normal(size=500)
    clean = error_scales(history_of(("a",), {"s": ticks_of(values)}), [Extent(0, 500, 0)], ("a",))
    values[77] = -9999.0
    spoilt = error_scales(history_of(("a",), {"s": ticks_of(values)}), [Extent(0, 500, 0)], ("a",))
    np.testing.assert_allclose(spoilt, clean, rtol=0.02)


def test_what_is_constant_in_training_has_no_scale_and_what_was_hardly_there_has_that_of_all_it_has() -> None:
    walk = np.random.default_rng(3).normal(size=40).cumsum()
    still = np.concatenate((np.full(20, 7.0), walk[:20]))
    streams = {"still": ticks_of(still), "dead": ticks_of(np.full(40, 7.0)), "new": ticks_of(walk)}
    history = history_of(("a",), streams)
    few = Extent(80, 80 + LEAST_KNOWN - 1, 80)
    found = error_scales(history, [Extent(0, 20, 0), Extent(40, 60, 40), few], ("a",))[:, 0]
    assert np.isnan(found[:2]).all()
    assert found[2] == pytest.approx(walk.astype(np.float32).std(dtype=float), rel=1e-6)
    unseen = error_scales(history, [Extent(0, 20, 0)], ("a",))[:, 0]
    assert math.isnan(unseen[1])
    assert unseen[2] == pytest.approx(found[2])
    assert typical(np.full((2, 1), math.nan)) == [None]


def test_streams_side_by_side_share_their_moments_and_look_as_far_ahead_as_one() -> None:
    history = history_of(("a",), {name: ticks_of(np.zeros(300)) for name in "abc"})
    found = timeline(history, split_each(history, (0.0, 0.0, 1.0)).test, 24)
    assert found.begins.tolist() == [T0 + 60_000 * t for t in range(300)]
    assert found.longest == 24
    assert found.at(np.array([T0 - 5, T0, T0 + 60_000 * 7 + 1, T0 + 10**9])).tolist() == [0, 0, 7, 299]


def test_moments_are_bounded_and_a_forecast_looks_over_fewer_of_them() -> None:
    history = history_of(("a",), {"s": ticks_of(np.zeros(4 * MOST_MOMENTS))})
    found = timeline(history, [Extent(0, 4 * MOST_MOMENTS, 0)], 96)
    assert len(found.begins) == MOST_MOMENTS
    assert found.longest == pytest.approx(24, rel=0.01)
    counts = np.bincount(found.at(history.time_ms), minlength=MOST_MOMENTS)
    assert counts[:-1].min() >= 3
    assert counts.max() <= 5


def test_streams_side_by_side_have_the_scales_of_each_alone() -> None:
    """Of unlike lengths, some of their values missing, one with a sentinel, one constant, two too short."""
    rng, streams = np.random.default_rng(6), {}
    for n, length in enumerate((300, 7, 5000, 12, 90, 90, 4000, 1)):
        values = 10.0**n * rng.normal(size=(length, 2))
        values[rng.random(values.shape) < 0.1] = np.nan
        streams[f"s{n}"] = ticks_of(np.full((length, 2), 3.0) if n == 4 else values)
    streams["s5"][8] = (streams["s5"][8][0], (-1e12, 1.0))
    history = history_of(("a", "b"), streams)
    train = split_each(history, (0.5, 0.0, 0.5)).train
    alone = [
        error_scales(
            history_of(("a", "b"), {name: ticks}),
            split_each(history_of(("a", "b"), {name: ticks}), (0.5, 0.0, 0.5)).train if len(ticks) > 1 else [],
            ("b", "a"),
        )[0]
        for name, ticks in streams.items()
    ]
    np.testing.assert_allclose(error_scales(history, train, ("b", "a")), np.array(alone), rtol=1e-9)
    assert np.isnan(alone[4]).all()
