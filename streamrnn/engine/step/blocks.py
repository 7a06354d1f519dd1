"""A batch in blocks of torch operations: the executor for CUDA, and the slow twin of compiled.py.

Rows are gathered once, every block of every wave has the same number of rows, padded with scratch, and the
rows are scattered once: the same kernels run whatever the batch holds, so a stream's bits do not depend on
its neighbours (law 2). A tick that is refused, or whose state or prediction is not finite, leaves its state as it
was (law 6).
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamrnn.engine.rows.slab import Rows, Slab
from streamrnn.engine.rows.slots import DIRTY, SCRATCH, Slots
from streamrnn.engine.rows.undo import Layer
from streamrnn.engine.step.origins import origins_of
from streamrnn.engine.step.outcome import Outcome, predictions_of
from streamrnn.engine.step.policies import DUPLICATE, LATE, NOT_FINITE, OK, OUT_OF_ORDER, QUARANTINED, Rules
from streamrnn.engine.step.score import Scorer
from streamrnn.engine.step.waves import Plan
from streamrnn.nn.model import Model
from streamrnn.nn.truths import truths_of
from streamrnn.ticks import PredictionBatch, TickBatch


class _Columns(NamedTuple):
    """A batch on the device in plan order, with room for what its steps yield."""

    values: Tensor
    time_ms: Tensor
    offset: Tensor
    order: Tensor
    said: Tensor
    forecast: Tensor
    persistence: Tensor
    steps: Tensor
    status: Tensor
    fresh: NDArray[np.bool_]


class Blocks:
    """Steps batches of one model on the slab's device; `block` is the fixed number of rows of an execution."""

    def __init__(self, model: Model, slab: Slab, slots: Slots, scorer: Scorer, block: int, rules: Rules) -> None:
        self._model, self._slab, self._scorer, self._block, self._rules = model, slab, scorer, block, rules
        self._slots, self._truths = slots, truths_of(model, model.spec.scored_horizons)
        self._device = slab.rows.floats.device
        self._targets = list(model.spec.target_columns)

    @torch.inference_mode()
    def run(
        self, ticks: TickBatch, plan: Plan, fresh: NDArray[np.bool_], layer: Layer | None, has_misses: bool
    ) -> PredictionBatch:
        """See executors.py."""
        slots = self._slots
        if layer is not None:
            layer.note(plan.rows, self._slab.gather(self._slab.index(plan.rows)), slots.origin[plan.rows])
        outcome = self._step(ticks, plan, fresh)
        of_ticks = np.empty(len(ticks), np.int64)
        of_ticks[plan.order] = plan.rows[np.concatenate([np.arange(size) for size in plan.sizes])]
        slots.used[of_ticks], slots.dirty[plan.rows] = ticks.offset, DIRTY
        origin = origins_of(slots, of_ticks, plan, outcome, layer is None)
        return predictions_of(ticks, plan, outcome, origin, self._targets, self._truths, has_misses)

    def _step(self, ticks: TickBatch, plan: Plan, fresh: NDArray[np.bool_]) -> Outcome:
        rows = self._slab.gather(self._padded(plan.rows))
        columns = self._upload(ticks, plan, fresh)
        for start, stop, wave_start in self._blocks(plan):
            self._run_block(columns, rows.slice(start, start + self._block), wave_start + start, stop - start)
        used = len(plan.rows)
        self._slab.scatter(self._tensor(plan.rows), rows.slice(0, used))
        return _download(plan, columns)

    def _padded(self, rows: NDArray[np.int64]) -> Tensor:
        short = -len(rows) % self._block
        return self._tensor(np.concatenate((rows, np.full(short, SCRATCH, dtype=np.int64))))

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self._device)

    def _blocks(self, plan: Plan) -> Iterator[tuple[int, int, int]]:
        """(first row, row past the last, the wave's first tick in plan order) of each block."""
        wave_start = 0
        for size in plan.sizes.tolist():
            for start in range(0, size, self._block):
                yield start, min(start + self._block, size), wave_start
            wave_start += size

    def _upload(self, ticks: TickBatch, plan: Plan, fresh: NDArray[np.bool_]) -> _Columns:
        n, spec, device = len(ticks), self._model.spec, self._device
        horizons, targets = len(spec.horizons), len(spec.targets)
        waiting = (n, len(spec.scored_horizons), targets)
        dtype = self._model.dtype
        return _Columns(
            values=self._tensor(ticks.values[plan.order]).to(self._model.dtype),
            time_ms=self._tensor(ticks.time_ms[plan.order]),
            offset=self._tensor(ticks.offset[plan.order]),
            order=self._tensor(ticks.order[plan.order]),
            said=torch.empty(n, horizons, targets, spec.levels, dtype=dtype, device=device),
            forecast=torch.empty(waiting, dtype=dtype, device=device),
            persistence=torch.empty(waiting, dtype=dtype, device=device),
            steps=torch.empty(n, dtype=torch.int64, device=device),
            status=torch.empty(n, dtype=torch.uint8, device=device),
            fresh=fresh[plan.order],
        )

    def _run_block(self, columns: _Columns, rows: Rows, first: int, count: int) -> None:
        """Step `count` ticks from plan position `first` on the first rows of a full block."""
        last = first + count
        fresh = np.flatnonzero(columns.fresh[first:last])
        if len(fresh):
            self._slab.reset(rows, self._tensor(fresh))
        values, time_ms = self._full(columns.values[first:last]), self._full(columns.time_ms[first:last])
        order = self._full(columns.order[first:last])
        refusal = self._refusal(rows, time_ms, order)
        step = self._model.step(values, time_ms, {name: rows[name] for name in rows.columns})
        steps, truth = rows["steps"], values[:, self._targets]
        due = self._scorer.due(rows["pending"], rows["past"], steps)
        seen = step.filled[:, self._targets]
        counts = self._model.counts(self._scorer.kept[0], truth, due.persistence[:, 0])
        state = step.state | self._scorer.write(rows["pending"], rows["past"], steps, step.values, seen)
        state |= {"rolling": self._scorer.rolling(rows["rolling"], truth, due, counts), "steps": steps + 1}
        state |= {
            "last_order": torch.maximum(rows["last_order"], order),
            "newest_time": torch.maximum(rows["newest_time"], time_ms),
        }
        columns.said[first:last] = step.values[:count]
        columns.forecast[first:last] = due.forecast[:count]
        columns.persistence[first:last] = due.persistence[:count]
        status = self._keep(state, step.values, refusal, rows, count)
        columns.forecast[first:last][status != OK] = math.nan
        columns.persistence[first:last][status != OK] = math.nan
        columns.steps[first:last] = rows["steps"][:count]
        rows["last_offset"][:count] = columns.offset[first:last]
        columns.status[first:last] = status

    def _refusal(self, rows: Rows, time_ms: Tensor, order: Tensor) -> Tensor:
        """(block,) uint8 why each row's tick is not to be stepped; the rule written last beats those before."""
        rules, refusal = self._rules, torch.full_like(order, OK, dtype=torch.uint8)
        beyond, known = rows["poisoned"] - rules.after, rows["steps"] > 0
        refusal[(beyond >= 0) & ((beyond + 1) % rules.retry != 0)] = QUARANTINED
        if rules.out_of_order:
            refusal[known & (order < rows["last_order"])] = OUT_OF_ORDER
        if rules.duplicate:
            refusal[known & (order == rows["last_order"])] = DUPLICATE
        if rules.late_after >= 0:
            refusal[known & (rows["newest_time"] - time_ms > rules.late_after)] = LATE
        return refusal

    def _full(self, part: Tensor) -> Tensor:
        """Pad (m, ...) to a whole block with zeros."""
        if part.shape[0] == self._block:
            return part
        whole = part.new_zeros((self._block, *part.shape[1:]))
        whole[: part.shape[0]] = part
        return whole

    def _keep(self, state: dict[str, Tensor], values: Tensor, refusal: Tensor, rows: Rows, count: int) -> Tensor:
        """Write the new state of the first `count` rows, all but what is refused or not finite; their status."""
        checked = [values, *(state[name] for name in self._model.stack.state_names)]
        if bool(torch.isfinite(sum_of(checked)) & (refusal[:count] == OK).all()):
            status = refusal
        else:
            finite = torch.stack([torch.isfinite(part.flatten(1)).all(1) for part in checked]).all(0)
            status = torch.where(finite | (refusal != OK), refusal, NOT_FINITE).to(torch.uint8)
        is_ok, poisoned = status == OK, rows["poisoned"]
        is_poison = (status == NOT_FINITE) | (status == QUARANTINED)
        poisoned[:count] = torch.where(is_ok, 0, poisoned + is_poison)[:count]
        for name, new in state.items():
            old = rows[name]
            old[:count] = torch.where(is_ok if new.dim() == 1 else is_ok[:, None], new, old)[:count]
        return status[:count]


def _download(plan: Plan, columns: _Columns) -> Outcome:
    """The columns in arrival order."""

    def back(tensor: Tensor) -> NDArray[np.generic]:
        ordered = tensor.cpu().numpy()
        result = np.empty_like(ordered)
        result[plan.order] = ordered
        return result

    yielded = (columns.said, columns.forecast, columns.persistence, columns.steps, columns.status)
    return Outcome(*map(back, yielded))  # type: ignore[arg-type]


def sum_of(parts: list[Tensor]) -> Tensor:
    """One number that is finite only if every element is (a sum that overflows is looked at row by row)."""
    return torch.stack([part.sum() for part in parts]).sum()
