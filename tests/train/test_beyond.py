"""What is left out of a judgement, and who is named for it."""

import numpy as np

from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.nn.truths import truths_of
from streamrnn.train.baselines import Persistence
from streamrnn.train.history import Extent
from streamrnn.train.judge import judge

from .histories import T0, history_of, ticks_of

HORIZONS = (1, 2)


def judged(values: list[float], bound: float | None):  # type: ignore[no-untyped-def]
    spec = ModelSpec(
        name="t", features=("temp",), targets=("temp",), channels=(Channel("temp"),), horizons=HORIZONS, bound=bound
    )
    history = history_of(("temp",), {"boiler": ticks_of(np.array(values))})
    part = [Extent(0, len(values), 0)]
    truths = truths_of(Model(spec), HORIZONS)
    return judge(history, part, [Persistence(("temp",), HORIZONS)], ("temp",), HORIZONS, np.ones((1, 1)), truths)


def test_a_sentinel_is_left_out_as_truth_and_as_base_and_named() -> None:
    found = judged([20.0, 21.0, 20.0, 21.0, -9999.0, 21.0, 20.0, 21.0, 20.0, 21.0], 30.0)
    assert found.truths == [[6], [6]], "8 origins; the sentinel is a truth once and a base once at each horizon"
    assert found.beyond.counts.tolist() == [[2], [2]]
    assert found.scores[0].mse == [[1.0], [0.0]]
    (note,) = found.beyond.notes()
    assert note.startswith("4 truths are beyond the model's bound")
    assert "temp -9999 of boiler at 2023-11-14 22:17:20 UTC" in note
    first = found.beyond.named()[0]
    assert (first.value, first.time_ms) == (-9999.0, T0 + 4 * 60_000)


def test_without_a_bound_or_a_glitch_nothing_is_left_out_or_said() -> None:
    swamped = judged([20.0, 21.0, -9999.0, *[20.0, 21.0] * 4], None)
    assert swamped.scores[0].mse[0][0] > 1e6
    for found in (swamped, judged([20.0, 21.0] * 6, 30.0)):
        assert (found.beyond.counts.sum(), found.beyond.notes()) == (0, [])
