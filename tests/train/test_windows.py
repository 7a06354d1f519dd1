"""Windows: which forecasts are judged, against a loop over all ticks."""

import math

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from streamrnn.errors import DataError
from streamrnn.train.history import Extent, History, extents, split_by_time, split_each
from streamrnn.train.windows import windows_of

from .histories import history_of, shaky_streams, ticks_of

FEATURES = ("x", "y", "z")
Window = tuple[int, int, list[list[float]]]
"""Origin, the stream's number, truth [horizon][target]."""


def found(
    history: History, part: list[Extent], targets: tuple[str, ...], horizons: tuple[int, ...], most: int
) -> list[Window]:
    """All windows, group after group."""
    windows: list[Window] = []
    for group in windows_of(history, part, targets, horizons, most):
        windows += zip(group.origins.tolist(), group.streams.tolist(), group.truth.tolist(), strict=True)
    return windows


def expected(
    history: History, part: list[Extent], targets: tuple[str, ...], horizons: tuple[int, ...]
) -> list[Window]:
    """Every tick of every stream is asked whether all its truths are in the part, and it next to it."""
    windows: list[Window] = []
    for stream, (start, stop) in enumerate(extents(history)):
        for own in (extent for extent in part if extent.stream_start == start):
            for at in range(start, stop):
                if at + 1 >= own.start and all(own.start <= at + h < own.stop for h in horizons):
                    truth = [[float(history.values[at + h, FEATURES.index(t)]) for t in targets] for h in horizons]
                    windows.append((at, stream, truth))
    return windows


@settings(deadline=None)
@given(
    seed=st.integers(0, 1000),
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    targets=st.sampled_from([("x",), ("z", "x"), FEATURES]),
    horizons=st.sampled_from([(1,), (3,), (1, 2, 7), (1, 30)]),
    most=st.integers(1, 60),
    together=st.booleans(),
)
def test_windows_lie_whole_in_their_part_and_begin_at_the_tick_before_it(
    seed: int, lengths: list[int], targets: tuple[str, ...], horizons: tuple[int, ...], most: int, together: bool
) -> None:
    history = history_of(FEATURES, shaky_streams(seed, [*lengths, 30], 3))
    try:
        split = (split_by_time if together else split_each)(history, (0.5, 0.25, 0.25))
    except DataError:  # its times leave a part without ticks
        reject()
    for part in split:
        np.testing.assert_equal(
            found(history, part, targets, horizons, most), expected(history, part, targets, horizons)
        )


def test_the_first_truth_of_a_part_is_its_first_tick_and_the_last_its_last() -> None:
    history = history_of(("x",), {"s": ticks_of(np.arange(20.0))})
    test = split_each(history, (0.5, 0.25, 0.25)).test
    assert found(history, test, ("x",), (1,), 99) == [(at, 0, [[at + 1.0]]) for at in range(14, 19)]


def test_a_stream_born_in_the_part_has_no_tick_before_it_and_one_that_died_before_has_no_window() -> None:
    streams = {
        "dead": ticks_of(np.arange(10.0)),
        "alive": ticks_of(np.arange(20.0)),
        "born": [(time_ms + 16 * 60_000, values) for time_ms, values in ticks_of(np.arange(4.0))],
    }
    history = history_of(("x",), streams)
    test = split_by_time(history, (0.4, 0.2, 0.4)).test
    first = min(int(history.time_ms[extent.start]) for extent in test)
    windows = found(history, test, ("x",), (1,), 99)
    assert {stream for _, stream, _ in windows} == {1, 2}
    assert [origin for origin, stream, _ in windows if stream == 2] == [30, 31, 32]
    alive = [origin for origin, stream, _ in windows if stream == 1]
    assert history.time_ms[alive[0]] < first == history.time_ms[alive[0] + 1]


def test_one_tick_is_no_window_where_the_stream_begins_with_it_and_one_where_it_does_not() -> None:
    history = history_of(("x",), {"one": ticks_of(np.zeros(1)), "ten": ticks_of(np.arange(10.0))})
    assert found(history, [Extent(0, 1, 0)], ("x",), (1,), 99) == []
    assert found(history, [Extent(10, 11, 1)], ("x",), (1,), 99) == [(9, 1, [[9.0]])]
    assert list(windows_of(history, [], ("x",), (1,), 99)) == []


def test_a_missing_truth_is_nan_and_its_window_stays() -> None:
    history = history_of(("x",), {"s": ticks_of(np.array([1, math.nan, 3]))})
    np.testing.assert_equal(
        found(history, [Extent(0, 3, 0)], ("x",), (1,), 99), [(0, 0, [[math.nan]]), (1, 0, [[3.0]])]
    )


@pytest.mark.parametrize("most", [1, 9, 20, 1000])
def test_a_group_is_of_whole_extents_or_a_part_of_one_that_goes_on(most: int) -> None:
    history = history_of(("x",), {f"s{n}": ticks_of(np.arange(float(n))) for n in (5, 30, 2, 9, 1, 4)})
    part = split_each(history, (0.0, 0.0, 1.0)).test
    groups = list(windows_of(history, part, ("x",), (1,), most))
    judged: dict[Extent, list[int]] = {}
    for group in groups:
        assert len(group.origins) <= most
        assert group.origins.tolist() == [origin for span in group.spans for origin in span]
        whole = [len(span) == extent.length - 1 for extent, span in zip(group.extents, group.spans, strict=True)]
        assert all(whole) or len(whole) == 1 or len(group.origins) <= most
        for extent, span in zip(group.extents, group.spans, strict=True):
            judged.setdefault(extent, []).extend(span)
    assert judged == {e: list(range(e.start, e.stop - 1)) for e in part if e.length > 1}
    assert list(judged) == [extent for extent in part if extent.length > 1]
