"""Splits in time: each tick in one part, and nothing of a later part known to an earlier one."""

import math
from collections.abc import Callable
from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from streamrnn.errors import DataError
from streamrnn.train.history import Extent, History, Split, split_by_time, split_each

from .histories import Streams, history_of

Shares = tuple[float, float, float]
Splitting = Callable[[History, Shares], Split]
SPLITTINGS: list[Splitting] = [split_by_time, split_each]

few_times = st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=25), min_size=1, max_size=5)
"""Streams' event times: many are equal, some go back."""
SHARES: list[Shares] = [(0.6, 0.2, 0.2), (0.7, 0.3, 0.0), (0.5, 0.0, 0.5), (1.0, 0.0, 0.0), (0.1, 0.2, 0.7)]


def timed(*times: list[int]) -> History:
    streams: Streams = {f"s{n}": [(t, (0.0,)) for t in ts] for n, ts in enumerate(times)}
    return history_of(("x",), streams)


def parts_of_stream(split: Split, start: int) -> list[list[int]]:
    """The ticks of the stream that begins at `start`, part by part."""
    return [
        [tick for extent in part if extent.stream_start == start for tick in range(extent.start, extent.stop)]
        for part in split
    ]


@pytest.mark.parametrize("splitting", SPLITTINGS)
@given(times=few_times, shares=st.sampled_from(SHARES))
@settings(max_examples=100, deadline=None)
def test_the_parts_of_a_stream_are_its_ticks_in_order_each_once(
    splitting: Splitting, times: list[list[int]], shares: Shares
) -> None:
    history = timed(*times)
    try:
        split = splitting(history, shares)
    except DataError:
        reject()
    for start, stop in pairwise(history.starts.tolist()):
        assert list(chain(*parts_of_stream(split, start))) == list(range(start, stop))
    for part, share in zip(split, shares, strict=True):
        assert all(extent.length > 0 for extent in part)
        assert bool(part) == (share > 0)


@given(times=few_times, shares=st.sampled_from(SHARES))
@settings(max_examples=100, deadline=None)
def test_all_streams_are_cut_at_one_moment_that_no_tick_of_the_earlier_part_has_reached(
    times: list[list[int]], shares: Shares
) -> None:
    history = timed(*times)
    try:
        split = split_by_time(history, shares)
    except DataError:
        reject()
    for later in (1, 2):
        known, firsts = list[int](), list[int]()
        for start in history.starts[:-1].tolist():
            parts = parts_of_stream(split, start)
            known += chain(*parts[:later])
            firsts += list(chain(*parts[later:]))[:1]
        if known and firsts:
            assert history.time_ms[known].max() < history.time_ms[firsts].min()


@pytest.mark.parametrize("splitting", SPLITTINGS)
def test_shares_are_parts_of_the_ticks(splitting: Splitting) -> None:
    split = splitting(timed(list(range(1000))), (0.7, 0.1, 0.2))
    assert split == ([Extent(0, 700, 0)], [Extent(700, 800, 0)], [Extent(800, 1000, 0)])


def test_streams_are_born_and_die_where_they_do() -> None:
    history = timed(list(range(100)), list(range(50)), list(range(85, 100)), list(range(70, 80)))
    split = split_by_time(history, (0.6, 0.2, 0.2))
    assert {extent.stream_start for extent in split.train} == {0, 100}
    assert Extent(100, 150, 100) in split.train
    assert Extent(150, 165, 150) in split.test
    assert {extent.stream_start for extent in split.validation} == {0, 165}


def test_each_stream_at_its_own_shares_reaches_every_part_whenever_it_was_recorded() -> None:
    split = split_each(timed(list(range(10)), list(range(5000, 5100))), (0.6, 0.2, 0.2))
    lengths = [[extent.length for extent in part] for part in split]
    assert lengths == [[6, 60], [2, 20], [2, 20]]


def test_ticks_at_one_time_stay_together() -> None:
    history = timed([0, 1, 2, 2, 2, 2, 3, 3, 3, 4], [2, 2, 3, 4])
    split = split_by_time(history, (0.5, 0.2, 0.3))
    moments = [{int(history.time_ms[t]) for extent in part for t in range(*extent[:2])} for part in split]
    assert moments == [{0, 1}, {2}, {3, 4}]


@pytest.mark.parametrize("splitting", SPLITTINGS)
@pytest.mark.parametrize(
    "shares", [(0.7, 0.3, 0.0), (1.0, 0.0, 0.0), (0.3 - 1e-9, 0.7, 0.0), (0.3 + 1e-7, 0.7, 0.0)]
)
def test_a_share_of_nothing_is_nothing(splitting: Splitting, shares: Shares) -> None:
    """Nor does a sum a little off 1 lead past the end of a stream."""
    split = splitting(timed([0, 1, 2, 3, 4, 5, 6, 7, 7, 7]), shares)
    assert not split.test
    assert sum(extent.length for part in split for extent in part) == 10


def test_a_sum_a_little_above_1_does_not_lead_into_the_next_stream() -> None:
    nothing = np.zeros((2_000_002, 1), np.float32)
    history = History(
        ("x",), ("a", "b"), np.array([0, 2_000_000, 2_000_002]), nothing[:, 0].astype(int), nothing, nothing
    )
    split = split_each(history, (0.5, 0.5 + 9e-7, 0.0))
    assert [extent.stop for extent in split.validation] == [2_000_000, 2_000_002]
    assert not split.test


@pytest.mark.parametrize("splitting", SPLITTINGS)
@pytest.mark.parametrize("shares", [(0.5, 0.2, 0.2), (0.9, 0.2, 0.0), (-0.2, 0.6, 0.6), (math.nan, 0.5, 0.5)])
def test_shares_that_are_none_are_refused(splitting: Splitting, shares: Shares) -> None:
    with pytest.raises(DataError, match="sum to 1"):
        splitting(timed(list(range(100))), shares)


@pytest.mark.parametrize(
    ("splitting", "times", "shares", "name"),
    [
        (split_by_time, [5] * 10, (0.6, 0.2, 0.2), "train"),
        (split_by_time, [1, 1, 1, 1, 1, 1, 1, 2, 2, 2], (0.8, 0.1, 0.1), "validation"),
        (split_by_time, [1, 2, 3], (0.5, 0.4, 0.1), "test"),
        (split_each, [1], (0.6, 0.2, 0.2), "validation"),
        (split_each, [1, 2, 3], (0.1, 0.1, 0.8), "train"),
    ],
)
def test_a_part_without_a_tick_is_named(splitting: Splitting, times: list[int], shares: Shares, name: str) -> None:
    with pytest.raises(DataError, match=f"{len(times)} ticks leave none for {name}"):
        splitting(timed(times), shares)


def test_a_stream_whose_times_go_back_stays_in_the_part_it_has_reached() -> None:
    split = split_by_time(timed(list(range(100)), [*range(60), 90, *range(61, 100)]), (0.6, 0.2, 0.2))
    assert [extent.length for extent in split.train] == [60, 60]
    assert split.validation == [Extent(60, 80, 0)]
    assert split.test == [Extent(80, 100, 0), Extent(160, 200, 100)]
