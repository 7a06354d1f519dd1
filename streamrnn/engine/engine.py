"""The sole owner of the device: places ticks, gathers rows once, runs the waves, scatters once.

Every block of every wave has the same number of rows, padded with scratch, and each row's arithmetic is
independent of its neighbours: the same stream gives the same bits whatever shares its batches (law 2).
All methods but the counters are called from the one engine thread. Knows no Kafka.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamrnn.engine.score import Scorer, sum_errors
from streamrnn.engine.slab import Rows, Slab
from streamrnn.engine.slots import SCRATCH, SlotTable
from streamrnn.engine.waves import Plan, plan_waves
from streamrnn.errors import EngineError
from streamrnn.nn.model import Model
from streamrnn.ticks import ORIGINS, PredictionBatch, TickBatch

NEW, CARRIED, WARMED = ORIGINS.index("new"), ORIGINS.index("carried"), ORIGINS.index("warmed")


@dataclass(frozen=True, slots=True)
class StreamView:
    """What the engine holds of one stream; predictions and errors by target, floats in raw units."""

    stream: str
    partition: int
    steps: int
    last_offset: int
    last_time_ms: int
    last_values: dict[str, float]
    last_prediction: dict[str, list[float]]
    mse: dict[str, float]
    persistence_mse: dict[str, float]
    state: dict[str, list[float]]


class _Columns(NamedTuple):
    """A batch on the device in plan order, with room for what its steps yield."""

    values: Tensor
    time_ms: Tensor
    offset: Tensor
    said: Tensor
    forecast: Tensor
    persistence: Tensor
    steps: Tensor
    ok: Tensor
    fresh: NDArray[np.bool_]


def pick_device(device: str) -> torch.device:
    """`auto` is CUDA where there is one; EngineError when `cuda` is asked for and absent."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise EngineError("engine.device is cuda, but torch finds no CUDA device")
    return torch.device(device)


