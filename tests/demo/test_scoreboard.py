"""The tally against plain lists of what was sent and what was said."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.demo.scoreboard import KEPT, Scoreboard, Stream

values = st.integers(-100_000, 100_000).map(lambda hundredths: hundredths / 100)
ticks = st.lists(st.tuples(st.sampled_from(["a", "b"]), st.none() | values, values), max_size=80)
"""Stream, its value (None where it is missing), what is predicted for its next."""


def record(stream: str, predicted: float, residual: float | None, steps: int) -> bytes:
    said: dict[str, object] = {
        "stream": stream,
        "time": 1_700_000_000_000 + steps,
        "model": "demo@1",
        "prediction": {"value": [predicted, predicted + 1]},
        "state": {"steps": steps, "origin": "carried"},
    }
    return json.dumps(said if residual is None else said | {"residual": {"value": residual}}).encode()


@given(ticks)
@settings(max_examples=200, deadline=None)
def test_every_stream_is_what_plain_lists_of_its_ticks_say(played: list[tuple[str, float | None, float]]) -> None:
    tally = Scoreboard("value")
    told: dict[str, list[tuple[float | None, float]]] = {}
    for stream, value, predicted in played:
        mine = told.setdefault(stream, [])
        residual = None if value is None or not mine else value - mine[-1][1]
        mine.append((value, predicted))
        tally.take(record(stream, predicted, residual, len(mine)))
    assert list(tally.streams) == list(told)
    assert tally.predictions == len(played)
    for name, mine in told.items():
        check(tally.streams[name], mine)


def check(stream: Stream, mine: list[tuple[float | None, float]]) -> None:
    """The first tick's value is not in its record: nothing had been predicted for it."""
    seen = [(value, mine[n][1]) for n, (value, _) in enumerate(mine[1:]) if value is not None]
    errors = [value - predicted for value, predicted in seen][1:]
    changes = np.diff([value for value, _ in seen])
    assert stream.ticks == len(mine)
    assert stream.predicted == mine[-1][1]
    assert stream.scored == len(errors)
    assert list(stream.curve) == pytest.approx([value for value, _ in seen][-KEPT:], abs=1e-9)
    np.testing.assert_allclose(stream.actual, seen[-1][0] if seen else math.nan, atol=1e-9)
    np.testing.assert_allclose(stream.expected, mine[-2][1] if len(mine) > 1 else math.nan)
    if not errors:
        assert all(math.isnan(v) for v in (stream.rmse, stream.persistence_rmse, stream.ratio))
        return
    model, persistence = np.mean(np.square(errors)), np.mean(np.square(changes))
    assert stream.rmse == pytest.approx(math.sqrt(model), abs=1e-6)
    assert stream.persistence_rmse == pytest.approx(math.sqrt(persistence), abs=1e-6)
    if persistence > 1e-3:
        assert stream.ratio == pytest.approx(model / persistence)


def test_a_stream_that_never_moves_has_no_ratio() -> None:
    tally = Scoreboard("value")
    for steps in range(5):
        tally.take(record("a", 7.0, 0.0 if steps else None, steps + 1))
    stream = tally.streams["a"]
    assert (stream.scored, stream.rmse, stream.persistence_rmse) == (3, 0, 0)
    assert math.isnan(stream.ratio)


def test_a_stream_that_was_there_before_the_tally_counts_from_its_second_record_on() -> None:
    """Its first has a residual, but what it is the residual of was not heard."""
    tally = Scoreboard("value")
    tally.take(record("a", 5.0, 0.25, 100))
    assert math.isnan(tally.streams["a"].actual)
    tally.take(record("a", 5.0, 0.25, 101))
    assert tally.streams["a"].actual == 5.25
    assert tally.streams["a"].scored == 0
