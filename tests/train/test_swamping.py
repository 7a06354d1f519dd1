"""The one tick that most of persistence's error is about, against all errors added up one by one."""

import math

import numpy as np
import pytest

from streamrnn.train.baselines import Persistence
from streamrnn.train.history import Extent, History
from streamrnn.train.judge import Judgement, judge
from streamrnn.train.swamping import Swamping, swamping

from .histories import T0, history_of, ticks_of

TARGETS = ("b", "a")


def made(far_out: float, streams: int = 3) -> History:
    """Noise of deviation 1; feature b of s1 is `far_out` at its tick 70."""
    rng, rows = np.random.default_rng(4), {}
    for n in range(streams):
        values = rng.normal(size=(100, 2))
        if n == 1:
            values[70, 1] = far_out
        rows[f"s{n}"] = ticks_of(values)
    return history_of(("a", "b"), rows)


def judged(history: History, horizons: tuple[int, ...]) -> tuple[list[Extent], Judgement]:
    part = [Extent(start + 50, start + 100, start) for start in history.starts[:-1].tolist()]
    scales = np.ones((len(history.streams), 2))
    return part, judge(history, part, [Persistence(TARGETS, horizons)], TARGETS, horizons, scales)


def share_by_hand(history: History, part: list[Extent], horizons: tuple[int, ...], tick: int) -> float:
    """Squared errors of b that are of the tick or from it, among all; the streams have equally many truths."""
    about = whole = 0.0
    for extent in part:
        for at in range(extent.start - 1, extent.stop - max(horizons)):
            for horizon in horizons:
                for column in (0, 1):
                    error = float(history.values[at + horizon, column] - history.values[at, column]) ** 2
                    whole += error
                    about += error if column and tick in (at, at + horizon) else 0.0
    return about / whole


@pytest.mark.parametrize("horizons", [(1,), (1, 2, 3, 4), (6,)])
def test_a_tick_that_holds_most_of_the_error_is_named_with_stream_time_value_and_share(
    horizons: tuple[int, ...],
) -> None:
    history = made(60.0)
    part, found = judged(history, horizons)
    right = share_by_hand(history, part, horizons, 170)
    assert right > 0.5
    swamped = swamping(history, part, TARGETS, horizons, found)
    assert swamped == Swamping(("s1", "b", T0 + 70 * 60_000, 60.0), pytest.approx(right, rel=1e-6))
    assert swamped.words().startswith(f"one value makes {right:.1%} of persistence's squared error: b 60 of s1 at ")


@pytest.mark.parametrize("far_out", [0.0, 5.0, math.nan])
def test_ordinary_ticks_are_not_named(far_out: float) -> None:
    history = made(far_out)
    part, found = judged(history, (1,))
    assert swamping(history, part, TARGETS, (1,), found) is None


def test_a_stream_that_is_all_loud_is_no_single_tick() -> None:
    history = made(0.0)
    history.values[100:200] *= 50
    history.carried[100:200] *= 50
    part, found = judged(history, (1,))
    assert swamping(history, part, TARGETS, (1,), found) is None