class Engine:
    """One model, the state of every stream this worker serves, and the step that moves it.

    max_streams caps each partition; block is the fixed number of rows of every execution.
    """

    def __init__(
        self, model: Model, *, max_streams: int, device: str = "auto", block: int = 256, threads: int = 1
    ) -> None:
        torch.set_num_threads(threads)
        self.device = pick_device(device)
        self.model = model.to(self.device).eval()
        self.spec = model.spec
        self.block = block
        self.evicted_total = 0
        self._table = SlotTable(max_streams)
        self._scorer = Scorer(self.spec, self.device)
        fresh = model.state(1) | self._scorer.fresh()
        fresh["last_offset"] = torch.full((1,), -1, dtype=torch.int64, device=self.device)
        self._slab = Slab(fresh, self.device)
        self._targets = [self.spec.features.index(t) for t in self.spec.targets]
        self._warmed: set[tuple[int, int]] = set()

    @property
    def resident(self) -> int:
        """Streams that own a row."""
        return self._table.resident

    @property
    def slab_bytes(self) -> int:
        """Bytes of state allocated on the device."""
        return self._slab.nbytes

    @property
    def row_bytes(self) -> int:
        """Bytes one stream takes."""
        return self._slab.row_bytes

    @torch.inference_mode()
    def step(self, ticks: TickBatch, warm: bool = False) -> PredictionBatch:
        """Move each tick's stream one step, in arrival order per stream; `warm` marks a rebuilt state."""
        if not len(ticks):
            return self._empty(ticks)
        placed = self._table.place(ticks.partition, ticks.streams)
        self.evicted_total += placed.evicted
        self._slab.grow(self._table.size)
        plan = plan_waves(placed.slots)
        rows = self._slab.gather(self._padded(plan.rows))
        columns = self._upload(ticks, plan, placed.fresh)
        for start, stop, wave_start in self._blocks(plan):
            self._run_block(columns, rows.slice(start, start + self.block), wave_start + start, stop - start)
        used = len(plan.rows)
        self._slab.scatter(self._tensor(plan.rows), rows.slice(0, used))
        origin = self._origins(ticks, placed.slots, placed.fresh, warm)
        return self._download(ticks, plan, columns, origin, placed.evicted)

    def _padded(self, rows: NDArray[np.int64]) -> Tensor:
        short = -len(rows) % self.block
        return self._tensor(np.concatenate((rows, np.full(short, SCRATCH, dtype=np.int64))))

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def _blocks(self, plan: Plan) -> Iterator[tuple[int, int, int]]:
        """(first row, row past the last, the wave's first tick in plan order) of each block."""
        wave_start = 0
        for size in plan.sizes:
            for start in range(0, size, self.block):
                yield start, min(start + self.block, size), wave_start
            wave_start += size

    def _upload(self, ticks: TickBatch, plan: Plan, fresh: NDArray[np.bool_]) -> _Columns:
        n, spec, device = len(ticks), self.spec, self.device
        horizons, targets = len(spec.horizons), len(spec.targets)
        waiting = (n, len(spec.scored_horizons), targets)
        return _Columns(
            values=self._tensor(ticks.values[plan.order]),
            time_ms=self._tensor(ticks.time_ms[plan.order]),
            offset=self._tensor(ticks.offset[plan.order]),
            said=torch.empty(n, horizons, targets, max(1, len(spec.quantiles)), device=device),
            forecast=torch.empty(waiting, device=device),
            persistence=torch.empty(waiting, device=device),
            steps=torch.empty(n, dtype=torch.int64, device=device),
            ok=torch.empty(n, dtype=torch.bool, device=device),
            fresh=fresh[plan.order],
        )

    def _run_block(self, columns: _Columns, rows: Rows, first: int, count: int) -> None:
        """Step `count` ticks from plan position `first` on the first rows of a full block."""
        last = first + count
        fresh = np.flatnonzero(columns.fresh[first:last])
        if len(fresh):
            self._slab.reset(rows, self._tensor(fresh))
        values, time_ms = self._full(columns.values[first:last]), self._full(columns.time_ms[first:last])
        step = self.model.step(values, time_ms, {name: rows[name] for name in rows.columns})
        steps, truth = rows["steps"], values[:, self._targets]
        due = self._scorer.due(rows["pending"], rows["past"], steps)
        columns.said[first:last] = step.values[:count]
        columns.forecast[first:last] = due.forecast[:count]
        columns.persistence[first:last] = due.persistence[:count]
        columns.steps[first:last] = steps[:count] + 1
        seen = step.filled[:, self._targets]
        state = step.state | self._scorer.write(rows["pending"], rows["past"], steps, step.values, seen)
        state |= {"rolling": self._scorer.rolling(rows["rolling"], truth, due), "steps": steps + 1}
        state["last_offset"] = self._full(columns.offset[first:last])
        columns.ok[first:last] = self._keep(state, step.values, rows, count)

    def _full(self, part: Tensor) -> Tensor:
        """Pad (m, ...) to a whole block with zeros."""
        if part.shape[0] == self.block:
            return part
        whole = part.new_zeros((self.block, *part.shape[1:]))
        whole[: part.shape[0]] = part
        return whole

    def _keep(self, state: dict[str, Tensor], values: Tensor, rows: Rows, count: int) -> Tensor:
        """Write the new state of the first `count` rows; a row with NaN or Inf keeps its old state."""
        checked = [values, *(state[name] for name in self.model.stack.state_names)]
        if bool(torch.isfinite(sum_of(checked))):
            for name, new in state.items():
                rows[name][:count] = new[:count]
            return torch.ones(count, dtype=torch.bool, device=self.device)
        finite = torch.stack([torch.isfinite(part.flatten(1)).all(1) for part in checked]).all(0)
        for name, new in state.items():
            old = rows[name]
            old[:count] = torch.where(finite if new.dim() == 1 else finite[:, None], new, old)[:count]
        return finite[:count]

    def _origins(
        self, ticks: TickBatch, slots: NDArray[np.int64], fresh: NDArray[np.bool_], warm: bool
    ) -> NDArray[np.uint8]:
        """Where each tick's state came from; the first live tick after a warm-up says `warmed`."""
        origin = np.where(fresh, NEW, CARRIED).astype(np.uint8)
        if warm:
            self._warmed.update(zip(ticks.partition.tolist(), slots.tolist(), strict=True))
        elif self._warmed:
            pairs = zip(ticks.partition.tolist(), slots.tolist(), strict=True)
            for i, pair in enumerate(pairs):
                if pair in self._warmed:
                    self._warmed.discard(pair)
                    origin[i] = NEW if fresh[i] else WARMED
        return origin

    def _download(
        self, ticks: TickBatch, plan: Plan, columns: _Columns, origin: NDArray[np.uint8], evicted: int
    ) -> PredictionBatch:
        def back(tensor: Tensor) -> NDArray[np.generic]:
            ordered = tensor.cpu().numpy()
            result = np.empty_like(ordered)
            result[plan.order] = ordered
            return result

        truth = ticks.values[:, None, self._targets]
        forecast, persistence = back(columns.forecast), back(columns.persistence)
        return PredictionBatch(
            ticks=ticks,
            values=back(columns.said),  # type: ignore[arg-type]
            residual=(truth - forecast)[:, 0],  # type: ignore[operator]
            steps=back(columns.steps),  # type: ignore[arg-type]
            origin=origin,
            ok=back(columns.ok),  # type: ignore[arg-type]
            errors=sum_errors(truth, forecast, persistence),  # type: ignore[arg-type]
            wave_sizes=plan.sizes,
            evicted=evicted,
        )

    def _empty(self, ticks: TickBatch) -> PredictionBatch:
        spec = self.spec
        horizons, targets = len(spec.horizons), len(spec.targets)
        none = np.empty((0, len(spec.scored_horizons), targets), dtype=np.float32)
        return PredictionBatch(
            ticks=ticks,
            values=np.empty((0, horizons, targets, max(1, len(spec.quantiles))), dtype=np.float32),
            residual=np.empty((0, targets), dtype=np.float32),
            steps=np.empty(0, dtype=np.int64),
            origin=np.empty(0, dtype=np.uint8),
            ok=np.empty(0, dtype=np.bool_),
            errors=sum_errors(none[:, :1], none, none),
        )

    def drop(self, partition: int) -> None:
        """Forget the state of a partition that now belongs to another worker."""
        self._table.drop(partition)
        self._warmed = {pair for pair in self._warmed if pair[0] != partition}

    def streams(self, limit: int, prefix: bytes = b"") -> list[tuple[int, bytes, int]]:
        """Up to `limit` (partition, stream, steps) whose key begins with `prefix`."""
        found: list[tuple[int, bytes, int]] = []
        for partition, stream, slot in self._table.streams():
            if len(found) >= limit:
                break
            if stream.startswith(prefix):
                found.append((partition, stream, slot))
        if not found:
            return []
        rows = self._slab.gather(self._tensor(np.array([slot for *_, slot in found], dtype=np.int64)))
        return [(p, s, n) for (p, s, _), n in zip(found, rows["steps"].tolist(), strict=True)]

    def inspect(self, partition: int | None, stream: bytes) -> StreamView | None:
        """All that is held of one stream, None if it has no row."""
        if partition is None:
            partition = next(iter(self._table.partitions_of(stream)), -1)
        handle = self._table.handle(partition, stream)
        if handle is None:
            return None
        rows = self._slab.gather(torch.tensor([self._table.row(handle)], device=self.device))
        steps, targets = int(rows["steps"]), self.spec.targets
        prediction = self._scorer.last_prediction(rows["pending"], max(steps, 1)).T.tolist()
        rolling = rows["rolling"][0].tolist()
        return StreamView(
            stream=stream.decode(errors="replace"),
            partition=partition,
            steps=steps,
            last_offset=int(rows["last_offset"]),
            last_time_ms=int(rows["last_time"]),
            last_values=_known(self.spec.features, rows["last"][0].tolist()),
            last_prediction=dict(zip(targets, prediction, strict=True)),
            mse=_known(targets, rolling[: len(targets)]),
            persistence_mse=_known(targets, rolling[len(targets) :]),
            state={name: rows[name][0].tolist() for name in self.model.stack.state_names},
        )


def sum_of(parts: list[Tensor]) -> Tensor:
    """One number that is finite only if every element is (a sum that overflows is looked at row by row)."""
    return torch.stack([part.sum() for part in parts]).sum()


def _known(names: tuple[str, ...], values: list[float]) -> dict[str, float]:
    return {name: value for name, value in zip(names, values, strict=True) if not math.isnan(value)}
