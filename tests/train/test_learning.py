"""What a fit learns, judged as it will be used: an engine stepped over ticks that the fit has not seen."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray

from streamrnn.engine.engine import Engine
from streamrnn.nn.model import Model
from streamrnn.nn.spec import CellKind, Channel, ModelSpec
from streamrnn.ticks import TickBatch
from streamrnn.train.fit import Recipe, fit
from streamrnn.train.history import split_each

from .histories import T0, history_of, ticks_of

Series = NDArray[np.float64]
"""(S, T): streams of one feature."""


def spec_of(cell: CellKind = "gru", quantiles: tuple[float, ...] = ()) -> ModelSpec:
    return ModelSpec(
        name="t",
        features=("x",),
        targets=("x",),
        channels=(Channel("x"),),
        cell=cell,
        hidden=16,
        quantiles=quantiles,
        predicts="level" if quantiles else "change",
    )


def fitted(spec: ModelSpec, series: Series, recipe: Recipe) -> Model:
    """On the first four fifths of each stream."""
    history = history_of(("x",), {f"s{n}": ticks_of(row) for n, row in enumerate(series)})
    return fit(spec, history, split_each(history, (0.6, 0.2, 0.2)), recipe).model


def played(model: Model, series: Series) -> NDArray[np.float32]:
    """(S, T, Q) what an engine says of the next tick, after each tick of all the streams."""
    engine = Engine(model, max_streams=len(series), device="cpu", executor="blocks", block=32)
    count, length = series.shape
    times = np.repeat(T0 + 60_000 * np.arange(length), count)
    keys = [b"s%d" % n for n in range(count)] * length
    values = series.T.reshape(-1, 1).astype(np.float32)
    at = np.arange(len(keys))
    said = engine.step(TickBatch(np.zeros(len(keys), np.int32), at, times, times, keys, values, times))
    return said.values[:, 0, 0].reshape(length, count, -1).transpose(1, 0, 2)


def held_out(said: NDArray[np.float32], series: Series) -> tuple[NDArray[np.float32], Series, Series]:
    """Predictions, truths and values before them of the last fifth."""
    first = series.shape[1] * 4 // 5
    return said[:, first:-1], series[:, first + 1 :], series[:, first:-1]


def ratio_to_persistence(model: Model, series: Series) -> float:
    said, truth, before = held_out(played(model, series), series)
    return float(np.square(said[..., 0] - truth).mean() / np.square(before - truth).mean())


@pytest.mark.parametrize("cell", ["gru", "lstm", "mingru"])
def test_a_sine_that_persistence_cannot_follow_is_learned(cell: CellKind) -> None:
    """Streams at phases of their own; what is left is a little more than the noise."""
    rng, t = np.random.default_rng(2), np.arange(400)
    phases = rng.uniform(0, 2 * math.pi, (6, 1))
    series = 20 + 3 * np.sin(t * 2 * math.pi / 9 + phases) + 0.2 * rng.normal(size=(6, 400))
    recipe = Recipe(epochs=40, learning_rate=0.02, chunk=32, width=16, burn_in=16)
    assert ratio_to_persistence(fitted(spec_of(cell), series, recipe), series) < 0.05


def test_an_autoregression_is_predicted_as_well_as_can_be() -> None:
    """x' = -x/2 + noise: at best the noise remains, 1/4 of persistence's error ((1 - 1/2) / 2)."""
    rng = np.random.default_rng(3)
    noise, series = rng.normal(size=(8, 1000)), np.zeros((8, 1000))
    for t in range(1, 1000):
        series[:, t] = -0.5 * series[:, t - 1] + noise[:, t]
    recipe = Recipe(epochs=10, learning_rate=0.01, chunk=32, width=16, burn_in=16)
    assert ratio_to_persistence(fitted(spec_of("elman"), series, recipe), series) == pytest.approx(0.25, rel=0.12)


def test_quantiles_cover_noise_of_a_known_distribution_as_they_claim() -> None:
    levels = (0.1, 0.5, 0.9)
    series = 50 + 4 * np.random.default_rng(4).normal(size=(8, 1000))
    recipe = Recipe(epochs=20, learning_rate=0.02, chunk=32, width=16, burn_in=16, loss="pinball")
    said, truth, _ = held_out(played(fitted(spec_of(quantiles=levels), series, recipe), series), series)
    for q, level in enumerate(levels):
        assert (truth <= said[..., q]).mean() == pytest.approx(level, abs=0.05)
        assert said[..., q].mean() == pytest.approx(NormalDist(50, 4).inv_cdf(level), abs=0.6)
