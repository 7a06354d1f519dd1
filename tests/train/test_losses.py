"""Losses against their formulas, one number at a time, and what a head must say against what it then means."""

import math
from typing import get_args

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from streamrnn.nn.heads import head_of
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, LossName, ModelSpec, Predicts
from streamrnn.train.chunks import Chunk
from streamrnn.train.losses import total_loss, wanted

PREDICTS: tuple[Predicts, ...] = get_args(Predicts)
QUANTILES = (0.1, 0.5, 0.75)
T, B, K, O = 4, 3, 2, 2  # noqa: E741


def make_spec(predicts: Predicts = "change", quantiles: tuple[float, ...] = ()) -> ModelSpec:
    return ModelSpec(
        name="t",
        features=("a", "b", "c"),
        targets=("c", "a"),
        channels=(Channel("a"),),
        hidden=3,
        horizons=(1, 2),
        predicts=predicts,
        quantiles=quantiles,
    )


def make_model(spec: ModelSpec) -> Model:
    torch.manual_seed(2)
    model = Model(spec)
    model.set_stats(target_mean=torch.randn(K, O).numpy(), target_std=(torch.rand(K, O) + 0.5).numpy())
    return model


def test_a_truth_beyond_the_bound_is_not_learnt() -> None:
    spec = msgspec.structs.replace(make_spec(), bound=30.0)
    model, chunk = make_model(spec), make_chunk()
    plain, absurd = wanted(model, chunk), chunk.truth.clone()
    absurd[0, 0, 0, 0], absurd[1, 1, 1, 1] = -9999.0, 1.2e19
    ours = wanted(model, chunk._replace(truth=absurd))
    assert torch.isnan(ours[0, 0, 0, 0])
    assert torch.isnan(ours[1, 1, 1, 1])
    ours[0, 0, 0, 0], ours[1, 1, 1, 1] = plain[0, 0, 0, 0], plain[1, 1, 1, 1]
    torch.testing.assert_close(ours, plain, equal_nan=True)


def make_chunk(scale: float = 1.0) -> Chunk:
    """Values above 0, truths of which some are missing."""
    torch.manual_seed(3)
    truth = torch.rand(T, B, K, O) + 0.5
    truth[torch.rand(truth.shape) < 0.3] = torch.nan
    return Chunk(torch.zeros(T, B, 1), torch.rand(T, B, O) + 0.5, truth, scale * (torch.rand(B, 1, O) + 0.5))


def formula(name: LossName, error: float, level: float) -> float:
    if name == "mse":
        return error * error
    if name == "mae":
        return abs(error)
    if name == "huber":
        return error * error / 2 if abs(error) <= 1 else abs(error) - 0.5
    return level * error if error >= 0 else (level - 1) * error


@given(st.floats(-10, 10, width=32), st.sampled_from(get_args(LossName)))
@settings(max_examples=300, deadline=None)
def test_each_loss_is_its_formula(error: float, name: LossName) -> None:
    quantiles = QUANTILES if name == "pinball" else ()
    said = head_of(make_spec(quantiles=quantiles)).loss(name)(torch.tensor([[error] * max(1, len(quantiles))]))
    expected = [formula(name, error, level) for level in quantiles or (math.nan,)]
    np.testing.assert_allclose(said[0].numpy(), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", get_args(LossName))
def test_quantiles_go_with_the_pinball_loss_and_with_no_other(name: LossName) -> None:
    with pytest.raises(ValueError, match=name):
        head_of(make_spec(quantiles=() if name == "pinball" else QUANTILES)).loss(name)


@pytest.mark.parametrize("predicts", PREDICTS)
def test_a_head_that_says_what_is_wanted_predicts_the_truth(predicts: Predicts) -> None:
    model, chunk = make_model(make_spec(predicts)), make_chunk()
    head = wanted(model, chunk)
    assert torch.equal(head.isnan(), chunk.truth.isnan())
    for row, base, truth in zip(head, chunk.base, chunk.truth, strict=True):
        filled = torch.stack((base[:, 1], torch.full((B,), torch.nan), base[:, 0]), dim=1)
        said = model.outputs(row[..., None], filled)[..., 0]
        torch.testing.assert_close(said, truth, atol=1e-5, rtol=1e-5, equal_nan=True)


@pytest.mark.parametrize(("base", "truth"), [(1.0, 0.0), (1.0, -2.0), (0.0, 1.0), (-1.0, 1.0), (-1.0, -1.0)])
def test_there_is_no_log_of_a_ratio_of_what_is_not_above_0(base: float, truth: float) -> None:
    model, chunk = make_model(make_spec("log_change")), make_chunk()
    chunk.base[0, 0, 0], chunk.truth[0, 0, :, 0] = base, truth
    assert wanted(model, chunk)[0, 0, :, 0].isnan().all()


@pytest.mark.parametrize("predicts", PREDICTS)
@pytest.mark.parametrize("name", get_args(LossName))
def test_the_total_is_the_sum_over_every_known_truth_of_the_scaled_error(
    name: LossName, predicts: Predicts
) -> None:
    spec = make_spec(predicts, QUANTILES if name == "pinball" else ())
    model, chunk = make_model(spec), make_chunk(scale=2.0)
    levels = spec.quantiles or (math.nan,)
    head = torch.randn(T, B, K, O, len(levels), requires_grad=True)
    total = total_loss(model, head_of(spec).loss(name), head, chunk)
    summed, terms, right = 0.0, 0, wanted(model, chunk)
    for t, b, k, o in np.ndindex(T, B, K, O):
        for q, level in enumerate(levels):
            error = (right[t, b, k, o].item() - head[t, b, k, o, q].item()) / chunk.scale[b, 0, o].item()
            if not math.isnan(error):
                summed, terms = summed + formula(name, error, level), terms + 1
    assert terms < T * B * K * O * len(levels)
    assert total.terms.item() == terms
    assert total.summed.item() == pytest.approx(summed, rel=1e-5)


def test_what_is_not_known_has_no_gradient_and_spoils_none() -> None:
    model, chunk = make_model(make_spec()), make_chunk()
    head = torch.randn(T, B, K, O, 1, requires_grad=True)
    loss: Tensor = total_loss(model, model.head_kind.loss("mse"), head, chunk).summed
    [gradient] = torch.autograd.grad(loss, [head])
    assert torch.equal(gradient[..., 0] == 0, chunk.truth.isnan())
    assert gradient.isfinite().all()


def test_a_chunk_without_a_known_truth_has_no_terms() -> None:
    model, chunk = make_model(make_spec()), make_chunk()
    head = torch.randn(T, B, K, O, 1)
    total = total_loss(model, model.head_kind.loss("mae"), head, chunk._replace(truth=chunk.truth * math.nan))
    assert (total.summed.item(), total.terms.item()) == (0, 0)
