"""One tick of each of up to TILE rows, compiled: read where rows lie, step in the cache, write back or roll back.

The arithmetic is nn/kernels; the shapes of what is handed over are tile_tuples.py. Knows no batch.
Shapes: m rows of a tile, H hidden, P = H rounded up to 16, F features, K' scored horizons, O targets.
"""

import math
from typing import Any

import numpy as np

from streamrnn.engine.rows.slots import DIRTY
from streamrnn.engine.step.origins import CARRIED, NEW, RESTORED, WARMED
from streamrnn.engine.step.policies import DUPLICATE, LATE, NOT_FINITE, OK, OUT_OF_ORDER, QUARANTINED
from streamrnn.engine.step.score import SMOOTHING
from streamrnn.nn.kernels.compiled_cells import step_layer
from streamrnn.nn.kernels.compiled_heads import counts, is_beyond, write_row
from streamrnn.nn.kernels.matmul import add_product, set_product
from streamrnn.nn.kernels.transforms import read_lags, read_row
from streamrnn.process.compiling import LINE, called, prefetch, spliced

_SMOOTHING = np.float32(SMOOTHING)
_MAGNITUDE, _INFINITE, _NO_BITS = np.int32(0x7FFFFFFF), np.int32(0x7F800000), np.int32(0)


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
def _add_skip(net: Any, t: Any, at: Any, scratch: Any, numbers: Any, slots: Any, quantiles: int, last: Any) -> None:
    """Add to the head what each target's own lags say."""
    rows, targets, width = len(slots), len(t.targets), net.skip.shape[1] // scratch.relative.shape[1]
    lags = scratch.relative.shape[1]
    outputs = t.target_std.shape[0] * quantiles
    for o in range(targets):
        for r in range(rows):
            row = numbers[slots[r]]
            before = row[at.lags : at.lags + lags * targets]
            read_lags(t, o, before, last[r, t.targets[o]], scratch.relative[r])
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
def _score(c: Any, table: Any, slot: int, values: Any, said: Any, i: int) -> None:
    """Hold the tick against what the rings say of it: its residual, the sums, and the stream's rolling errors."""
    t, at, row = c.t, c.at, table.numbers[slot]
    kept, targets, steps = len(at.horizons), len(t.targets), table.integers[slot, at.steps]
    for k in range(kept):
        place = (steps - at.horizons[k]) % at.horizons[-1]
        for o in range(targets):
            truth = values[t.targets[o]]
            due, naive = row[at.pending + (place * kept + k) * targets + o], row[at.past + place * targets + o]
            missed = add_errors(t, at.kept[k], o, truth, due, naive, said.sums[:, k, o])
            if len(said.misses):
                said.misses[i, k, o] = missed
            if k == 0:
                said.residual[i, o] = truth - due
                if counts(t, at.kept[0], o, truth, naive):
                    _roll(table.floats[slot], at.rolling + o, truth - due)
                    _roll(table.floats[slot], at.rolling + targets + o, truth - naive)


@called
def add_errors(t: Any, k: int, o: int, truth: Any, due: Any, naive: Any, sums: Any) -> float:
    """Add a tick's errors at one horizon and target to sums (6,), in the order of `Errors`: the model's, or NaN."""
    missed, off = np.float64(truth) - np.float64(due), np.float64(truth) - np.float64(naive)
    if math.isnan(missed) or math.isnan(off):
        return math.nan
    if is_beyond(t, k, o, np.float64(truth), np.float64(naive)):
        sums[5] += 1
        return math.nan
    sums[0] += 1
    sums[1] += missed * missed
    sums[2] += abs(missed)
    sums[3] += off * off
    sums[4] += abs(off)
    return missed


@spliced
def _remember(t: Any, at: Any, row: Any, steps: int, said: Any, filled: Any) -> None:
    """Put the new prediction and what was seen into the rings."""
    kept, targets, place = len(at.horizons), len(t.targets), steps % at.horizons[-1]
    for o in range(targets):
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
def _refuse(at: Any, integers: Any, slot: int, status: int, said: Any, i: int) -> None:
    """Note a tick that was not, and that it is the truth of nothing."""
    if status in (NOT_FINITE, QUARANTINED):
        integers[slot, at.poisoned] += 1
    said.residual[i, :] = np.nan
    if len(said.misses):
        said.misses[i, :] = np.nan


