"""What a fit makes small, on standardised head outputs; what is not known does not count.

Shapes: T ticks, B pieces, K horizons, O targets, Q quantiles (1 for a point head).
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from streamrnn.nn.model import Model
from streamrnn.nn.spec import ModelSpec
from streamrnn.train.chunks import Chunk

LossName = Literal["mse", "mae", "huber", "pinball"]
Loss = Callable[[Tensor], Tensor]
"""Errors wanted - said (.., Q) to losses of that shape."""


class Total(NamedTuple):
    """A sum of losses and the number of terms in it."""

    summed: Tensor
    terms: Tensor


def make_loss(name: LossName, spec: ModelSpec) -> Loss:
    """The loss by name; a model with quantiles takes the pinball loss and no other."""
    if (name == "pinball") != bool(spec.quantiles):
        raise ValueError(f"a model with quantiles {list(spec.quantiles)} does not go with the loss {name}")
    if name == "pinball":
        levels = torch.tensor(spec.quantiles)
        return lambda error: torch.maximum(levels.to(error) * error, (levels.to(error) - 1) * error)
    if name == "huber":
        return lambda error: torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none")
    return torch.square if name == "mse" else torch.abs


def wanted(model: Model, chunk: Chunk) -> Tensor:
    """(T, B, K, O) the standardised head output that would be right; NaN where nothing is known, or it is beyond
    the bound: what is absurd cannot be learnt."""
    base, truth, predicts = chunk.base[:, :, None], chunk.truth, model.spec.predicts
    if predicts == "change":
        truth = truth - base
    elif predicts == "log_change":
        truth = torch.where((truth > 0) & (base > 0), torch.log(truth / base), torch.nan)
    right = ((truth - model.target_mean) / model.target_std).float()
    return right if model.spec.bound is None else torch.where(right.abs() > model.target_bound, torch.nan, right)


def total_loss(model: Model, loss: Loss, head: Tensor, chunk: Chunk) -> Total:
    """Over every known truth of a chunk: head (T, B, K, O, Q) standardised."""
    right = wanted(model, chunk)[..., None]
    known = torch.isfinite(right)
    error = torch.where(known, (right - head) / chunk.scale[..., None], 0.0)
    terms = torch.where(known, loss(error), 0.0)
    return Total(terms.sum(), known.sum() * head.shape[-1])
