"""One tick of each of up to TILE rows, compiled: read where rows lie, step in the cache, write back or roll back.

Owns the layout of a row and of the tile; the arithmetic is nn/kernels. Knows no batch.
Shapes: m rows of a tile, H hidden, P = H rounded up to 16, F features, K' scored horizons, O targets.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.engine.step.policies import DUPLICATE, LATE, NOT_FINITE, OK, OUT_OF_ORDER, QUARANTINED
from streamrnn.engine.step.score import SMOOTHING
from streamrnn.nn.kernels.compiled_cells import step_layer
from streamrnn.nn.kernels.compiled_heads import counts, write_row
from streamrnn.nn.kernels.matmul import add_product, set_product
from streamrnn.nn.kernels.transforms import read_lags, read_row
from streamrnn.process.compiling import called, spliced

TILE = 32
"""Rows stepped together: their states and gates stay in the first-level cache."""
_SMOOTHING = np.float32(SMOOTHING)
_MAGNITUDE, _INFINITE, _NO_BITS = np.int32(0x7FFFFFFF), np.int32(0x7F800000), np.int32(0)


class Network(NamedTuple):
    """What a model computes: kind and width of its cells, their weights and places (nn/kernels/compiled_cells.py),
    its head, and skip (O, .), each target's packed on its own."""

    kind: int
    hidden: int
    weights: NDArray[np.float32]
    places: NDArray[np.int64]
    head: NDArray[np.float32]
    head_bias: NDArray[np.float32]
    skip: NDArray[np.float32]


class Layout(NamedTuple):
    """First columns in the slab: `states` (L, 2) of h and c (-1: none), the scorer's rings, and the lags."""

    states: NDArray[np.int64]
    last: int
    pending: int
    past: int
    rolling: int
    steps: int
    last_time: int
    last_offset: int
    last_order: int
    newest_time: int
    poisoned: int
    horizons: NDArray[np.int64]
    kept: NDArray[np.int64]
    middle: int
    lags: int


class Scratch(NamedTuple):
    """Tiles: h and c (L, m, P), x (m, D), gates a (m, 4 P), u (m, P), head (m, .), filled and last (m, F),
    relative (m, P lags) and skipped (m, .) of one target at a time."""

    h: NDArray[np.float32]
    c: NDArray[np.float32]
    x: NDArray[np.float32]
    a: NDArray[np.float32]
    u: NDArray[np.float32]
    head: NDArray[np.float32]
    filled: NDArray[np.float32]
    last: NDArray[np.float32]
    relative: NDArray[np.float32]
    skipped: NDArray[np.float32]


@called
def _is_finite(said: Any) -> bool:
    """Whether no number of a prediction is NaN or infinite."""
    odd = False
    for number in said.flat:
        odd |= number - number != 0
    return not odd


@called
def _has_finite(row: Any) -> bool:
    """Whether no float32 of a contiguous row is NaN or infinite: by its greatest bits, which vectors can find."""
    greatest = _NO_BITS
    for bits in row.view(np.int32):
        magnitude = bits & _MAGNITUDE
        greatest = magnitude if magnitude > greatest else greatest
    return bool(greatest < _INFINITE)


@called
def _copy(source: Any, target: Any) -> None:
    """Two slices of equal length: this form is the one the compiler turns into vector moves."""
    for j in range(len(target)):
        target[j] = source[j]


@spliced
def _load_state(at: Any, hidden: int, row: Any, scratch: Any, r: int) -> None:
    for layer in range(len(at.states)):
        h, c = at.states[layer, 0], at.states[layer, 1]
        _copy(row[h : h + hidden], scratch.h[layer, r, :hidden])
        if c >= 0:
            _copy(row[c : c + hidden], scratch.c[layer, r, :hidden])


