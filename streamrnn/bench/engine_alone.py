"""Times the engine's step without a broker, beside the plain step it must beat, in turns on the same rows."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from streamrnn.bench.job import EngineRow, Job, make_spec
from streamrnn.engine.engine import Engine
from streamrnn.nn.model import Model
from streamrnn.nn.spec import CellKind
from streamrnn.ticks import TickBatch

RESIDENT = 10_000
PICKS = 8
ROUNDS = 5
Work = Callable[[int], object]


def engine_table(job: Job) -> list[EngineRow]:
    """A row for each cell, hidden size and batch; `job.limit_s` seconds for each measurement."""
    shapes = itertools.product(job.cells, job.hiddens, job.batches)
    return [_row(job, cell, hidden, batch) for cell, hidden, batch in shapes]


def _row(job: Job, cell: CellKind, hidden: int, batch: int) -> EngineRow:
    torch.manual_seed(7)
    engine = Engine(Model(make_spec(cell, hidden)), max_streams=max(RESIDENT, batch), device=job.device)
    picks = _picks(max(RESIDENT, batch), batch)
    device = engine.device
    works = (_engine_work(engine, picks), _plain_work(hidden, picks, device))
    engine_us, plain_us = _in_turns(works, job.limit_s, device)
    return EngineRow(
        cell=cell, hidden=hidden, batch=batch, step_us=engine_us, plain_us=plain_us, device=device.type
    )


def _picks(resident: int, batch: int) -> list[NDArray[np.int64]]:
    """PICKS random choices of `batch` different streams among those resident."""
    rng = np.random.default_rng(7)
    return [rng.permutation(resident)[:batch] for _ in range(PICKS)]


def _engine_work(engine: Engine, picks: list[NDArray[np.int64]]) -> Work:
    """The whole of Engine.step: place, keep what undoing takes, gather, transform, cell, head, score, scatter, and
    back to numpy; settled as after a commit."""
    batches = [make_ticks(pick, number) for number, pick in enumerate(picks)]

    def work(turn: int) -> None:
        engine.step(batches[turn % PICKS])
        engine.settle(1)

    engine.step(make_ticks(np.arange(max(RESIDENT, len(picks[0]))), 0))
    engine.settle(1)
    return work


def make_ticks(streams: NDArray[np.int64], number: int) -> TickBatch:
    """One tick of each of these streams, values and times by the batch's number."""
    n = len(streams)
    values = np.random.default_rng(number).normal(size=(n, 2)).astype(np.float32)
    times = np.full(n, 1_700_000_000_000 + number * 1000, dtype=np.int64)
    keys = [b"stream-%07d" % stream for stream in streams.tolist()]
    return TickBatch(np.zeros(n, np.int32), np.arange(n, dtype=np.int64), times, times, keys, values, times)


def _plain_work(hidden: int, picks: list[NDArray[np.int64]], device: torch.device) -> Work:
    """nn.GRUCell between index_select and index_copy_: rows and inputs are there, nothing else is done."""
    cell = nn.GRUCell(2, hidden).to(device)
    states = torch.zeros(max(RESIDENT, len(picks[0])), hidden, device=device)
    rows = [torch.from_numpy(pick).to(device) for pick in picks]
    x = torch.randn(len(picks[0]), 2, device=device)

    @torch.inference_mode()
    def work(turn: int) -> None:
        at = rows[turn % PICKS]
        states.index_copy_(0, at, cell(x, states.index_select(0, at)))

    return work


def _in_turns(works: tuple[Work, Work], seconds: float, device: torch.device) -> list[float]:
    """Median microseconds of each over ROUNDS short rounds, one after the other in every round."""
    times: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for work, spent in zip(works, times, strict=True):
            spent.append(statistics.median(_timed(work, seconds / ROUNDS, device)) * 1e6)
    return [statistics.median(spent) for spent in times]


def _timed(work: Work, seconds: float, device: torch.device) -> Iterator[float]:
    """Seconds of each call, at least five, after two that warm up."""
    end = time.perf_counter() + seconds
    for turn in itertools.count():
        started = time.perf_counter()
        work(turn)
        if device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        if turn >= 2:
            yield now - started
        if turn >= 6 and now > end:
            return
