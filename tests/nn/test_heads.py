"""What a head's numbers mean, bit for bit against each formula written out: in numpy, in torch and compiled."""

import math
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numba import njit
from torch import Tensor

from streamrnn.nn.heads import QUANTITIES, NumberHead, head_of
from streamrnn.nn.kernels.compiled_heads import counts, decode, target, write_row
from streamrnn.nn.kernels.transforms import read_lags, transforms_of
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, LossName, ModelSpec, Precision, Predicts, middle_of

PREDICTS: tuple[Predicts, ...] = get_args(Predicts)
ODD = [-9999.0, -1.0, -0.0, 0.0, 0.5, 1.0, 1.2e19, math.nan]


def make_spec(predicts: Predicts, quantiles: tuple[float, ...] = (), precision: Precision = "float32") -> ModelSpec:
    return ModelSpec(
        name="t",
        features=("a", "b", "c"),
        targets=("c", "a"),
        channels=(Channel("a"),),
        horizons=(1, 3),
        quantiles=quantiles,
        predicts=predicts,
        precision=precision,
        lags=3,
        bound=30.0,
    )


def make_model(spec: ModelSpec) -> Model:
    torch.manual_seed(5)
    model = Model(spec)
    shape = (len(spec.horizons), len(spec.targets))
    model.set_stats(target_mean=torch.randn(shape).numpy(), target_std=(torch.rand(shape) + 0.5).numpy())
    return model


def grid(*shape: int) -> tuple[Tensor, Tensor]:
    """Truths and bases of which each odd one meets each other, and random ones."""
    generator = torch.Generator().manual_seed(7)
    pairs = torch.cartesian_prod(torch.tensor(ODD), torch.tensor(ODD))
    more = torch.rand(math.prod(shape) - len(pairs), 2, generator=generator) * 3 + 0.1
    truth, base = torch.cat((pairs, more)).T
    return truth.reshape(shape), base.reshape(shape)


def same(ours: Any, formula: Any) -> None:
    """The same bits, but for the sign of nothing and the kind of NaN."""
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(formula), strict=True)


def wanted_in_torch(predicts: Predicts, truth: Tensor, base: Tensor) -> Tensor:
    if predicts == "change":
        return truth - base
    if predicts == "log_change":
        return torch.where((truth > 0) & (base > 0), torch.log(truth / base), torch.nan)
    return truth


@pytest.mark.parametrize("predicts", PREDICTS)
def test_what_a_head_is_to_say(predicts: Predicts) -> None:
    truth, base = grid(40, 2)
    quantity = QUANTITIES[predicts]
    same(quantity.target(truth, base), wanted_in_torch(predicts, truth, base))
    t, b = truth.double().numpy(), base.double().numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        in_numpy = {
            "change": t - b,
            "level": t,
            "log_change": np.where((t > 0) & (b > 0), np.log(t / b), np.nan),
        }
    same(quantity.target(t, b), in_numpy[predicts])


@pytest.mark.parametrize("predicts", PREDICTS)
@pytest.mark.parametrize("quantiles", [(), (0.1, 0.5, 0.9)])
def test_what_a_models_numbers_mean(predicts: Predicts, quantiles: tuple[float, ...]) -> None:
    model = make_model(make_spec(predicts, quantiles))
    numbers, filled = torch.randn(50, 2, 2, model.spec.levels), torch.randn(50, 3)
    scaled = numbers * model.target_std[..., None] + model.target_mean[..., None]
    base = torch.stack((filled[:, 2], filled[:, 0]), dim=1)[:, None, :, None]
    formula = {"change": base + scaled, "level": scaled, "log_change": base * torch.exp(scaled)}[predicts]
    same(model.outputs(numbers, filled), formula.sort(dim=-1).values if quantiles else formula)


@pytest.mark.parametrize("predicts", PREDICTS)
def test_which_truths_are_within_the_bound(predicts: Predicts) -> None:
    model = make_model(make_spec(predicts))
    truth, base = grid(40, 2)
    mean, most = model.target_mean[1], model.target_bound[1] * model.target_std[1]
    formula = {
        "change": (truth - base - mean).abs() <= most,
        "level": ((truth - mean).abs() <= most) & ((base - mean).abs() <= most),
        "log_change": (truth > 0) & (base > 0) & ((torch.log(truth / base) - mean).abs() <= most),
    }[predicts]
    same(model.counts(1, truth, base), formula)


@pytest.mark.parametrize("predicts", PREDICTS)
def test_what_the_skip_sees_of_earlier_values(predicts: Predicts) -> None:
    model = make_model(make_spec(predicts))
    (before, _), (now, _) = grid(30, 3, 2), grid(45, 2)
    now = now[:30, None]
    if predicts == "log_change":
        change = torch.where((before > 0) & (now > 0), torch.log(before / now), 0.0)
    else:
        change = before - now
    relative = torch.where(torch.isnan(change), 0.0, change / model.lag_std).float()
    known = (~torch.isnan(before)).sum(dim=1, keepdim=True).clamp_min(1)
    own = 30.0 * (relative.abs().sqrt().sum(dim=1, keepdim=True) / known).square()
    limit = torch.minimum(torch.maximum(own, model.lag_least), model.lag_bound)
    formula = torch.where(relative.abs() > limit, 0.0, relative).transpose(1, 2)
    same(model.relative(before, now[:, 0]), formula)


