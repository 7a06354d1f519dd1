"""Times and weighs the engine from a few streams to millions: growing, and then ticks in random order.

The whole of a step, keys included; ticks come as columns, as a topic's do. Knows no broker.
"""

import gc
import os
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from streamrnn.bench.job import Growth, Job, ScaleRow, StepCost, StepTimes, make_spec
from streamrnn.engine.engine import Engine
from streamrnn.engine.rows.key_table import KeyTable
from streamrnn.engine.rows.slots import COLUMNS
from streamrnn.nn.model import Model
from streamrnn.process.interpreter import tuned_interpreter
from streamrnn.ticks import TickBatch
from streamrnn.ticks.byte_spans import Spans

NEW = 1024
"""Streams that come in one step while the engine grows."""
STRETCHES = 200
"""Of the growth, the longest step of each of which is told."""
LEAST_STEPS = 50
"""That are timed at each batch size, however long they take."""
SLOT_BYTES = sum(np.dtype(kind).itemsize for kind in COLUMNS.values())
"""To know whose a row is and when it was last used."""
PREFIX = b"stream-"
DIGITS = 9
"""Of a stream's number: with the prefix, sixteen bytes, which a key's record holds by itself."""


class _Spent(NamedTuple):
    """Seconds of a step, and of them those that the engine's thread had the processor."""

    wall_s: float
    cpu_s: float


class _TickMaker:
    """The ticks of one partition of so many streams."""

    def __init__(self, streams: int) -> None:
        self._streams, self._rng = streams, np.random.default_rng(7)
        self._waiting = np.zeros(0, np.int64)
        self._offset = 0

    def of(self, streams: NDArray[np.int64]) -> TickBatch:
        """The next tick of each, in this order."""
        n, offset = len(streams), self._offset
        self._offset += n
        times = np.full(n, 1_700_000_000_000 + offset, np.int64)
        values = self._rng.normal(size=(n, 2)).astype(np.float32)
        offsets = np.arange(offset, offset + n)
        return TickBatch(np.zeros(n, np.int32), offsets, times, times, _keys(streams), values, times)

    def any(self, n: int) -> TickBatch:
        """The next n ticks where all streams tick in turn, each turn in a random order of its own."""
        while len(self._waiting) < n:
            self._waiting = np.concatenate((self._waiting, self._rng.permutation(self._streams)))
        chosen, self._waiting = self._waiting[:n], self._waiting[n:]
        return self.of(chosen)


def _keys(streams: NDArray[np.int64]) -> Spans:
    """stream-000000017 and so on, one behind the other."""
    n, size = len(streams), len(PREFIX) + DIGITS
    text = np.empty((n, size), np.uint8)
    text[:, : len(PREFIX)] = np.frombuffer(PREFIX, np.uint8)
    text[:, len(PREFIX) :] = streams[:, None] // 10 ** np.arange(DIGITS - 1, -1, -1) % 10 + ord("0")
    return Spans(text.ravel(), size * np.arange(n), np.full(n, size))


async def scaled(job: Job) -> ScaleRow:
    """Grow to `job.streams` streams, weigh, and time batches of each size for `job.limit_s` seconds at least."""
    torch.manual_seed(7)
    model = Model(make_spec(job.cell, job.hidden))
    _warm_up(model, job)
    with tuned_interpreter():
        before = _resident_bytes()
        engine, feed = Engine(model, max_streams=job.streams, device=job.device), _TickMaker(job.streams)
        grown = _grow(engine, feed, job.streams)
        held = _resident_bytes() - before
        costs = [_cost(engine, feed, batch, job.limit_s) for batch in job.batches]
    return ScaleRow(
        streams=job.streams,
        measured_bytes=held / job.streams,
        row_bytes=engine.slab_bytes / job.streams,
        key_bytes=_key_bytes(job.streams) / job.streams,
        slot_bytes=SLOT_BYTES,
        growth=_growth(grown, job.streams),
        costs=costs,
    )


def _warm_up(model: Model, job: Job) -> None:
    """Compile all that is compiled, and take what a process takes but once."""
    engine, feed = Engine(model, max_streams=NEW, device=job.device), _TickMaker(NEW)
    for batch in (1, NEW, *job.batches):
        _timed(engine, feed.any(batch))


def _grow(engine: Engine, feed: _TickMaker, streams: int) -> list[_Spent]:
    starts = range(0, streams, NEW)
    return [_timed(engine, feed.of(np.arange(at, min(at + NEW, streams)))) for at in starts]


def _cost(engine: Engine, feed: _TickMaker, batch: int, seconds: float) -> StepCost:
    """Each batch is made anew: were it stepped before, its rows might be in the processor's caches still."""
    spent: list[_Spent] = []
    end_s = time.perf_counter() + seconds
    while len(spent) < LEAST_STEPS or time.perf_counter() < end_s:
        spent.append(_timed(engine, feed.any(batch)))
    wall_us, cpu_us = np.array(spent).T * 1e6 / batch
    p50_us, p99_us = np.percentile(wall_us, [50, 99]).tolist()
    return StepCost(batch=batch, p50_us=p50_us, p99_us=p99_us, cpu_us=float(np.median(cpu_us)))


def _timed(engine: Engine, ticks: TickBatch) -> _Spent:
    """One step, settled as after a commit."""
    wall_s, cpu_s = time.perf_counter(), time.thread_time()
    engine.step(ticks)
    engine.settle(1)
    return _Spent(time.perf_counter() - wall_s, time.thread_time() - cpu_s)


def _growth(grown: list[_Spent], streams: int) -> Growth:
    """Its steps together, and the longest of each stretch."""
    wall_ms, cpu_ms = np.array(grown).T * 1e3
    longest = [
        (min(NEW * (int(stretch[-1]) + 1), streams), float(wall_ms[stretch].max()), float(cpu_ms[stretch].max()))
        for stretch in np.array_split(np.arange(len(grown)), min(STRETCHES, len(grown)))
    ]
    return Growth(steps=len(grown), wall=_step_times(wall_ms), cpu=_step_times(cpu_ms), longest=longest)


def _step_times(ms: NDArray[np.float64]) -> StepTimes:
    return StepTimes(mean_ms=float(ms.mean()), p999_ms=float(np.percentile(ms, 99.9)), max_ms=float(ms.max()))


def _key_bytes(streams: int) -> int:
    """What a table of as many keys takes, names included."""
    table = KeyTable()
    for at in range(0, streams, NEW):
        table.add(np.zeros(1, np.int32), _keys(np.arange(at, min(at + NEW, streams))))
    return table.nbytes


def _resident_bytes() -> int:
    """Memory that this process has now; 0 on a system that does not tell."""
    gc.collect()
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
