"""Shrinks what a model says of changes towards none where it is worse than persistence. Trains nothing.

A fitted network overstates what it knows of a target that is all but a random walk; the least-squares factor on
data it was not fitted to makes it at most as wrong as persistence there (Copas 1983). That factor is below a half
just where the model is worse than persistence; elsewhere it is left alone: a calm validation part says little of
how large the changes of a lively one are.
Shapes: n windows, K horizons, O targets.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from streamrnn.nn.model import Model
from streamrnn.nn.truths import truths_of
from streamrnn.retraining.forecaster import Served
from streamrnn.train.history import Extent, History
from streamrnn.train.standardising import stream_scales
from streamrnn.train.windows import windows_of

NUMBERS_AT_ONCE = 1 << 22
"""Forecasts in memory at a time."""
WORSE_THAN_PERSISTENCE = 0.5
CALMEST = 0.1
"""Part of an average stream that the calmest is taken for: one head cannot be right to a thousandth of what it says
elsewhere, and if it is made to, it loses what it knew."""


def shrink(
    model: Model, history: History, train: Sequence[Extent], validation: Sequence[Extent]
) -> NDArray[np.float64]:
    """Fold the factors (K, O) into the head, and give them; all 1 for a head of levels or quantiles.

    Each stream's changes are in units of its own in the training part, lest the lively decide for the calm.
    """
    spec, target = model.spec, model.head_kind.quantity.target
    shape = (len(spec.horizons), len(spec.targets))
    if not model.head_kind.can_shrink:
        return np.ones(shape)
    products, squares = np.zeros(shape), np.zeros(shape)
    columns = history.columns(spec.targets)
    served = Served("", "", model, spec.horizons)
    most = max(1, NUMBERS_AT_ONCE // (shape[0] * shape[1]))
    truths = truths_of(model, spec.horizons)
    scales = np.maximum(stream_scales(model, history, train), CALMEST)
    for windows in windows_of(history, validation, spec.targets, spec.horizons, most, truths):
        base = history.carried[windows.origins][:, None, columns].astype(np.float64)
        said = target(served.forecast(history, windows)[..., 0].astype(np.float64), base)
        came = target(windows.truth.astype(np.float64), base)
        known = np.isfinite(said) & np.isfinite(came)
        weight = 1 / np.square(scales[windows.streams])[:, None]
        products += np.where(known, said * came * weight, 0.0).sum(axis=0)
        squares += np.where(known, said * said * weight, 0.0).sum(axis=0)
    factors = np.clip(np.where(squares > 0, products / np.where(squares > 0, squares, 1.0), 1.0), 0.0, 1.0)
    factors = np.where(factors < WORSE_THAN_PERSISTENCE, factors, 1.0)
    _fold(model, factors)
    return factors


@torch.no_grad()
def _fold(model: Model, factors: NDArray[np.float64]) -> None:
    """f (head std + mean) is what (f head + (f - 1) mean / std) gives."""
    f = torch.from_numpy(factors).float()
    rest = (f - 1) * model.target_mean / model.target_std
    model.head.weight.mul_(f.flatten()[:, None])
    model.head.bias.copy_(f.flatten() * model.head.bias + rest.flatten())
    if model.spec.lags:
        model.skip.mul_(f.T[:, :, None])
