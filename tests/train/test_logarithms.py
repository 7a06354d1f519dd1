"""What has no logarithm is counted, named by its first case, and refused where nothing is left."""

import math
import re

import msgspec
import numpy as np
import pytest

from streamrnn.errors import DataError
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.train.history import Extent, History
from streamrnn.train.logarithms import check_logarithms, not_positive

from .histories import T0, history_of, ticks_of

SPEC = ModelSpec(
    name="t", features=("a", "b"), targets=("b",), channels=(Channel("a", "difference"),), predicts="log_change"
)
NAN = math.nan


def made(*values: float) -> History:
    """Feature b of streams x and y, half of the ticks each, a minute apart; a is always -1."""
    half = len(values) // 2
    rows = np.column_stack((np.full(len(values), -1.0), values))
    return history_of(("a", "b"), {"x": ticks_of(rows[:half]), "y": ticks_of(rows[half:])})


def test_all_that_is_not_above_0_is_counted_and_the_first_named() -> None:
    found = not_positive(made(1, NAN, 2, 3, 0, -7.5), [Extent(0, 3, 0), Extent(3, 6, 3)], "b")
    assert found == (2, 5, "y", T0 + 60_000, 0.0)
    assert not_positive(made(1, NAN, 2, 3, 0, -7.5), [Extent(0, 3, 0)], "b") is None
    assert not_positive(made(NAN, NAN), [Extent(0, 2, 0)], "b") is None


def test_a_target_without_any_logarithm_is_refused_by_name_value_time_and_option() -> None:
    history = made(-1.125, -2, -3, 0)
    said = (
        "b has no log_change: none of its values is above 0, the first -1.125 of x "
        "at 2023-11-14 22:13:20.000+00:00; use --predicts change"
    )
    with pytest.raises(DataError, match=re.escape(said)):
        check_logarithms(SPEC, history, [Extent(0, 2, 0), Extent(2, 4, 2)])
    assert check_logarithms(msgspec.structs.replace(SPEC, predicts="change"), history, [Extent(0, 2, 0)]) == []


def test_some_without_are_said_and_left_out() -> None:
    [note] = check_logarithms(SPEC, made(1, 2, -3, 4), [Extent(0, 2, 0), Extent(2, 4, 2)])
    assert note.startswith("b: 1 of its 4 values are not above 0, the first -3 of y at 2023-11-14 22:13:20")
    assert note.endswith("log_change leaves them out; --predicts change does not")


def test_a_channel_of_returns_is_looked_at_as_well() -> None:
    spec = msgspec.structs.replace(SPEC, predicts="change", channels=(Channel("a", "log_return"), Channel("b")))
    [note] = check_logarithms(spec, made(1, 2), [Extent(0, 1, 0), Extent(1, 2, 1)])
    assert note.startswith("a: none of its values is above 0, the first -1 of x at ")
    assert note.endswith("log_return leaves them out; --channels difference does not")
