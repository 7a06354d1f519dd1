"""What a fit makes small, on standardised head outputs; what is not known does not count.

Shapes: T ticks, B pieces, K horizons, O targets, Q quantiles (1 for a point head).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from streamrnn.nn.heads import Loss
from streamrnn.nn.model import Model
from streamrnn.train.chunks import Chunk


class Total(NamedTuple):
    """A sum of losses and the number of terms in it."""

    summed: Tensor
    terms: Tensor


def wanted(model: Model, chunk: Chunk) -> Tensor:
    """(T, B, K, O) the standardised head output that would be right; NaN where nothing is known, or it is beyond
    the bound: what is absurd cannot be learnt."""
    number = model.head_kind.quantity.target(chunk.truth, chunk.base[:, :, None])
    right = ((number - model.target_mean) / model.target_std).float()
    return right if model.spec.bound is None else torch.where(right.abs() > model.target_bound, torch.nan, right)


def total_loss(model: Model, loss: Loss, head: Tensor, chunk: Chunk) -> Total:
    """Over every known truth of a chunk: head (T, B, K, O, Q) standardised."""
    right = wanted(model, chunk)[..., None]
    known = torch.isfinite(right)
    error = torch.where(known, (right - head) / chunk.scale[..., None], 0.0)
    terms = torch.where(known, loss(error), 0.0)
    return Total(terms.sum(), known.sum() * head.shape[-1])
