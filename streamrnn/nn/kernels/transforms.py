"""The transforms of nn/model.py for one row, compiled. Knows no batch.

Shapes: F features, C channels, D input columns, O targets, P lags.
"""

import math
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.nn.heads import head_of
from streamrnn.nn.kernels.compiled_heads import target
from streamrnn.nn.model import DAY_MS, NEVER_MS, Model
from streamrnn.process.compiling import spliced

CHANNELS = {"level": 0, "difference": 1, "log_return": 2}
TIMES = {"hour": 0, "weekday": 1, "log_gap": 2}
_DIFFERENCE, _LOG_RETURN = CHANNELS["difference"], CHANNELS["log_return"]
_HOUR, _LOG_GAP = TIMES["hour"], TIMES["log_gap"]
_ZERO = np.float32(0)
_Numbers = Annotated[NDArray[np.float32], 1]


class Transforms(NamedTuple):
    """A model's transforms as arrays: channels (C, 2) int64 of feature and kind, times (n,) int64 of TIMES,
    quantity and lag_quantity codes of nn/heads.py, targets (O,) int64 feature numbers, statistics as the model's
    buffers, gap (2,) mean and deviation, bound (1,) the spec's; the bounds of a model without are infinite."""

    channels: Annotated[NDArray[np.int64], 2]
    times: Annotated[NDArray[np.int64], 1]
    has_mask: int
    quantity: int
    lag_quantity: int
    targets: Annotated[NDArray[np.int64], 1]
    channel_mean: _Numbers
    channel_std: _Numbers
    feature_mean: _Numbers
    target_mean: Annotated[NDArray[np.float32], 2]
    target_std: Annotated[NDArray[np.float32], 2]
    lag_std: _Numbers
    channel_bound: _Numbers
    lag_bound: _Numbers
    lag_least: _Numbers
    target_bound: Annotated[NDArray[np.float32], 2]
    gap: _Numbers
    bound: _Numbers


def transforms_of(model: Model) -> Transforms:
    """The transforms of a model as the compiled step reads them."""
    spec, head = model.spec, head_of(model.spec)
    kinds = [CHANNELS[channel.kind] for channel in spec.channels]
    channels = list(zip(spec.channel_columns, kinds, strict=True))
    statistics = {name: buffer.float().cpu().numpy().copy() for name, buffer in model.named_buffers()}
    gap = np.concatenate((statistics.pop("gap_mean"), statistics.pop("gap_std")))
    statistics.setdefault("lag_std", np.ones(len(spec.targets), dtype=np.float32))
    for name, like in (
        ("channel_bound", "channel_std"),
        ("target_bound", "target_std"),
        ("lag_bound", "lag_std"),
        ("lag_least", "lag_std"),
    ):
        statistics.setdefault(name, np.full_like(statistics[like], np.inf))
    return Transforms(
        channels=np.array(channels, dtype=np.int64).reshape(-1, 2),
        times=np.array([TIMES[kind] for kind in spec.time_features], dtype=np.int64),
        has_mask=int(spec.missing == "mask"),
        quantity=head.quantity.code,
        lag_quantity=head.lag_quantity.code,
        targets=np.array(spec.target_columns, dtype=np.int64),
        gap=gap,
        bound=np.array([np.inf if spec.bound is None else spec.bound], np.float32),
        **statistics,
    )


@spliced
def read_row(t: Any, values: Any, time_ms: int, last: Any, last_time: int, x: Any, filled: Any, kept: Any) -> None:
    """One tick's values (F,) to input columns x (D,), filled (F,) and the last values to carry, kept (F,)."""
    for f in range(len(values)):
        kept[f] = last[f] if math.isnan(values[f]) else values[f]
        filled[f] = t.feature_mean[f] if math.isnan(kept[f]) else kept[f]
    column = len(t.channels)
    for c in range(column):
        number = _channel(t.channels[c, 1], filled, last, t.channels[c, 0])
        number = np.float32((number - t.channel_mean[c]) / t.channel_std[c])
        x[c] = _ZERO if abs(number) > t.channel_bound[c] else number
    for n in range(len(t.times)):
        column = _time(t.times[n], time_ms, last_time, t.gap, x, column)
    if t.has_mask:
        for f in range(len(values)):
            x[column + f] = math.isnan(values[f])


@spliced
def _channel(kind: int, filled: Any, last: Any, feature: int) -> Any:
    now = filled[feature]
    then = now if math.isnan(last[feature]) else last[feature]
    if kind == _DIFFERENCE:
        return now - then
    if kind == _LOG_RETURN:
        return np.float32(math.log(now / then)) if now > _ZERO and then > _ZERO else _ZERO
    return now


@spliced
def _time(kind: int, time_ms: int, last_time: int, gap: Any, x: Any, column: int) -> int:
    """Write a time feature's columns from `column` on; the column after them."""
    if kind == _LOG_GAP:
        gap_ms = max(0, time_ms - last_time) if last_time != NEVER_MS else 0
        x[column] = (np.float32(math.log1p(gap_ms / 1000)) - gap[0]) / gap[1]
        return column + 1
    turn = (time_ms % DAY_MS) / DAY_MS if kind == _HOUR else ((time_ms // DAY_MS + 3) % 7) / 7
    x[column] = math.sin(turn * 2 * math.pi)
    x[column + 1] = math.cos(turn * 2 * math.pi)
    return column + 2


@spliced
def read_lags(t: Any, o: int, lags: Any, now: Any, relative: Any) -> None:
    """What the skip sees of one target: lags (P O,) of the row, its value now, to relative (P,)."""
    targets, std = len(t.targets), t.lag_std[o]
    for p in range(len(relative)):
        change = target(t.lag_quantity, lags[p * targets + o], now)
        relative[p] = _ZERO if math.isnan(change) else change / std
    limit = _lag_limit(t, o, lags, relative)
    if limit < np.inf:
        for p in range(len(relative)):
            relative[p] = _ZERO if abs(relative[p]) > limit else relative[p]


@spliced
def _lag_limit(t: Any, o: int, lags: Any, relative: Any) -> Any:
    """Beyond which one target's lags are unknown: the row's own where streams differ in size."""
    least, most = t.lag_least[o], t.lag_bound[o]
    if least >= most:
        return most
    known, roots = 0, _ZERO
    for p in range(len(relative)):
        known += not math.isnan(lags[p * len(t.targets) + o])
        roots += math.sqrt(abs(relative[p]))
    mean = roots / np.float32(max(known, 1))
    return min(max(t.bound[0] * mean * mean, least), most)
