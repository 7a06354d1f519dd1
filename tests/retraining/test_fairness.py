"""What of the test part a champion has seen: left out where enough comes after it, said in any case."""

import numpy as np
import pytest

from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.retraining.champion import SeenTimes, ServingModel
from streamrnn.retraining.fairness import fair_part
from streamrnn.train.history import split_by_time
from tests.train.histories import T0, history_of, ticks_of

MINUTE = 60_000
MODEL = Model(ModelSpec(name="oil", version=3, features=("a",), targets=("a",), channels=(Channel("a"),), hidden=2))
HISTORY = history_of(("a",), {name: ticks_of(np.zeros(1000), MINUTE) for name in "xy"})
SPLIT = split_by_time(HISTORY, (0.6, 0.2, 0.2))


def champion(last: int | None, first: int = 0) -> ServingModel:
    """One trained on the ticks `first` to `last`."""
    return ServingModel(
        "oil@3", MODEL, None if last is None else SeenTimes(T0 + first * MINUTE, T0 + last * MINUTE)
    )


@pytest.mark.parametrize(
    "serving", [None, champion(None), champion(799), champion(2000, 1500), ServingModel("oil@3", None)]
)
def test_the_whole_test_part_is_fair_where_nothing_of_it_was_seen(serving: ServingModel | None) -> None:
    assert fair_part(HISTORY, SPLIT, serving, 1, False) == (SPLIT.test, [])


@pytest.mark.parametrize("last", [800, 900, 949])
def test_what_was_seen_is_left_out_where_enough_comes_later(last: int) -> None:
    part, [note] = fair_part(HISTORY, SPLIT, champion(last), 1, False)
    assert [tuple(extent) for extent in part] == [(last + 1, 1000, 0), (1000 + last + 1, 2000, 1000)]
    assert note.startswith("oil@3 was trained on ticks up to 2023-11-1")
    assert note.endswith(f"all are judged on the {2 * (999 - last):,} of its 400 ticks that come later")


@pytest.mark.parametrize(("last", "longest"), [(950, 1), (975, 1), (999, 1), (5000, 1), (850, 130)])
def test_where_too_little_comes_later_the_score_is_said_to_be_flattered(last: int, longest: int) -> None:
    part, [note] = fair_part(HISTORY, SPLIT, champion(last), longest, False)
    assert part == SPLIT.test
    assert "its score is flattered, and too few ticks come after that" in note


def test_streams_with_times_of_their_own_are_only_told_of() -> None:
    part, [note] = fair_part(HISTORY, SPLIT, champion(900), 1, True)
    assert part == SPLIT.test
    assert "may be flattered" in note
    assert fair_part(HISTORY, SPLIT, champion(799), 1, True) == (SPLIT.test, [])
