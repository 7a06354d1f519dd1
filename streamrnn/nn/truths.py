"""Which truths count in scores. Knows neither ticks nor rows, nor what a head says.

Shapes: n truths, K horizons (some of a model's), O targets.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.nn.heads import Quantity
from streamrnn.nn.model import Model


class Truths(NamedTuple):
    """A model's bound on truths: mean, std and bound (K, O) as its buffers; all infinite for a model without."""

    quantity: type[Quantity]
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
        within: NDArray[np.bool_] = self.quantity.within(came, seen, self.mean, self.bound * self.std)
        return ~within & ~np.isnan(came) & ~np.isnan(seen)


def truths_of(model: Model, horizons: Sequence[int]) -> Truths:
    """The bound of a model for these of its horizons."""
    quantity = model.head_kind.quantity
    kept = [model.spec.horizons.index(horizon) for horizon in horizons]
    mean, std = (getattr(model, f"target_{name}").double().cpu().numpy()[kept] for name in ("mean", "std"))
    if model.spec.bound is None:
        return Truths(quantity, mean, std, np.full_like(std, np.inf))
    return Truths(quantity, mean, std, model.target_bound.double().cpu().numpy()[kept])
