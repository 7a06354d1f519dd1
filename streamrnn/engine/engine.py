"""The sole owner of the device: places ticks, plans their waves and has an executor step them.

Executors: compiled.py on the CPU, blocks.py on CUDA; each gives a stream the same bits whatever shares its
batches (law 2). All methods but the counters are called from the one engine thread. Knows no Kafka.
"""

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from streamrnn.engine.blocks import Blocks
from streamrnn.engine.outcome import Outcome
from streamrnn.engine.score import Scorer, sum_errors
from streamrnn.engine.slab import Slab
from streamrnn.engine.slots import SlotTable
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


class Executor(Protocol):
    """Steps a planned batch on the rows of a slab."""

    def run(self, ticks: TickBatch, plan: Plan, fresh: NDArray[np.bool_]) -> Outcome:
        """Step every tick in plan order; `fresh` (n,) marks those whose row is to be initialised first."""


def pick_device(device: str) -> torch.device:
    """`auto` is CUDA where there is one; EngineError when `cuda` is asked for and absent."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise EngineError("engine.device is cuda, but torch finds no CUDA device")
    return torch.device(device)


class Engine:
    """One model, the state of every stream this worker serves, and the step that moves it.

    max_streams caps each partition. executor: `auto` is `compiled` on the CPU and `blocks` elsewhere; block is
    the fixed number of rows of every execution of `blocks`.
    """

    def __init__(
        self,
        model: Model,
        *,
        max_streams: int,
        device: str = "auto",
        block: int = 256,
        executor: Literal["auto", "compiled", "blocks"] = "auto",
    ) -> None:
        self.device = pick_device(device)
        self.model = model.to(self.device).eval()
        self.spec = model.spec
        self.evicted_total = 0
        self._table = SlotTable(max_streams)
        self._scorer = Scorer(self.spec, self.device)
        fresh = model.state(1) | self._scorer.fresh()
        fresh["last_offset"] = torch.full((1,), -1, dtype=torch.int64, device=self.device)
        self._slab = Slab(fresh, self.device)
        self._executor = self._make_executor(executor, block)
        self._targets = [self.spec.features.index(t) for t in self.spec.targets]
        self._warmed: set[tuple[int, int]] = set()

    def _make_executor(self, kind: Literal["auto", "compiled", "blocks"], block: int) -> Executor:
        if kind == "compiled" or (kind == "auto" and self.device.type == "cpu"):
            from streamrnn.engine.compiled import Compiled  # numba is loaded only where it is used

            return Compiled(self.model, self._slab, self._scorer)
        return Blocks(self.model, self._slab, self._scorer, block)

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

    def step(self, ticks: TickBatch, warm: bool = False) -> PredictionBatch:
        """Move each tick's stream one step, in arrival order per stream; `warm` marks a rebuilt state."""
        if not len(ticks):
            return self._empty(ticks)
        placed = self._table.place(ticks.partition, ticks.streams)
        self.evicted_total += placed.evicted
        self._slab.grow(self._table.size)
        plan = plan_waves(placed.slots)
        outcome = self._executor.run(ticks, plan, placed.fresh)
        origin = self._origins(ticks, placed.slots, placed.fresh, warm)
        return self._predictions(ticks, plan, outcome, origin, placed.evicted)

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

    def _predictions(
        self, ticks: TickBatch, plan: Plan, outcome: Outcome, origin: NDArray[np.uint8], evicted: int
    ) -> PredictionBatch:
        truth = ticks.values[:, None, self._targets]
        return PredictionBatch(
            ticks=ticks,
            values=outcome.said,
            residual=(truth - outcome.forecast)[:, 0],
            steps=outcome.steps,
            origin=origin,
            ok=outcome.ok,
            errors=sum_errors(truth, outcome.forecast, outcome.persistence),
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
        rows = self._slab.gather(torch.tensor([slot for *_, slot in found], device=self.device))
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


def _known(names: tuple[str, ...], values: list[float]) -> dict[str, float]:
    return {name: value for name, value in zip(names, values, strict=True) if not math.isnan(value)}
