"""The same ticks are found whatever either model lacks; cells are told by name."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.comparing import common_cells
from streamrnn.comparing.pairing import chosen, rows_in

from .said import Log, make_log, spec


def some_of(rng: np.random.Generator, log: Log, share: float) -> np.ndarray:
    return np.flatnonzero(rng.random(len(log.streams)) < share)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 60), st.sampled_from([0.0, 0.3, 0.9, 1.0]))
def test_each_tick_is_found_where_its_place_is(seed: int, n: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    log = make_log(rng, n, 5)
    ours, theirs = (log.ticks(some_of(rng, log, s)) for s in (0.9, share))
    where = {place: row for row, place in enumerate(theirs.places())}
    assert rows_in(theirs, ours).tolist() == [where.get(place, -1) for place in ours.places()]


def test_elements_of_one_record_are_told_apart_by_their_index() -> None:
    log = Log(
        partition=np.array([0, 0, 0, 1], np.int32),
        offset=np.array([7, 7, 7, 7]),
        index=np.array([0, 1, 2, -1], np.int32),
        time_ms=np.arange(4),
        streams=[b"s"] * 4,
    )
    everything, part = log.ticks(np.arange(4)), log.ticks(np.array([1, 3]))
    assert rows_in(part, everything).tolist() == [-1, 0, -1, 1]
    assert rows_in(everything, part).tolist() == [1, 3]
    alone = log.ticks(np.array([3]))
    assert alone.index is None
    assert rows_in(alone, everything).tolist() == [-1, -1, -1, 0]


def test_cells_are_those_that_both_score_by_name_and_horizon() -> None:
    ours = spec("old", ("load", "temp", "rpm"), (1, 4, 24))
    theirs = spec("new", ("temp", "wind", "load"), (1, 24))
    both = common_cells(ours, theirs)
    assert both.cells == (("load", 1), ("temp", 1), ("load", 24), ("temp", 24))
    assert both.champion.tolist() == [0, 1, 6, 7]
    assert both.challenger.tolist() == [2, 0, 5, 3]
    misses = np.arange(2 * 2 * 3, dtype=np.float64).reshape(2, 2, 3)
    assert chosen(misses, both.challenger).tolist() == [[2, 0, 5, 3], [8, 6, 11, 9]]


def test_of_many_horizons_only_those_that_are_scored_count() -> None:
    many = spec("new", horizons=tuple(range(1, 11)))
    assert common_cells(spec("old", horizons=(1, 2, 10)), many).cells == (("temp", 1), ("temp", 10))


@pytest.mark.parametrize(("target", "horizon"), [("wind", 1), ("temp", 2)])
def test_models_may_have_nothing_in_common(target: str, horizon: int) -> None:
    both = common_cells(spec("old"), spec("new", (target,), (horizon,)))
    assert both.cells == ()
    assert chosen(np.zeros((3, 1, 1)), both.champion).shape == (3, 0)
