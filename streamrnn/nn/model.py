"""A model: transforms -> cells -> head, one step of B streams. Owns the arithmetic, not where rows live.

What the head's numbers mean is nn/heads.py's.

Shapes: B rows, F features, C channels, D input columns, H hidden, O targets, K horizons, Q quantiles, P lags.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from streamrnn.nn.cells import State, linear, make_stack
from streamrnn.nn.heads import head_of
from streamrnn.nn.spec import ModelSpec

NEVER_MS = -(2**62)
"""The event time of a stream that has had no tick."""
DAY_MS = 86_400_000
POSITIVE = ("_std", "_bound", "_least")
"""How the names of statistics end that must be above 0."""


class ModelStep(NamedTuple):
    """One step: values (B, K, O, Q) raw units, head (B, K, O, Q) standardised, filled (B, F), new state."""

    values: Tensor
    head: Tensor
    filled: Tensor
    state: State


class Model(nn.Module):
    """The network of a spec, its statistics as buffers, its carried rows as a dict of tensors.

    State: last (B, F) of the spec's precision, each feature's last observed value, NaN before the first;
    last_time (B,) int64 ms, NEVER_MS before the first; cell.<layer>.<name> (B, H) float32; lags (B, P O) of
    that precision, the targets' values at the last P ticks, oldest first, NaN where there was none, if any.
    """

    channel_mean: Tensor
    channel_std: Tensor
    feature_mean: Tensor
    target_mean: Tensor
    target_std: Tensor
    gap_mean: Tensor
    gap_std: Tensor
    lag_std: Tensor
    channel_bound: Tensor
    lag_bound: Tensor
    lag_least: Tensor
    target_bound: Tensor

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec, self.head_kind = spec, head_of(spec)
        outputs = len(spec.horizons) * len(spec.targets) * spec.levels
        self.stack = make_stack(spec.cell, spec.input_width, spec.hidden, spec.layers)
        self.head = nn.Linear(spec.hidden, outputs)
        nn.init.zeros_(self.head.bias)
        if spec.lags:
            self.skip = nn.Parameter(torch.zeros(len(spec.targets), outputs // len(spec.targets), spec.lags))
            self.register_buffer("lag_std", torch.ones(len(spec.targets)))
        self._channel_features = list(spec.channel_columns)
        self._target_features = list(spec.target_columns)
        self._kinds = [c.kind for c in spec.channels]
        self.dtype = torch.float64 if spec.precision == "float64" else torch.float32
        self._add_statistics(len(spec.channels), len(spec.features), (len(spec.horizons), len(spec.targets)))

    def _add_statistics(self, channels: int, features: int, head: tuple[int, int]) -> None:
        self.register_buffer("channel_mean", torch.zeros(channels))
        self.register_buffer("channel_std", torch.ones(channels))
        self.register_buffer("feature_mean", torch.zeros(features))
        self.register_buffer("target_mean", torch.zeros(head))
        self.register_buffer("target_std", torch.ones(head))
        self.register_buffer("gap_mean", torch.zeros(1))
        self.register_buffer("gap_std", torch.ones(1))
        if self.spec.bound is not None:
            self.register_buffer("channel_bound", torch.full((channels,), self.spec.bound))
            self.register_buffer("target_bound", torch.full(head, self.spec.bound))
            for name in ("lag_bound", "lag_least") if self.spec.lags else ():
                self.register_buffer(name, torch.full((head[1],), self.spec.bound))

    def set_stats(self, **arrays: NDArray[np.floating] | Sequence[float] | float) -> None:
        """Store statistics by buffer name; ValueError for an unknown name, a wrong shape, or std <= 0."""
        for name, array in arrays.items():
            if name not in dict(self.named_buffers()):
                raise ValueError(f"no statistic named {name}")
            buffer = self.get_buffer(name)
            given = torch.as_tensor(np.asarray(array, dtype=np.float32)).reshape(buffer.shape)
            if not torch.isfinite(given).all() or (name.endswith(POSITIVE) and not (given > 0).all()):
                raise ValueError(f"{name} must be finite, and above 0 if a deviation or bound: {given.tolist()}")
            buffer.copy_(given)

    def state(self, batch: int) -> State:
        """Rows of B streams that have had no tick."""
        device = self.channel_mean.device
        rows = {
            "last": torch.full((batch, len(self.spec.features)), math.nan, dtype=self.dtype, device=device),
            "last_time": torch.full((batch,), NEVER_MS, dtype=torch.int64, device=device),
        }
        if self.spec.lags:
            width = self.spec.lags * len(self.spec.targets)
            rows["lags"] = torch.full((batch, width), math.nan, dtype=self.dtype, device=device)
        for name in self.stack.state_names:
            rows[name] = torch.zeros(batch, self.spec.hidden, device=device)
        return rows

    def step(self, values: Tensor, time_ms: Tensor, state: State) -> ModelStep:
        """One tick of each of B streams: values (B, F) raw, of the spec's precision, with NaN for missing, time_ms
        (B,) int64."""
        x, filled, carried = self.inputs(values, time_ms, state)
        hidden, cells = self.stack.step(x, {name: state[name] for name in self.stack.state_names})
        head = linear(hidden, self.head.weight, self.head.bias)
        head = head.view(x.shape[0], len(self.spec.horizons), len(self.spec.targets), -1)
        if self.spec.lags:
            before = state["lags"].reshape(len(x), self.spec.lags, -1)
            now = carried["last"][:, self._target_features]
            head = head + self.from_lags(self.relative(before, now))
            carried["lags"] = torch.cat((before[:, 1:], now[:, None]), dim=1).flatten(1)
        return ModelStep(self.outputs(head, filled), head, filled, carried | cells)

    def relative(self, before: Tensor, now: Tensor) -> Tensor:
        """(B, O, P) what the skip sees of the values before (B, P, O) beside now (B, O): 0 where one is unknown.

        Under a bound a value far off is unknown too. How far is the row's own: so many times what its values are
        off by (the square of their mean root, which a few absurd ones hardly move), from lag_least to lag_bound.
        """
        change = self.head_kind.lag_quantity.target(before, now[:, None])
        relative = torch.where(torch.isnan(change), 0.0, change / self.lag_std).float()
        if self.spec.bound is not None:
            known = (~torch.isnan(before)).sum(dim=1, keepdim=True).clamp_min(1)
            own = self.spec.bound * (relative.abs().sqrt().sum(dim=1, keepdim=True) / known).square()
            limit = torch.minimum(torch.maximum(own, self.lag_least), self.lag_bound)
            relative = torch.where(relative.abs() > limit, 0.0, relative)
        return relative.transpose(1, 2)

    def from_lags(self, relative: Tensor) -> Tensor:
        """The skip's part of the head's output, (B, K, O, Q), from (B, O, P)."""
        nothing = torch.zeros(self.skip.shape[1], device=relative.device)
        said = [linear(relative[:, o].contiguous(), self.skip[o], nothing) for o in range(relative.shape[1])]
        shape = (len(relative), len(said), len(self.spec.horizons), -1)
        return torch.stack(said, dim=1).reshape(shape).transpose(1, 2)

    def inputs(self, values: Tensor, time_ms: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """The network's columns x (B, D), the features with the missing filled (B, F), what is carried on."""
        missing = torch.isnan(values)
        last = torch.where(missing, state["last"], values)
        filled = torch.where(torch.isnan(last), self.feature_mean, last)
        standard = ((self.channels(filled, state["last"]) - self.channel_mean) / self.channel_std).float()
        if self.spec.bound is not None:
            standard = torch.where(standard.abs() > self.channel_bound, 0.0, standard)
        columns = [standard]
        columns += [self._time(kind, time_ms, state["last_time"]) for kind in self.spec.time_features]
        if self.spec.missing == "mask":
            columns.append(missing.float())
        x = columns[0] if len(columns) == 1 else torch.cat(columns, dim=1)
        return x, filled, {"last": last, "last_time": time_ms}

    def channels(self, filled: Tensor, last: Tensor) -> Tensor:
        """(B, C) before standardisation from the filled features (B, F) and their last observed values (B, F).

        A difference or log return is 0 where there is no earlier value.
        """
        if self._channel_features == list(range(filled.shape[1])) and set(self._kinds) == {"level"}:
            return filled
        before = torch.where(torch.isnan(last), filled, last)
        columns = []
        for feature, kind in zip(self._channel_features, self._kinds, strict=True):
            now, then = filled[:, feature], before[:, feature]
            if kind == "difference":
                now = now - then
            elif kind == "log_return":
                now = torch.where((now > 0) & (then > 0), torch.log(now / then), torch.zeros_like(now))
            columns.append(now)
        return torch.stack(columns, dim=1) if columns else filled[:, :0]

    def _time(self, kind: str, time_ms: Tensor, last_time: Tensor) -> Tensor:
        """(B, 2) sine and cosine of the day or week, or (B, 1) the standardised log of the gap."""
        if kind == "log_gap":
            known = last_time != NEVER_MS
            gap_s = torch.where(known, (time_ms - last_time).clamp_min(0), 0).double() / 1000
            return ((torch.log1p(gap_s).float() - self.gap_mean) / self.gap_std)[:, None]
        if kind == "hour":
            turn = torch.remainder(time_ms, DAY_MS).double() / DAY_MS
        else:
            turn = torch.remainder(torch.div(time_ms, DAY_MS, rounding_mode="floor") + 3, 7).double() / 7
        angle = turn * (2 * math.pi)
        return torch.stack((torch.sin(angle), torch.cos(angle)), dim=1).float()

    def counts(self, k: int, truth: Tensor, base: Tensor) -> Tensor:
        """(B, O) whether truths (B, O) at horizon k, forecast from base values (B, O), are within the bound."""
        if self.spec.bound is None:
            return torch.ones_like(truth, dtype=torch.bool)
        mean, most = self.target_mean[k], self.target_bound[k] * self.target_std[k]
        counts: Tensor = self.head_kind.quantity.within(truth, base, mean, most)
        return counts

    def outputs(self, head: Tensor, filled: Tensor) -> Tensor:
        """Head output (B, K, O, Q) to predictions in raw units."""
        scaled = head * self.target_std[..., None] + self.target_mean[..., None]
        base = filled[:, self._target_features][:, None, :, None]
        return self.head_kind.decode(scaled, base).to(self.dtype)
