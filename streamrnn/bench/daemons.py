"""Whole daemons of one worker and of several on the same backlog: `streamrnn serve`, watched over HTTP as users do.

A run is measured from the moment when every worker serves its share until most of the backlog is done: before that
the first worker has all partitions, after it some have run dry.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import urlopen

import torch

from streamrnn.bench.job import Job, Measured, make_settings, make_spec
from streamrnn.config import Settings, environment_of
from streamrnn.errors import EngineError
from streamrnn.nn.bundle import save_bundle
from streamrnn.nn.model import Model
from streamrnn.process.children import tied
from streamrnn.process.scratch import ScratchFolder

LOOK_S = 0.25
START_S = 120.0
DONE = 0.9
"""Share of the backlog up to which a run is measured."""


class Moment(NamedTuple):
    """What had been predicted by then, and the processor time that the workers had spent."""

    at_s: float
    ticks: float
    cpu_s: float


async def daemon_speed(job: Job) -> Measured:
    """Serve the backlog of `job.topic` with `job.workers` workers."""
    with ScratchFolder("streamrnn-bench-") as folder:
        torch.manual_seed(7)
        save_bundle(Model(make_spec(job.cell, job.hidden)), folder / "model")
        async with _daemon(_settings(job, folder), folder / "log") as daemon:
            return await _measure(job, daemon)


def _settings(job: Job, folder: Path) -> Settings:
    settings = make_settings(job)
    update = {
        "model": settings.model.model_copy(update={"path": folder / "model"}),
        "http": settings.http.model_copy(update={"enabled": True, "port": 0}),
        "process": settings.process.model_copy(update={"workers": job.workers}),
    }
    return settings.model_copy(update=update)


class _Daemon:
    """A running daemon, as one sees it over HTTP."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process, self._log = process, log

    async def get(self, path: str) -> str:
        """A page; EngineError where the daemon has ended."""
        return await asyncio.to_thread(self._get, path)

    def _get(self, path: str) -> str:
        said = self._log.read_text()
        if self._process.returncode is not None:
            raise EngineError(f"bench: the daemon ended: {said[-2000:]}")
        if "http on " not in said:
            return ""
        try:
            with urlopen(f"http://{said.partition('http on ')[2].split()[0]}{path}", timeout=10) as answer:
                body: str = answer.read().decode()
                return body
        except HTTPError:
            return ""

    async def workers(self) -> list[dict[str, Any]]:
        """Process and partitions of each worker, of the daemon itself where it is the only one."""
        said = json.loads(await self.get("/status") or "{}")
        found: list[dict[str, Any]] = said.get("workers") or [said | {"pid": self._process.pid}]
        return found

    async def moment(self, pids: list[int]) -> Moment:
        """How far it is."""
        lines = (await self.get("/metrics")).splitlines()
        ticks = sum(
            float(line.rpartition(" ")[2]) for line in lines if line.startswith("streamrnn_predictions_total")
        )
        return Moment(time.perf_counter(), ticks, sum(map(_cpu_s, pids)))


@asynccontextmanager
async def _daemon(settings: Settings, log: Path) -> AsyncIterator[_Daemon]:
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *tied([sys.executable, "-m", "streamrnn", "serve"]),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=output,
            env=environment_of(settings),
        )
    try:
        yield _Daemon(process, log)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _measure(job: Job, daemon: _Daemon) -> Measured:
    pids = await _until_shared(job, daemon)
    moments = [await daemon.moment(pids)]
    end_s = moments[0].at_s + job.limit_s
    while moments[-1].ticks < DONE * job.ticks and moments[-1].at_s < end_s:
        await asyncio.sleep(LOOK_S)
        moments.append(await daemon.moment(pids))
    kept = [moment for moment in moments if moment.ticks < DONE * job.ticks] or moments[:1]
    first, last = kept[0], kept[-1]
    ticks = last.ticks - first.ticks
    if ticks <= 0:
        raise ValueError("the backlog was done before it could be measured: more --ticks")
    return Measured(
        ticks=int(ticks),
        ticks_per_s=ticks / (last.at_s - first.at_s),
        cpu_us_per_tick=(last.cpu_s - first.cpu_s) / ticks * 1e6,
    )


async def _until_shared(job: Job, daemon: _Daemon) -> list[int]:
    """Wait until every worker serves its share; their processes."""
    share, end_s = job.partitions // job.workers, time.perf_counter() + START_S
    while time.perf_counter() < end_s:
        workers = await daemon.workers()
        live = [sum(phase == "live" for phase in each.get("partitions", {}).values()) for each in workers]
        if all(count >= share for count in live):
            return [each["pid"] for each in workers]
        await asyncio.sleep(LOOK_S)
    raise EngineError(f"bench: {job.workers} workers did not share {job.partitions} partitions in {START_S:.0f} s")


def _cpu_s(pid: int) -> float:
    """Processor time of a process; 0 on a system that does not tell."""
    try:
        spent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    except OSError:
        return 0.0
    return sum(map(int, spent)) / os.sysconf("SC_CLK_TCK")
