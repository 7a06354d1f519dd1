"""Predictions that wait for their truth, as state rows. Knows the rings' arithmetic, not the network.

Ring place (steps mod D), D the longest scored horizon, holds what was predicted and what was seen at
that step; h ticks later it is the model's and persistence's forecast of the tick that arrived.
Shapes: B rows, K' scored horizons, O targets.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamrnn.nn.cells import State
from streamrnn.nn.spec import ModelSpec
from streamrnn.nn.truths import Truths
from streamrnn.ticks import Errors

SMOOTHING = 0.02
"""Weight of the newest truth in a stream's own rolling squared error."""


class Due(NamedTuple):
    """What earlier steps said of this tick: forecast and persistence (B, K', O), NaN where nothing waits."""

    forecast: Tensor
    persistence: Tensor


class Scorer:
    """The rings of one model: `fresh` rows, `due` before the step's write, `write` after."""

    def __init__(self, spec: ModelSpec, device: torch.device) -> None:
        self.kept = [spec.horizons.index(h) for h in spec.scored_horizons]
        self._depth = max(spec.scored_horizons)
        self._targets = len(spec.targets)
        self._horizons = torch.tensor(spec.scored_horizons, device=device)
        self.middle = spec.middle
        self._device = device
        self._dtype = torch.float64 if spec.precision == "float64" else torch.float32

    def fresh(self) -> State:
        """One initialised row."""
        width = self._depth * self._targets
        return {
            "pending": self._unknown(width * len(self.kept)),
            "past": self._unknown(width),
            "rolling": torch.full((1, 2 * self._targets), math.nan, device=self._device),
            "steps": torch.zeros(1, dtype=torch.int64, device=self._device),
        }

    def _unknown(self, width: int) -> Tensor:
        return torch.full((1, width), math.nan, dtype=self._dtype, device=self._device)

    def due(self, pending: Tensor, past: Tensor, steps: Tensor) -> Due:
        """Look up the forecasts made h ticks before the tick that is number `steps` (B,), from 0."""
        batch, kept = len(steps), len(self.kept)
        forecast = pending.reshape(batch, self._depth, kept, self._targets)
        seen = past.reshape(batch, self._depth, self._targets)
        if self._depth == 1:
            return Due(forecast[:, 0], seen)
        place = torch.remainder(steps[:, None] - self._horizons, self._depth)[:, :, None]
        place = place.expand(-1, -1, self._targets)
        forecast = forecast.gather(1, place[:, None].reshape(batch, 1, kept, self._targets)).squeeze(1)
        return Due(forecast, seen.gather(1, place))

    def write(self, pending: Tensor, past: Tensor, steps: Tensor, values: Tensor, seen: Tensor) -> State:
        """The rings after the step: values (B, K, O, Q) predicted and seen (B, O) at ring place steps mod D."""
        said = values[:, self.kept, :, self.middle]
        if self._depth == 1:
            return {"pending": said.flatten(1), "past": seen}
        batch, kept = len(steps), len(self.kept)
        place = torch.remainder(steps, self._depth)
        forecast = pending.reshape(batch, self._depth, kept * self._targets).clone()
        levels = past.reshape(batch, self._depth, self._targets).clone()
        forecast.scatter_(1, place[:, None, None].expand(-1, 1, kept * self._targets), said.flatten(1)[:, None])
        levels.scatter_(1, place[:, None, None].expand(-1, 1, self._targets), seen[:, None])
        return {"pending": forecast.flatten(1), "past": levels.flatten(1)}

    def rolling(self, rolling: Tensor, truth: Tensor, due: Due, counts: Tensor) -> Tensor:
        """(B, 2 O) exponentially weighted squared errors of the model and persistence, first horizon, of the truths
        that count (B, O)."""
        now = torch.cat((truth - due.forecast[:, 0], truth - due.persistence[:, 0]), dim=1).square().float()
        moved = torch.where(torch.isnan(rolling), now, rolling + SMOOTHING * (now - rolling))
        return torch.where(torch.isnan(now) | ~torch.cat((counts, counts), dim=1), rolling, moved)

    def last_prediction(self, pending: Tensor, steps: int) -> Tensor:
        """(K', O) the newest prediction in one row's ring (1, D K' O), after `steps` >= 1 ticks."""
        return pending.reshape(self._depth, len(self.kept), self._targets)[(steps - 1) % self._depth]


def sum_errors(
    truth: NDArray[np.floating], forecast: NDArray[np.floating], persistence: NDArray[np.floating], truths: Truths
) -> Errors:
    """Sums over n ticks where truth (n, 1, O) and both forecasts (n, K', O) are known and the truth counts."""
    model = truth.astype(np.float64) - forecast
    naive = truth.astype(np.float64) - persistence
    beyond = truths.beyond(truth, persistence) & ~np.isnan(model)
    known = ~(np.isnan(model) | np.isnan(naive) | beyond)
    model, naive = np.where(known, model, 0.0), np.where(known, naive, 0.0)
    return Errors(
        count=known.sum(axis=0, dtype=np.float64),
        squared=np.square(model).sum(axis=0),
        absolute=np.abs(model).sum(axis=0),
        persistence_squared=np.square(naive).sum(axis=0),
        persistence_absolute=np.abs(naive).sum(axis=0),
        beyond=beyond.sum(axis=0, dtype=np.float64),
    )


def misses_of(
    truth: NDArray[np.floating], forecast: NDArray[np.floating], persistence: NDArray[np.floating], truths: Truths
) -> NDArray[np.float64]:
    """(n, K', O) what `sum_errors` sums, tick by tick: truth minus forecast, NaN where that counts in no sum."""
    missed: NDArray[np.float64] = truth.astype(np.float64) - forecast
    missed[np.isnan(persistence) | truths.beyond(truth, persistence)] = np.nan
    return missed