@spliced
def _store_state(at: Any, hidden: int, row: Any, scratch: Any, r: int) -> bool:
    """Write row r's new state back unless part of it is NaN or Inf; whether it was written."""
    for layer in range(len(at.states)):
        if not _has_finite(scratch.h[layer, r, :hidden]):
            return False
        if at.states[layer, 1] >= 0 and not _has_finite(scratch.c[layer, r, :hidden]):
            return False
    for layer in range(len(at.states)):
        h, c = at.states[layer, 0], at.states[layer, 1]
        _copy(scratch.h[layer, r, :hidden], row[h : h + hidden])
        if c >= 0:
            _copy(scratch.c[layer, r, :hidden], row[c : c + hidden])
    return True


@called
def _step_tile(net: Any, scratch: Any, rows: int) -> None:
    """The cells, layer by layer, and the head on the first rows of the tile."""
    for layer in range(len(net.places)):
        h, place = scratch.h[layer], net.places[layer]
        x = scratch.x if layer == 0 else scratch.h[layer - 1]
        c = scratch.c[layer]
        step_layer(net.kind, net.hidden, place, net.weights, x, h, c, scratch.a, scratch.u, rows)
    outputs = len(net.head_bias)
    set_product(scratch.h[len(net.places) - 1], rows, net.hidden, net.head, net.head_bias, scratch.head, 0, outputs)


@called
def _add_skip(net: Any, t: Any, at: Any, scratch: Any, numbers: Any, slots: Any, quantiles: int) -> None:
    """Add to the head what each target's own lags say."""
    rows, targets, width = len(slots), len(t.targets), net.skip.shape[1] // scratch.relative.shape[1]
    lags = scratch.relative.shape[1]
    outputs = t.target_std.shape[0] * quantiles
    for o in range(targets):
        for r in range(rows):
            row = numbers[slots[r]]
            before = row[at.lags : at.lags + lags * targets]
            read_lags(t, o, before, scratch.last[r, t.targets[o]], scratch.relative[r])
            scratch.skipped[r, :] = 0
        add_product(scratch.relative, rows, lags, net.skip[o], scratch.skipped, 0, width)
        for r in range(rows):
            for kq in range(outputs):
                k, q = kq // quantiles, kq % quantiles
                scratch.head[r, (k * targets + o) * quantiles + q] += scratch.skipped[r, kq]


@spliced
def _shift_lags(t: Any, at: Any, row: Any, last: Any, lags: int) -> None:
    """The oldest leaves, the newest comes last."""
    targets = len(t.targets)
    for i in range((lags - 1) * targets):
        row[at.lags + i] = row[at.lags + i + targets]
    for o in range(targets):
        row[at.lags + (lags - 1) * targets + o] = last[t.targets[o]]


@spliced
def _look_up(at: Any, targets: int, row: Any, steps: int, forecast: Any, persistence: Any) -> None:
    """What the rings say of this tick: (K', O) the model's and persistence's forecasts."""
    kept, depth = len(at.horizons), at.horizons[-1]
    for k in range(kept):
        place = (steps - at.horizons[k]) % depth
        for o in range(targets):
            forecast[k, o] = row[at.pending + (place * kept + k) * targets + o]
            persistence[k, o] = row[at.past + place * targets + o]


@spliced
def _remember(
    t: Any, at: Any, floats: Any, row: Any, steps: int, said: Any, values: Any, filled: Any, due: Any, naive: Any
) -> None:
    """Put the new prediction into the rings, and this tick's squared errors into the rolling ones."""
    kept, targets, place = len(at.horizons), len(t.targets), steps % at.horizons[-1]
    for o in range(targets):
        truth = values[t.targets[o]]
        if counts(t, at.kept[0], o, truth, naive[0, o]):
            _roll(floats, at.rolling + o, truth - due[0, o])
            _roll(floats, at.rolling + targets + o, truth - naive[0, o])
        row[at.past + place * targets + o] = filled[t.targets[o]]
        for k in range(kept):
            row[at.pending + (place * kept + k) * targets + o] = said[at.kept[k], o, at.middle]


@spliced
def _roll(floats: Any, place: int, error: Any) -> None:
    now = np.float32(error * error)
    if not math.isnan(now):
        before = floats[place]
        floats[place] = now if math.isnan(before) else before + _SMOOTHING * (now - before)


