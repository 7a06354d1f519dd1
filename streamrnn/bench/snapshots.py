"""Times what snapshots cost, through the daemon's own keeper: steps meanwhile, writing, and a restart from them.

Knows no broker: what is stepped counts as committed.
"""

import asyncio
import dataclasses
import resource
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from streamrnn.bench.engine_alone import make_ticks
from streamrnn.bench.job import Job, RestoredRow, StepsRow, WrittenRow, make_settings, make_spec
from streamrnn.metrics import Metrics
from streamrnn.nn.model import Model
from streamrnn.process.interpreter import tuned_interpreter
from streamrnn.provenance.pedigree import Pedigree
from streamrnn.ticks import TickBatch
from streamrnn.worker.line import make_line
from streamrnn.worker.partition import Partition, Phase

BATCH = 1024
FILL = 8192
PICKS = 64
SNAPSHOTS = 8
CHANGED_SHARE = 0.01
LATEST = 2**62
LONGEST_S = 3600.0
"""For a snapshot; whoever asked gives up before."""


class _Step(NamedTuple):
    """Seconds on the engine thread, and from the submission to the end."""

    seconds: float
    turn_s: float


class _Bed:
    """The part of a worker that snapshots are about: an engine on a thread, a keeper and one partition."""

    def __init__(self, job: Job) -> None:
        settings = make_settings(job)
        torch.manual_seed(7)
        model = Model(make_spec(job.cell, job.hidden))
        self.line = make_line(model, settings, Metrics())
        self.engine, self.thread, self.keeper = self.line.engine, self.line.thread, self.line.keeper
        pedigree = Pedigree(model.spec.label, self.line.fingerprint, 0, 0)
        self.partition = Partition(0, Phase.LIVE, committed=0)
        self.partition.serving.place(0, pedigree)
        self._layers, self._settled_s = 0, time.monotonic()
        self._commit_s = job.commit_interval_ms / 1000

    async def step(self, ticks: TickBatch) -> _Step:
        """The next ticks of the partition; undo layers live as long as in the daemon."""
        partition, start, begun = self.partition, self.partition.serving.position, time.perf_counter()
        ticks = dataclasses.replace(ticks, offset=np.arange(start, start + len(ticks)))
        stepping = self.thread.call(self._step, ticks)
        partition.serving.position += len(ticks)
        seconds = await stepping
        turn_s = time.perf_counter() - begun
        self._commit()
        return _Step(seconds, turn_s)

    def _commit(self) -> None:
        """What is stepped counts as committed; undo layers go when the daemon would commit."""
        self.partition.committed = self.partition.serving.position
        self._layers += 1
        now = time.monotonic()
        if now - self._settled_s >= self._commit_s:
            self.thread.post(self.engine.settle, self._layers)
            self._layers, self._settled_s = 0, now

    def _step(self, ticks: TickBatch) -> float:
        started = time.perf_counter()
        self.engine.step(ticks)
        return time.perf_counter() - started

    async def fill(self, streams: int) -> None:
        """A first tick of each stream."""
        for numbers in _cut(np.arange(streams), FILL):
            await self.step(make_ticks(numbers, 0))

    async def snapshot(self, *, full: bool) -> float:
        """Seconds until it is written and old ones are gone."""
        started = time.perf_counter()
        if full:
            self.keeper.forget(self.partition.number)
        await self.keeper.last([self.partition], LONGEST_S)
        return time.perf_counter() - started


@asynccontextmanager
async def _bed(job: Job) -> AsyncIterator[_Bed]:
    """A bed in a process set as the daemon's."""
    bed = _Bed(job)
    try:
        with tuned_interpreter():
            yield bed
    finally:
        bed.thread.close(wait=True)


async def steps_during(job: Job) -> StepsRow:
    """Steps of random streams without a snapshot and during one, as many of each, in turns."""
    rng = np.random.default_rng(7)
    picks = [make_ticks(rng.integers(0, job.streams, BATCH), number) for number in range(PICKS)]
    without: list[_Step] = []
    during: list[_Step] = []
    async with _bed(job) as bed:
        await bed.fill(job.streams)
        for turn in range(SNAPSHOTS + 1):
            now = await _steps_while(bed, picks, asyncio.create_task(bed.snapshot(full=True)))
            alone = [await bed.step(picks[number % PICKS]) for number in range(len(now))]
            if turn:  # the first warms up
                during += now
                without += alone
    return _steps_row(job, without, during)


async def _steps_while(bed: _Bed, picks: list[TickBatch], taking: "asyncio.Task[float]") -> list[_Step]:
    steps: list[_Step] = []
    while not taking.done():
        steps.append(await bed.step(picks[len(steps) % PICKS]))
    await taking
    return steps


def _steps_row(job: Job, without: list[_Step], during: list[_Step]) -> StepsRow:
    named: dict[str, float] = {}
    for kind, steps in (("without", without), ("during", during)):
        for part, seconds in (("", [s.seconds for s in steps]), ("turn_", [s.turn_s for s in steps])):
            for share in (50, 99):
                named[f"{kind}_{part}p{share}_us"] = float(np.percentile(seconds, share)) * 1e6
    return StepsRow(streams=job.streams, batch=BATCH, snapshots=SNAPSHOTS, steps_during=len(during), **named)


async def written(job: Job) -> WrittenRow:
    """A full snapshot of `job.streams` streams, and one of those that changed since."""
    changed = max(1, int(job.streams * CHANGED_SHARE))
    folder = Path(job.folder)
    async with _bed(job) as bed:
        await bed.fill(job.streams)
        full_s, full_bytes = await bed.snapshot(full=True), _bytes_in(folder)
        chosen = np.random.default_rng(7).permutation(job.streams)[:changed]
        for numbers in _cut(chosen, BATCH):
            await bed.step(make_ticks(numbers, 1))
        changed_s = await bed.snapshot(full=False)
        return WrittenRow(
            streams=job.streams,
            row_bytes=bed.engine.row_bytes,
            full_s=full_s,
            full_bytes=full_bytes,
            changed=changed,
            changed_s=changed_s,
            changed_bytes=_bytes_in(folder) - full_bytes,
            peak_bytes=_peak_bytes(),
        )


async def restored(job: Job) -> RestoredRow:
    """A restart: what `written` left, found, checked, and in the engine. ValueError where streams are missing."""
    async with _bed(job) as bed:
        start_bytes, started = _peak_bytes(), time.perf_counter()
        await bed.keeper.restore(bed.partition.number, LATEST, None, None)
        restore_s = time.perf_counter() - started
        held = bed.engine.resident + bed.engine.parked
        if held != job.streams:
            raise ValueError(f"{held} of {job.streams} streams were restored")
        return RestoredRow(
            streams=job.streams, restore_s=restore_s, start_bytes=start_bytes, peak_bytes=_peak_bytes()
        )


def _cut(numbers: NDArray[np.int64], length: int) -> Iterator[NDArray[np.int64]]:
    return (numbers[start : start + length] for start in range(0, len(numbers), length))


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _peak_bytes() -> int:
    """Most memory this process has held (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