@spliced
def _note(at: Any, table: Any, slot: int, said: Any, i: int, is_warm: bool) -> None:
    """What is owed to the stream's row, and where its state came from: the twin of `origins_of`."""
    steps, owed = table.integers[slot, at.steps], table.origin[slot]
    said.steps[i], said.origin[i], table.dirty[slot] = steps, NEW if steps == 1 else CARRIED, DIRTY
    if is_warm:
        table.origin[slot] = RESTORED if owed == RESTORED else WARMED
    elif owed and said.status[i] == OK:
        table.origin[slot] = 0
        if steps != 1:
            said.origin[i] = owed


@spliced
def _fetch_ahead(rows: Any, slot: int) -> None:
    """Have a row be on its way into the cache."""
    wide = rows.shape[1] * rows.itemsize
    for line in range(0, wide, LINE):
        prefetch(rows.ctypes.data + slot * wide + line)


@called
def keep_rows(table: Any, before: Any, slots: Any, first: int) -> None:
    """Copy rows as they are, from row `first` of `before` on."""
    for r in range(len(slots)):
        _copy(table.floats[slots[r]], before.floats[first + r])
        _copy(table.integers[slots[r]], before.integers[first + r])
        before.origin[first + r] = table.origin[slots[r]]


@called
def run_tile(
    c: Any, table: Any, columns: Any, said: Any, lines: Any, slots: Any, ticks: Any, ahead: Any, is_warm: bool
) -> None:
    """One tick of each of up to TILE distinct rows: slots (m,) and the ticks (m,) that move them.

    lines (2, TILE, F): filled and last values, of the numbers' kind. ahead: the slots that come next.
    """
    t, at, scratch, values, filled, last = c.t, c.at, c.scratch, columns.values, lines[0], lines[1]
    for r in range(len(slots)):
        slot, i = slots[r], ticks[r]
        if r < len(ahead):
            _fetch_ahead(table.floats, ahead[r])
            _fetch_ahead(table.integers, ahead[r])
        if columns.fresh[i]:
            _copy(c.blank_floats, table.floats[slot])
            _copy(c.blank_integers, table.integers[slot])
        said.status[i] = _refusal(c.rules, at, table.integers, slot, columns.time_ms[i], columns.order[i])
        before = table.numbers[slot, at.last : at.last + values.shape[1]]
        _load_state(at, c.net.hidden, table.floats[slot], scratch, r)
        last_time = table.integers[slot, at.last_time]
        read_row(t, values[i], columns.time_ms[i], before, last_time, scratch.x[r], filled[r], last[r])
    _step_tile(c.net, scratch, len(slots))
    lags = scratch.relative.shape[1]
    if lags:
        _add_skip(c.net, t, at, scratch, table.numbers, slots, said.values.shape[3], last)
    for r in range(len(slots)):
        slot, i = slots[r], ticks[r]
        row, numbers, status = table.numbers[slot], said.values[i], said.status[i]
        write_row(t, scratch.head[r], filled[r], numbers)
        if status == OK and not (
            _is_finite(numbers) and _store_state(at, c.net.hidden, table.floats[slot], scratch, r)
        ):
            status = NOT_FINITE
        said.status[i] = status
        if status == OK:
            _score(c, table, slot, values[i], said, i)
            _remember(t, at, row, table.integers[slot, at.steps], numbers, filled[r])
            if lags:
                _shift_lags(t, at, row, last[r], lags)
            for f in range(values.shape[1]):
                row[at.last + f] = last[r, f]
            _accept(at, table.integers, slot, columns.time_ms[i], columns.order[i])
        else:
            _refuse(at, table.integers, slot, status, said, i)
        table.integers[slot, at.last_offset] = table.used[slot] = columns.offset[i]
        _note(at, table, slot, said, i, is_warm)
