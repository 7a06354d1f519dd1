"""One absurd tick costs one tick: the stream that had it says the next time what its twin without it says."""

import msgspec
import numpy as np
import pytest
import torch

from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.ticks import PredictionBatch, TickBatch

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
    numbers = np.stack((np.array(values), np.zeros(len(values))), 1).astype(np.float32)
    zeros, at = np.zeros(len(values), np.int32), np.arange(len(values))
    batch = TickBatch(zeros, at, 60_000 * at, 60_000 * at, [b"s"] * len(values), numbers)
    return make_engine(make_model(spec), name).step(batch)


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
