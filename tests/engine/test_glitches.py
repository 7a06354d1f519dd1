"""One absurd tick costs one tick: the stream that had it says the next time what its twin without it says."""

import msgspec
import numpy as np
import pytest
import torch

from streamrnn.engine.rows.view import StreamView
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.ticks import Errors, PredictionBatch, TickBatch

from .test_engine import executor, make_engine  # noqa: F401

SPEC = ModelSpec(
    name="t",
    features=("temp", "load"),
    targets=("temp",),
    channels=(Channel("temp", "difference"), Channel("temp", "log_return"), Channel("temp")),
    hidden=8,
    lags=24,
    bound=30.0,
)
AT = 60


def make_model(spec: ModelSpec = SPEC) -> Model:
    """Weights as a fit leaves them on values of 20 to 21: small cells, a skip that knows each lag."""
    torch.manual_seed(7)
    model = Model(spec)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.set_stats(channel_mean=[0, 0, 20.5], channel_std=[0.1, 0.005, 0.3], target_std=0.1, lag_std=[0.3])
    return model


def served(values: list[float], name: str, spec: ModelSpec = SPEC) -> PredictionBatch:
    return make_engine(make_model(spec), name).step(batch_of(values))


def batch_of(values: list[float]) -> TickBatch:
    numbers = np.stack((np.array(values), np.zeros(len(values))), 1).astype(np.float32)
    zeros, at = np.zeros(len(values), np.int32), np.arange(len(values))
    return TickBatch(zeros, at, 60_000 * at, 60_000 * at, [b"s"] * len(values), numbers, 60_000 * at)


def readings() -> list[float]:
    return (20.5 + 0.3 * np.sin(np.arange(120) / 9) + 0.05 * np.random.default_rng(2).normal(size=120)).tolist()


@pytest.mark.parametrize("glitch", [-9999.0, 20_500.0, 1.2e19, -3e38, 0.0])
def test_a_glitch_costs_one_tick(glitch: float, executor: str) -> None:  # noqa: F811
    clean = readings()
    spoilt = [*clean[:AT], glitch, *clean[AT + 1 :]]
    ours, expected = (served(values, executor) for values in (spoilt, clean))
    assert ours.ok.all()
    error = np.abs(ours.values - expected.values).ravel()
    assert error[:AT].max() == 0
    assert error[AT + 1 :].max() < 0.1, "a deviation of the changes, and that for the missing lag and two inputs"


@pytest.mark.parametrize("glitch", [-9999.0, 20_500.0, 1.2e19, -3e38])
def test_neither_the_sums_nor_a_streams_own_error_see_a_glitch(glitch: float, executor: str) -> None:  # noqa: F811
    clean = readings()
    ours, view = scored([*clean[:AT], glitch, *clean[AT + 1 :]], executor)
    expected, right = scored(clean, executor)
    assert (ours.count.item(), ours.beyond.item()) == (expected.count.item() - 2, 2)
    for name in ("squared", "absolute", "persistence_squared", "persistence_absolute"):
        assert getattr(ours, name).item() == pytest.approx(getattr(expected, name).item(), rel=0.1), name
    assert view.mse["temp"] == pytest.approx(right.mse["temp"], rel=0.1)
    assert view.persistence_mse["temp"] == pytest.approx(right.persistence_mse["temp"], rel=0.1)


def test_the_residual_of_a_glitch_is_told_in_full(executor: str) -> None:  # noqa: F811
    clean = readings()
    residual = served([*clean[:AT], -9999.0, *clean[AT + 1 :]], executor).residual.ravel()
    assert residual[AT] == pytest.approx(-10_019, abs=2)


def scored(values: list[float], name: str) -> tuple[Errors, StreamView]:
    """With a skip that says nothing, so that a missing lag costs nothing."""
    model = make_model()
    with torch.no_grad():
        model.skip.zero_()
    engine = make_engine(model, name)
    said = engine.step(batch_of(values))
    view = engine.inspect(0, b"s")
    assert view is not None
    return said.errors, view


def test_without_a_bound_it_costs_all_the_lags(executor: str) -> None:  # noqa: F811
    """Else the test above would hold of anything."""
    clean, spec = readings(), msgspec.structs.replace(SPEC, bound=None)
    ours = served([*clean[:AT], -9999.0, *clean[AT + 1 :]], executor, spec)
    error = np.abs(ours.values - served(clean, executor, spec).values).ravel()
    assert error[AT + 1 : AT + 24].min() > 1


def test_a_level_that_shifts_for_good_is_followed_from_the_first_tick(executor: str) -> None:  # noqa: F811
    """Its old lags are unknown, as those of a new stream are: it says of changes what a new stream would."""
    clean = readings()
    shifted = served([*clean[:AT], *[value + 5000 for value in clean[AT:]]], executor)
    said, base = shifted.values[AT:, 0, 0, 0].astype(np.float64), np.array(clean[AT:]) + 5000
    assert np.abs(said - base).max() < 1
