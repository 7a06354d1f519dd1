"""Which truths count in scores, and what a head must say to be right. Knows neither ticks nor rows.

Shapes: n truths, K horizons (some of a model's), O targets.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.nn.model import Model
from streamrnn.nn.spec import Predicts


def to_head(truth: NDArray[np.float64], base: NDArray[np.float64], predicts: str) -> NDArray[np.float64]:
    """What the head must say, unstandardised, so that the prediction is `truth` (any shapes that broadcast)."""
    if predicts == "change":
        return truth - base
    if predicts == "log_change":
        positive = (truth > 0) & (base > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(positive, np.log(truth / base), np.nan)
    return truth + 0 * base


class Truths(NamedTuple):
    """A model's bound on truths: mean, std and bound (K, O) as its buffers; all infinite for a model without."""

    predicts: Predicts
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    bound: NDArray[np.float64]

    def beyond(self, truth: NDArray[np.floating], base: NDArray[np.floating]) -> NDArray[np.bool_]:
        """(n, K, O) which truths (n, 1 or K, O) are left out of scores, forecast from base values (n, 1 or K, O).

        They or their bases are absurd: what the head had to say is beyond the bound, or a ratio where one of them
        is not above 0. An unknown one is not beyond, it is unknown.
        """
        if np.isinf(self.bound).all():
            return np.zeros(np.broadcast_shapes(truth.shape, base.shape, (1, *self.bound.shape)), np.bool_)
        came, seen = truth.astype(np.float64), base.astype(np.float64)
        right = to_head(came, seen, self.predicts)
        within: NDArray[np.bool_] = np.abs(right - self.mean) <= self.bound * self.std
        if self.predicts == "level":
            within &= np.abs(seen - self.mean) <= self.bound * self.std
        return ~within & ~np.isnan(came) & ~np.isnan(seen)


def truths_of(model: Model, horizons: Sequence[int]) -> Truths:
    """The bound of a model for these of its horizons."""
    kept = [model.spec.horizons.index(horizon) for horizon in horizons]
    mean, std = (getattr(model, f"target_{name}").double().cpu().numpy()[kept] for name in ("mean", "std"))
    if model.spec.bound is None:
        return Truths(model.spec.predicts, mean, std, np.full_like(std, np.inf))
    return Truths(model.spec.predicts, mean, std, model.target_bound.double().cpu().numpy()[kept])
