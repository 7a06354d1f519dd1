"""A fit: its first epoch against whole streams stepped tick by tick, and how it goes on and ends."""

import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor

from streamrnn.errors import ConfigError, DataError
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.train.fit import Epoch, Fit, Recipe, fit
from streamrnn.train.history import Extent, History, Split, split_each
from streamrnn.train.standardising import set_statistics, stream_scales

from .histories import history_of, ticks_of

SPEC = ModelSpec(
    name="t", features=("x", "y"), targets=("y",), channels=(Channel("x"), Channel("y")), hidden=6, horizons=(1, 3)
)
RECIPE = Recipe(epochs=3, chunk=16, width=8, burn_in=8, warm_up=0)


def walks(*sizes: float, length: int = 80) -> History:
    """Streams of random walks, each with steps of its own size, some of their values missing."""
    rng = np.random.default_rng(5)
    streams = {}
    for n, size in enumerate(sizes):
        values = size * rng.normal(size=(length, 2)).cumsum(0)
        values[rng.random(values.shape) < 0.1] = math.nan
        streams[f"s{n}"] = ticks_of(values)
    return history_of(("x", "y"), streams)


def parts(history: History) -> Split:
    return split_each(history, (0.7, 0.2, 0.1))


def fresh(history: History, split: Split, seed: int = 1) -> Model:
    """The model before its first step."""
    torch.manual_seed(seed)
    model = Model(SPEC)
    set_statistics(model, history, split.train)
    return model


def mean_loss(model: Model, history: History, part: list[Extent], scales: np.ndarray) -> Tensor:
    """Mean squared error of the standardised changes, streams stepped from their beginnings tick by tick."""
    terms = []
    for extent in part:
        stream = int(np.flatnonzero(history.starts == extent.stream_start)[0])
        state = model.state(1)
        for at in range(extent.stream_start, extent.stop):
            values, time_ms = torch.from_numpy(history.values[at : at + 1]), int(history.time_ms[at])
            step = model.step(values, torch.tensor([time_ms]), state)
            state = step.state
            for k, horizon in enumerate(SPEC.horizons):
                truth = float(history.values[at + horizon, 1]) if at + horizon < extent.stop else math.nan
                if at >= extent.start and not math.isnan(truth):
                    right = (truth - step.filled[0, 1] - model.target_mean[k, 0]) / model.target_std[k, 0]
                    terms.append(((right - step.head[0, k, 0, 0]) / float(scales[stream, 0])).square())
    return torch.stack(terms).mean()


@pytest.mark.parametrize("clip", [1e-3, 1e3])
@pytest.mark.parametrize("by_stream", [False, True])
def test_the_first_step_has_the_loss_and_gradient_of_streams_stepped_from_their_beginnings(
    by_stream: bool, clip: float
) -> None:
    """One chunk holds all; pieces are cut somewhere, and what they burn in is all that was before."""
    history = walks(1.0, 30.0)
    split = parts(history)
    model = fresh(history, split)
    scales = stream_scales(model, history, split.train) if by_stream else np.ones((2, 1))
    loss = mean_loss(model, history, split.train, scales)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    recipe = Recipe(epochs=1, chunk=500, longest=100, burn_in=500, by_stream=by_stream, clip=clip)
    [epoch] = fit(SPEC, history, split, recipe).epochs
    norm = math.sqrt(sum(float(g.square().sum()) for g in gradients))
    assert epoch.train_loss == pytest.approx(loss.item(), rel=1e-4)
    assert epoch.gradient_norm == epoch.largest_gradient_norm == pytest.approx(norm, rel=1e-3)


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_a_chunk_goes_on_from_the_state_in_which_the_one_before_it_ended(chunk: int) -> None:
    """Weights that hardly move have the loss of whole streams, however these are cut."""
    history = walks(1.0, 2.0)
    split = parts(history)
    loss = mean_loss(fresh(history, split), history, split.train, np.ones((2, 1)))
    recipe = Recipe(epochs=1, chunk=chunk, longest=40, burn_in=500, learning_rate=1e-9)
    [epoch] = fit(SPEC, history, split, recipe).epochs
    assert epoch.train_loss == pytest.approx(loss.item(), rel=1e-4)
    assert epoch.gradient_norm < epoch.largest_gradient_norm or chunk == 64


@pytest.mark.parametrize("by_stream", [False, True])
def test_the_validation_loss_is_that_of_the_model_returned_on_streams_warmed_up_from_their_beginnings(
    by_stream: bool,
) -> None:
    history = walks(1.0, 30.0)
    split = parts(history)
    fitted = fit(SPEC, history, split, replace(RECIPE, burn_in=500, by_stream=by_stream))
    best = fitted.epochs[fitted.best - 1]
    scales = stream_scales(fitted.model, history, split.train) if by_stream else np.ones((2, 1))
    loss = mean_loss(fitted.model, history, split.validation, scales)
    assert best.validation_loss == pytest.approx(loss.item(), rel=1e-4)


def test_scaled_by_stream_the_calm_one_is_heard() -> None:
    """Of a model that predicts no change: without it the lively stream's errors are all the loss there is."""
    history = walks(0.01, 100.0)
    split = parts(history)
    model = fresh(history, split)
    torch.nn.init.zeros_(model.head.weight)
    calm = [extent for extent in split.validation if extent.stream_start == 0]
    said = [Fit(model, history, split, replace(RECIPE, by_stream=on)).loss_on(calm) for on in (False, True)]
    assert said[0] < 0.05
    assert 0.5 < said[1] < 2
    half = replace(RECIPE, by_stream=True, calmest=2 * float(stream_scales(model, history, split.train)[0, 0]))
    assert said[1] / 4.01 < Fit(model, history, split, half).loss_on(calm) < said[1] / 3.99