def losses(name: LossName, error: Tensor, levels: Tensor) -> Tensor:
    if name == "pinball":
        return torch.maximum(levels * error, (levels - 1) * error)
    if name == "huber":
        return torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none")
    return torch.square(error) if name == "mse" else torch.abs(error)


@pytest.mark.parametrize("name", get_args(LossName))
def test_what_a_fit_makes_small(name: LossName) -> None:
    quantiles = (0.1, 0.5, 0.75) if name == "pinball" else ()
    error = torch.randn(200, max(1, len(quantiles))) * 3
    head = head_of(make_spec("change", quantiles))
    same(head.loss(name)(error), losses(name, error, torch.tensor(quantiles)))
    assert head.usual_loss == ("pinball" if quantiles else "huber")


@pytest.mark.parametrize("predicts", PREDICTS)
@pytest.mark.parametrize("quantiles", [(), (0.5,), (0.1, 0.5)])
def test_what_can_be_shrunk_towards_persistence(predicts: Predicts, quantiles: tuple[float, ...]) -> None:
    assert head_of(make_spec(predicts, quantiles)).can_shrink == (predicts != "level" and not quantiles)


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _price_change(truth: Any, base: Any) -> Any:
    return np.float32(math.log(truth / base))


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _price(number: Any, base: Any) -> Any:
    return base * np.float32(math.exp(number))


@pytest.mark.parametrize("predicts", PREDICTS)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_compiled_formulas(predicts: Predicts, kind: Any) -> None:
    code = QUANTITIES[predicts].code
    for truth, base in zip(*(part.numpy().ravel().astype(kind) for part in grid(40, 2)), strict=True):
        has_log = truth > 0 and base > 0
        price_change = _price_change(truth, base) if has_log else math.nan
        wanted = {"change": truth - base, "level": truth, "log_change": price_change}[predicts]
        same(kind(target(code, truth, base)), kind(wanted))
        number = np.float32(0.3)
        said = {"change": base + number, "level": number, "log_change": _price(number, base)}[predicts]
        same(kind(decode(code, number, base)), kind(said))


@pytest.mark.parametrize("predicts", PREDICTS)
@pytest.mark.parametrize("quantiles", [(), (0.1, 0.5, 0.9)])
def test_the_compiled_step_is_the_twin_of_torchs(predicts: Predicts, quantiles: tuple[float, ...]) -> None:
    model = make_model(make_spec(predicts, quantiles))
    transforms, levels = transforms_of(model), model.spec.levels
    numbers, filled = torch.randn(20, 2, 2, levels), torch.rand(20, 3) + 0.5
    said = np.empty((20, 2, 2, levels), np.float32)
    for row, own, into in zip(numbers.reshape(20, -1).numpy(), filled.numpy(), said, strict=True):
        write_row(transforms, row, own, into)
    np.testing.assert_allclose(said, model.outputs(numbers, filled).numpy(), rtol=2e-6, atol=1e-6)
    before, now = torch.rand(20, 3, 2) + 0.5, torch.rand(20, 2) + 0.5
    expected, relative = model.relative(before, now).numpy(), np.empty((20, 2, 3), np.float32)
    for row in range(20):
        for o in range(2):
            read_lags(transforms, o, before[row].flatten().numpy(), now[row, o].numpy()[()], relative[row, o])
    np.testing.assert_allclose(relative, expected, rtol=2e-6, atol=1e-6)
    assert counts(transforms, 0, 1, np.float32(1), np.float32(1))


@pytest.mark.parametrize("quantiles", [(), (0.5,), (0.1, 0.9), (0.1, 0.5, 0.9), (0.1, 0.2, 0.3, 0.4)])
def test_the_middle_of_quantiles_is_the_prediction(quantiles: tuple[float, ...]) -> None:
    spec = make_spec("change", quantiles)
    assert spec.levels == max(1, len(quantiles))
    assert spec.middle == middle_of(spec.levels) == max(1, len(quantiles)) // 2
    assert [spec.features[column] for column in spec.target_columns] == list(spec.targets)


def test_every_quantity_has_its_own_code_and_heads_are_equal_that_say_the_same() -> None:
    assert set(QUANTITIES) == set(PREDICTS)
    assert len({quantity.code for quantity in QUANTITIES.values()}) == len(PREDICTS)
    assert head_of(make_spec("level", (0.5,))) == NumberHead(QUANTITIES["level"], (0.5,))
