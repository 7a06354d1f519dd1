"""The head shrunk on a validation part: against persistence, against itself, and against plain least squares."""

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec, Predicts
from streamrnn.retraining.forecaster import Served
from streamrnn.retraining.shrinking import shrink
from streamrnn.train.history import Extent, History, Split, split_each
from streamrnn.train.standardising import set_statistics
from streamrnn.train.windows import windows_of
from tests.train.histories import history_of, ticks_of

SPEC = ModelSpec(
    name="t",
    features=("a", "b"),
    targets=("b", "a"),
    channels=(Channel("a", "difference"), Channel("b")),
    hidden=4,
    horizons=(1, 3),
    lags=5,
)


def made(predicts: Predicts) -> tuple[Model, History, Split]:
    rng = np.random.default_rng(3)
    walk = 50 + rng.normal(size=(400, 2)).cumsum(0)
    history = history_of(("a", "b"), {"s": ticks_of(walk[:250]), "t": ticks_of(walk[250:])})
    split = split_each(history, (0.5, 0.25, 0.25))
    torch.manual_seed(1)
    model = Model(msgspec.structs.replace(SPEC, predicts=predicts))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    set_statistics(model, history, split.train)
    return model.eval(), history, split


def weights(model: Model, history: History, split: Split) -> NDArray[np.float64]:
    """(n, 1, O) of the validation windows: one over the mean square of their stream's training changes, stream by
    stream, in units of the head; a stream much calmer than the average counts as one of a tenth."""
    horizons, sizes = np.array(model.spec.horizons), []
    mean, deviation = model.target_mean.numpy(), model.target_std.numpy()
    for extent in split.train:
        values = history.values[extent.start : extent.stop, [1, 0]].astype(np.float64)
        level = np.log(values) if model.spec.predicts == "log_change" else values
        moved = [(level[h:] - level[:-h] - mean[k]) / deviation[k] for k, h in enumerate(horizons)]
        sizes.append(np.maximum(np.square(np.concatenate(moved)).mean(axis=0), 0.01))
    counts = [len(range(max(e.stream_start, e.start - 1), e.stop - horizons.max())) for e in split.validation]
    return np.repeat(1 / np.array(sizes), counts, axis=0)[:, None]


def errors(model: Model, history: History, split: Split) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(K, O) weighted squared errors of the changes said, and of no change, in the units of the head."""
    said, base, came = changes(model, history, split.validation)
    weight = weights(model, history, split)
    return (weight * np.square(said - came)).sum(0), (weight * np.square(base - came)).sum(0)


def changes(model: Model, history: History, part: list[Extent]) -> tuple[NDArray[np.float64], ...]:
    """What the model says, 0, and what came: changes (n, K, O)."""
    spec = model.spec
    [windows] = windows_of(history, part, spec.targets, spec.horizons, 10_000)
    columns = [history.features.index(target) for target in spec.targets]
    base = history.carried[windows.origins][:, None, columns].astype(np.float64)
    said = Served("", "", model, spec.horizons).forecast(history, windows)[..., 0].astype(np.float64)
    came = windows.truth.astype(np.float64)
    if spec.predicts == "log_change":
        return np.log(said / base), np.zeros_like(said), np.log(came / base)
    return said - base, np.zeros_like(said), came - base


@pytest.mark.parametrize("predicts", ["change", "log_change"])
def test_on_the_part_it_was_shrunk_on_no_cell_is_worse_than_before_or_than_persistence(predicts: Predicts) -> None:
    model, history, split = made(predicts)
    said, _, came = changes(model, history, split.validation)
    before, naive = errors(model, history, split)
    weight = weights(model, history, split)
    factors = shrink(model, history, split.train, split.validation)
    after, _ = errors(model, history, split)
    squares = np.clip((weight * said * came).sum(0) / (weight * np.square(said)).sum(0), 0, 1)
    np.testing.assert_allclose(factors, np.where(before > naive, squares, 1), rtol=1e-4)
    assert (factors < 1).any()
    assert (after <= before * (1 + 1e-5)).all()
    assert (after <= naive * (1 + 1e-5)).all()


@pytest.mark.parametrize("predicts", ["change", "log_change"])
def test_every_change_said_is_the_factor_times_the_one_before(predicts: Predicts) -> None:
    model, history, split = made(predicts)
    before, _, _ = changes(model, history, split.test)
    factors = shrink(model, history, split.train, split.validation)
    after, _, _ = changes(model, history, split.test)
    np.testing.assert_allclose(after, factors * before, atol=2e-4 if predicts == "change" else 1e-5)


def test_levels_and_quantiles_are_left_as_they_are() -> None:
    for changed in ({"predicts": "level"}, {"quantiles": (0.1, 0.5, 0.9)}):
        _, history, split = made("change")
        model = Model(msgspec.structs.replace(SPEC, **changed))
        weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        assert (shrink(model, history, split.train, split.validation) == 1).all()
        assert all(torch.equal(weights[name], tensor) for name, tensor in model.state_dict().items())