def test_the_weights_returned_are_those_of_the_best_epoch_and_the_fit_stops_when_nothing_gets_better() -> None:
    history = walks(1.0, 1.0, length=60)
    split, watched = parts(history), list[Epoch]()
    recipe = replace(RECIPE, epochs=60, learning_rate=0.1, patience=4)
    fitted = fit(SPEC, history, split, recipe, watched.append)
    losses = [epoch.validation_loss for epoch in fitted.epochs]
    assert watched == fitted.epochs
    assert [epoch.number for epoch in watched] == list(range(1, len(watched) + 1))
    assert fitted.best == 1 + losses.index(min(losses))
    assert len(losses) == fitted.best + 4 < 60
    assert Fit(fitted.model, history, split, recipe).loss_on(split.validation) == min(losses) < losses[-1]
    assert not fitted.model.training


def test_without_a_validation_part_the_training_part_is_the_judge() -> None:
    history = walks(1.0)
    split = split_each(history, (1.0, 0.0, 0.0))
    fitted = fit(SPEC, history, split, RECIPE)
    loss = Fit(fitted.model, history, split, RECIPE).loss_on(split.train)
    assert fitted.epochs[fitted.best - 1].validation_loss == loss


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(dropout: float) -> None:
    history, spec = walks(1.0, 2.0, 3.0), msgspec.structs.replace(SPEC, layers=2)
    recipe = replace(RECIPE, dropout=dropout)
    fits = [fit(spec, history, parts(history), replace(recipe, seed=seed)) for seed in (7, 7, 8)]
    one, same, other = (fitted.model.state_dict() for fitted in fits)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])
    assert [epoch.train_loss for epoch in fits[0].epochs] == [epoch.train_loss for epoch in fits[1].epochs]


def test_the_learning_rate_warms_up_in_a_line_and_falls_in_half_a_cosine_to_a_twentieth() -> None:
    history = walks(1.0)
    recipe = replace(RECIPE, epochs=8, warm_up=3, patience=99, learning_rate=0.01)
    rates = [epoch.learning_rate for epoch in fit(SPEC, history, parts(history), recipe).epochs]
    falling = [0.01 * (0.05 + 0.95 * (1 + math.cos(math.pi * n / 4)) / 2) for n in range(5)]
    assert rates == pytest.approx([0.0025, 0.005, 0.0075, *falling])
    assert rates[-1] == pytest.approx(0.01 / 20)


def test_no_epoch_begins_once_the_time_is_up() -> None:
    history = walks(1.0)
    assert len(fit(SPEC, history, parts(history), replace(RECIPE, budget_s=0.0)).epochs) == 1
    assert len(fit(SPEC, history, parts(history), replace(RECIPE, budget_s=60.0)).epochs) == RECIPE.epochs


@pytest.mark.parametrize("fails", [False, True])
def test_the_threads_are_those_of_the_recipe_and_then_those_from_before(fails: bool) -> None:
    history, before, seen = walks(1.0), torch.get_num_threads(), []

    def watch(epoch: Epoch) -> None:
        seen.append(torch.get_num_threads())
        if fails:
            raise KeyboardInterrupt

    recipe = replace(RECIPE, epochs=1, threads=before + 1)
    with pytest.raises(KeyboardInterrupt) if fails else pytest.MonkeyPatch.context():
        fit(SPEC, history, parts(history), recipe, watch)
    assert seen == [before + 1]
    assert torch.get_num_threads() == before


def test_a_device_that_is_not_there_is_refused_and_the_model_comes_back_to_the_cpu() -> None:
    history = walks(1.0)
    fitted = fit(SPEC, history, parts(history), replace(RECIPE, device="auto", epochs=1))
    assert {tensor.device.type for tensor in fitted.model.state_dict().values()} == {"cpu"}
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ConfigError, match="torch finds no GPU"):
        fit(SPEC, history, parts(history), replace(RECIPE, device="cuda"))


def test_a_fit_draws_nothing_from_the_random_numbers_around_it() -> None:
    """What else draws some between two epochs changes no bit, dropout or not."""
    history, recipe = walks(1.0, 2.0), replace(RECIPE, dropout=0.3)
    one, other = (
        fit(SPEC, history, parts(history), recipe, watch) for watch in (None, lambda epoch: torch.manual_seed(0))
    )
    assert [e.train_loss for e in one.epochs] == [e.train_loss for e in other.epochs]
    assert torch.equal(one.model.head.weight, other.model.head.weight)


def test_a_loss_that_is_no_longer_finite_says_what_to_do() -> None:
    history = walks(1.0)
    with pytest.raises(DataError, match=r"loss of epoch \d+ is not finite.*lower the learning rate"):
        fit(SPEC, history, parts(history), replace(RECIPE, learning_rate=1e30, clip=math.inf))


@pytest.mark.parametrize(
    ("shares", "length", "name"),
    [((0.1, 0.6, 0.3), 10, "training"), ((0.8, 0.1, 0.1), 10, "validation"), ((1.0, 0.0, 0.0), 1, "training")],
)
def test_a_part_too_short_to_hold_the_truth_of_any_of_its_ticks_is_named(
    shares: tuple[float, float, float], length: int, name: str
) -> None:
    history = history_of(("x", "y"), {"s": ticks_of(np.arange(2.0 * length).reshape(length, 2))})
    with pytest.raises(DataError, match=f"{name} part is too short"):
        fit(SPEC, history, split_each(history, shares), RECIPE)