@spliced
def _refusal(rules: Any, at: Any, integers: Any, slot: int, time_ms: int, order: int) -> int:
    """Why a tick is not to be stepped on this slot's row, OK if it is (policies.py)."""
    if integers[slot, at.steps] > 0:
        if 0 <= rules.late_after < integers[slot, at.newest_time] - time_ms:
            return LATE
        if rules.duplicate and order == integers[slot, at.last_order]:
            return DUPLICATE
        if rules.out_of_order and order < integers[slot, at.last_order]:
            return OUT_OF_ORDER
    beyond = integers[slot, at.poisoned] - rules.after
    return QUARANTINED if beyond >= 0 and (beyond + 1) % rules.retry != 0 else OK


@spliced
def _accept(at: Any, integers: Any, slot: int, time_ms: int, order: int) -> None:
    """Note a tick that was stepped."""
    integers[slot, at.steps] += 1
    integers[slot, at.last_time] = time_ms
    integers[slot, at.newest_time] = max(integers[slot, at.newest_time], time_ms)
    integers[slot, at.last_order] = max(integers[slot, at.last_order], order)
    integers[slot, at.poisoned] = 0


@spliced
def _refuse(at: Any, integers: Any, slot: int, status: int, forecast: Any, persistence: Any) -> None:
    """Note a tick that was not, and that it is the truth of nothing."""
    if status in (NOT_FINITE, QUARANTINED):
        integers[slot, at.poisoned] += 1
    forecast[:] = np.nan
    persistence[:] = np.nan


@called
def run_tile(
    net: Any, t: Any, at: Any, rules: Any, scratch: Any, floats: Any, integers: Any, numbers: Any,
    blank_floats: Any, blank_integers: Any, slots: Any, ticks: Any, values: Any, time_ms: Any, offset: Any,
    order: Any, fresh: Any, out: Any,
) -> None:  # fmt: skip
    """One tick of each of up to TILE distinct rows: slots (m,) and the ticks (m,) that move them.

    numbers: the table where values lie, `floats`, or `integers` as float64 where the model has that precision.
    """
    rows = len(slots)
    for r in range(rows):
        slot, i = slots[r], ticks[r]
        if fresh[i]:
            _copy(blank_floats[0], floats[slot])
            _copy(blank_integers[0], integers[slot])
        row = numbers[slot]
        out.status[i] = _refusal(rules, at, integers, slot, time_ms[i], order[i])
        last = row[at.last : at.last + values.shape[1]]
        _load_state(at, net.hidden, floats[slot], scratch, r)
        last_time = integers[slot, at.last_time]
        read_row(t, values[i], time_ms[i], last, last_time, scratch.x[r], scratch.filled[r], scratch.last[r])
        steps = integers[slot, at.steps]
        _look_up(at, len(t.targets), row, steps, out.forecast[i], out.persistence[i])
    _step_tile(net, scratch, rows)
    lags = scratch.relative.shape[1]
    if lags:
        _add_skip(net, t, at, scratch, numbers, slots, out.said.shape[3])
    for r in range(rows):
        slot, i = slots[r], ticks[r]
        row, said, status = numbers[slot], out.said[i], out.status[i]
        write_row(t, scratch.head[r], scratch.filled[r], said)
        if status == OK and not (_is_finite(said) and _store_state(at, net.hidden, floats[slot], scratch, r)):
            status = NOT_FINITE
        due, naive = out.forecast[i], out.persistence[i]
        if status == OK:
            steps = integers[slot, at.steps]
            _remember(t, at, floats[slot], row, steps, said, values[i], scratch.filled[r], due, naive)
            if lags:
                _shift_lags(t, at, row, scratch.last[r], lags)
            for f in range(values.shape[1]):
                row[at.last + f] = scratch.last[r, f]
            _accept(at, integers, slot, time_ms[i], order[i])
        else:
            _refuse(at, integers, slot, status, due, naive)
        integers[slot, at.last_offset] = offset[i]
        out.status[i], out.steps[i] = status, integers[slot, at.steps]
