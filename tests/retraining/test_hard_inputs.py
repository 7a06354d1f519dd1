"""The default model on what sensors really send, from the history to the predictions: glitches, a meter."""

import numpy as np
import pytest
from numpy.typing import NDArray

from streamrnn.engine.engine import Engine
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Predicts
from streamrnn.retraining.wanted import WantedModel, make_spec
from streamrnn.ticks import PredictionBatch, TickBatch
from streamrnn.train.fit import fit
from streamrnn.train.history import Spool, split_each
from streamrnn.train.recipe import Recipe

STEP_MS = 900_000
GLITCHES = (-9999.0, 20_500.0, 1.2e19, 0.0)
Values = NDArray[np.float64]


def made(values: Values, epochs: int = 4) -> Model:
    """Fitted to the first four fifths of one stream, as `streamrnn retrain` does by default but for time."""
    with Spool(("v",)) as spool:
        spool.add(["s"] * len(values), STEP_MS * np.arange(len(values)), values[:, None])
        history = spool.history()
        spec = make_spec(WantedModel(name="m", hidden=16), None, history.features)
        if history.fine:
            spec = make_spec(WantedModel(name="m", hidden=16, precision="float64"), None, history.features)
        recipe = Recipe(epochs=epochs, loss="huber", dropout=0.5, width=4)
        return fit(spec, history, split_each(history, (0.6, 0.2, 0.2)), recipe).model


def served(model: Model, values: Values) -> PredictionBatch:
    n, at = len(values), np.arange(len(values))
    batch = TickBatch(np.zeros(n, np.int32), at, STEP_MS * at, at, [b"s"] * n, values[:, None], STEP_MS * at)
    said = Engine(model, max_streams=1, device="cpu").step(batch)
    assert said.ok.all()
    return said


def temperature() -> Values:
    """20 to 21 degrees: a day's course, and what the room does besides."""
    at, rng = np.arange(3000), np.random.default_rng(3)
    own = np.convolve(rng.normal(size=3000 + 20), np.ones(21) / 21, mode="valid")
    return 20.5 + 0.3 * np.sin(at * 2 * np.pi / 96) + 0.3 * own + 0.05 * rng.normal(size=3000)


def with_glitches(values: Values, seed: int) -> tuple[Values, NDArray[np.bool_]]:
    """A hundredth of them."""
    rng = np.random.default_rng(seed)
    is_glitch = rng.random(len(values)) < 0.01
    return np.where(is_glitch, rng.choice(GLITCHES, len(values)), values), is_glitch


def errors(said: PredictionBatch, truth: Values, is_glitch: NDArray[np.bool_]) -> Values:
    """Of the last fifth, where neither the truth nor the tick it was forecast at is a glitch."""
    error = said.values[:-1, 0, 0, 0] - truth[1:]
    counts = ~(is_glitch[:-1] | is_glitch[1:])
    counts[: len(truth) * 4 // 5] = False
    return error[counts]


def rmse(errors: Values) -> float:
    return float(np.sqrt(np.square(errors).mean()))


@pytest.mark.parametrize("trained_on", ["clean", "glitches"])
def test_a_stream_with_a_hundredth_of_glitches_forecasts_nearly_as_one_without(trained_on: str) -> None:
    clean = temperature()
    spoilt, is_glitch = with_glitches(clean, 4)
    nothing = np.zeros_like(is_glitch)
    right = rmse(errors(served(made(clean), clean), clean, nothing))
    naive = rmse(np.diff(clean[len(clean) * 4 // 5 :]))
    assert right < 0.9 * naive, "else there is little to lose"
    model = made(clean if trained_on == "clean" else with_glitches(clean, 5)[0])
    said = served(model, spoilt)
    assert rmse(errors(said, clean, is_glitch)) < 1.1 * right
    after = np.flatnonzero(is_glitch[:-2]) + 1
    after = after[~is_glitch[after] & ~is_glitch[after + 1]]
    assert np.abs(said.values[after, 0, 0, 0] - clean[after + 1]).max() < 6 * naive, "gone after one tick"
    assert said.errors.squared[0, 0] / said.errors.count[0, 0] == pytest.approx(right**2, rel=0.5)
    assert said.errors.beyond[0, 0] > is_glitch.sum()


@pytest.mark.parametrize("predicts", ["change", "log_change"])
def test_streams_shorter_than_half_the_lags_are_fitted(predicts: Predicts) -> None:
    spec = make_spec(WantedModel(name="m", hidden=4, predicts=predicts), None, ("v",))
    assert spec.lags == 96
    with Spool(spec.features) as spool:
        for n in range(20):
            values = 20 + np.random.default_rng(n).random((30, 1))
            spool.add([f"s{n}"] * 30, STEP_MS * np.arange(30), values)
        history = spool.history()
        model = fit(spec, history, split_each(history, (0.6, 0.2, 0.2)), Recipe(epochs=1, width=4)).model
    assert model.lag_std.tolist() == [1.0], "nothing is known of changes that far back"


def test_a_meter_beyond_float32_is_forecast_better_than_by_persistence() -> None:
    at = np.arange(2000)
    steps = 3.0 + np.round(1.5 + 1.5 * np.sin(at * 2 * np.pi / 96))
    values = 987_654_324.0 + steps.cumsum()
    model = made(values)
    assert model.spec.precision == "float64"
    said = served(model, values)
    error = said.values[1600:-1, 0, 0, 0] - values[1601:]
    assert rmse(error) < 1.0
    assert rmse(np.diff(values[1600:])) > 4
