"""Each tick's errors, told where they are asked for: those that the sums are of, whatever the batch."""

import dataclasses

import numpy as np
import pytest

from .test_engine import SPEC, cut, executor, make_engine, make_model, ticks  # noqa: F401
from .test_glitches import AT, batch_of, readings
from .test_glitches import make_model as make_bound_model

SHAPE = (len(SPEC.scored_horizons), len(SPEC.targets))


def test_a_miss_is_the_truth_less_what_was_predicted_so_many_ticks_ago(executor: str) -> None:  # noqa: F811
    batch = ticks(300, 7, missing=0.2)
    said = make_engine(make_model(), executor).step(batch, has_misses=True)
    expected = np.full((300, *SHAPE), np.nan)
    for stream in set(batch.streams):
        mine = [i for i, s in enumerate(batch.streams) if s == stream]
        for k, horizon in enumerate(SPEC.horizons):
            for then, now in zip(mine, mine[horizon:], strict=False):
                expected[now, k, 0] = float(batch.values[now, 1]) - float(said.values[then, k, 0, 0])
    assert said.misses is not None
    assert np.array_equal(said.misses, expected, equal_nan=True)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_the_sums_are_of_the_misses_and_the_misses_do_not_depend_on_the_batch(
    executor: str,  # noqa: F811
    size: int,
) -> None:
    batch = ticks(200, 9, missing=0.1)
    whole = make_engine(make_model(), executor).step(batch, has_misses=True).misses
    engine, parts = make_engine(make_model(), executor), []
    for at in range(0, 200, size):
        said = engine.step(cut(batch, at, at + size), has_misses=True)
        assert said.misses is not None
        parts.append(said.misses)
        assert np.array_equal(said.errors.count, (~np.isnan(said.misses)).sum(axis=0))
        assert np.nansum(np.square(said.misses), axis=0) == pytest.approx(said.errors.squared)
    assert whole is not None
    assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_what_counts_in_no_sum_is_no_miss(executor: str) -> None:  # noqa: F811
    """A glitch, and the tick after it, whose forecast began there; a refused tick."""
    values = [*readings()[:AT], -9999.0, *readings()[AT + 1 :]]
    said = make_engine(make_bound_model(), executor).step(batch_of(values), has_misses=True)
    assert said.misses is not None
    assert np.flatnonzero(np.isnan(said.misses.ravel())).tolist() == [0, AT, AT + 1]
    again = ticks(20, 1, missing=0.0)
    poisoned = again.values.copy()
    poisoned[10] = np.inf
    said = make_engine(make_model(), executor).step(dataclasses.replace(again, values=poisoned), has_misses=True)
    assert said.misses is not None
    assert not said.ok[10]
    assert np.isnan(said.misses[10]).all()


def test_nobody_asks_and_nothing_is_told(executor: str) -> None:  # noqa: F811
    engine = make_engine(make_model(), executor)
    assert engine.step(ticks(20, 3)).misses is None
    none = engine.step(cut(ticks(20, 3), 0, 0), has_misses=True).misses
    assert none is not None
    assert none.shape == (0, *SHAPE)
