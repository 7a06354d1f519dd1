"""What every tick of a log must give: plain Python over a dict of rows, each tick stepped alone.

Nothing is placed, parked, undone or captured here: a stream's row is lifted out of the dict, moved by one tick in
an executor of its own, and put back as the newest.
"""

from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from streamrnn.engine.rows.columns import fresh_rows
from streamrnn.engine.rows.key_table import KeyTable
from streamrnn.engine.rows.slab import Slab
from streamrnn.engine.rows.slots import Slots
from streamrnn.engine.step.blocks import Blocks
from streamrnn.engine.step.compiled import Compiled
from streamrnn.engine.step.policies import Rules
from streamrnn.engine.step.score import Scorer
from streamrnn.engine.step.waves import Plan
from streamrnn.nn.model import Model
from streamrnn.ticks import Endings, PredictionBatch, TickBatch

BLOCK = 16
Row = tuple[bytes, bytes]
"""Floats and integers, as bytes: equal if and only if every bit is."""


class Said(NamedTuple):
    """What one tick gave; values and residual as bytes, empty where the tick was refused."""

    status: int
    steps: int
    values: bytes
    residual: bytes


def said_of(batch: PredictionBatch) -> dict[tuple[int, int], Said]:
    """By partition and offset."""
    rows = zip(batch.ticks.partition.tolist(), batch.ticks.offset.tolist(), batch.status.tolist(),
               batch.steps.tolist(), batch.values, batch.residual, strict=True)  # fmt: skip
    return {
        (p, o): Said(status, steps, values.tobytes() if status == 0 else b"", residual.tobytes())
        for p, o, status, steps, values, residual in rows
    }


class Alone:
    """Moves one row by one tick."""

    def __init__(self, model: Model, executor: str, rules: Rules) -> None:
        scorer = Scorer(model.spec, torch.device("cpu"))
        self.slab = Slab(fresh_rows(model, scorer), torch.device("cpu"))
        self.slab.grow(2)
        slots = Slots(KeyTable(), reserved=2)
        self._executor: Compiled | Blocks = (
            Compiled(model, self.slab, slots, scorer, rules)
            if executor == "compiled"
            else Blocks(model, self.slab, slots, scorer, BLOCK, rules)
        )
        self.fresh = self._row(*self.slab.read(np.array([0])))

    @staticmethod
    def _row(floats: np.ndarray, integers: np.ndarray) -> Row:
        return floats.tobytes(), integers.tobytes()

    def step(self, row: Row, tick: TickBatch) -> tuple[Row, Said]:
        self.slab.write(np.array([1]), np.frombuffer(row[0], "f4")[None], np.frombuffer(row[1], "i8")[None])
        plan = Plan(np.array([1]), np.array([0]), np.array([1]))
        [said] = said_of(self._executor.run(tick, plan, np.array([False]), None, False)).values()
        return self._row(*self.slab.read(np.array([1]))), said


class Oracle:
    """The one right answer to a log: `said` by (partition, offset), and what is `held` of a partition before each
    offset, the least recently ticked first. room: streams a partition remembers; ends (n,) which of the log are no
    ticks but the ends of their streams' states."""

    def __init__(self, alone: Alone, log: TickBatch, room: int, ends: NDArray[np.bool_]) -> None:
        self.said: dict[tuple[int, int], Said] = {}
        self.held: dict[tuple[int, int], OrderedDict[bytes, Row]] = {}
        now: dict[int, OrderedDict[bytes, Row]] = {p: OrderedDict() for p in set(log.partition.tolist())}
        for i, stream in enumerate(log.streams):
            partition, offset = int(log.partition[i]), int(log.offset[i])
            rows = now[partition]
            self.held[partition, offset] = rows.copy()
            if ends[i]:
                rows.pop(stream, None)
                continue
            if stream not in rows and len(rows) == room:
                rows.popitem(last=False)
            row = rows.pop(stream, alone.fresh)
            rows[stream], self.said[partition, offset] = alone.step(row, part(log, [i]))
        for partition, rows in now.items():
            self.held[partition, int((log.partition == partition).sum())] = rows


def part(log: TickBatch, at: list[int], ends: NDArray[np.bool_] | None = None) -> TickBatch:
    """Some ticks of a log, and the ends among them."""
    endings = None
    if ends is not None and ends[at].any():
        which = np.flatnonzero(ends[at])
        before, last = which - np.arange(len(which)), [at[i] for i in which.tolist()]
        endings = Endings(before, log.partition[last], [log.streams[i] for i in last])
        at = [i for i in at if not ends[i]]
    return TickBatch(
        log.partition[at], log.offset[at], log.time_ms[at], log.arrival_ms[at], [log.streams[i] for i in at],
        log.values[at], log.order[at], endings,
    )  # fmt: skip


def make_log(seed: int, n: int, streams: int, partitions: int = 2) -> TickBatch:
    """n ticks whose offsets count from 0 in each partition: missing values, poison in runs, times and sequences
    that repeat and go back."""
    rng = np.random.default_rng(seed)
    partition = rng.integers(0, partitions, n).astype(np.int32)
    offset = np.array([int((partition[:i] == p).sum()) for i, p in enumerate(partition)])
    values = rng.normal(size=(n, 2)).astype(np.float32).cumsum(0)
    values[rng.random(values.shape) < 0.1] = np.nan
    keys = (rng.zipf(1.3, n) % streams).tolist()
    sick = rng.random(streams) < 0.3
    for i, key in enumerate(keys):
        if rng.random() < (0.6 if sick[key] else 0.02):
            values[i] = np.inf
    time = 1_700_000_000_000 + np.arange(n) * 60_000 - (rng.random(n) < 0.3) * rng.integers(0, 6, n) * 60_000
    order = np.arange(n) // 2 - (rng.random(n) < 0.2) * rng.integers(0, 8, n)
    return TickBatch(partition, offset, time, time, [b"s%d" % k for k in keys], values, order)
