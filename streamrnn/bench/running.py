"""A job's child process, and the broker that it works on: each is gone when it is not needed any more.

Knows no measurement.
"""

import asyncio
import os
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import IO

import msgspec

from streamrnn.bench.job import Job
from streamrnn.bench.ticker import lay_out
from streamrnn.demo.embedded_broker import EmbeddedBroker
from streamrnn.errors import EngineError

START_S = 60.0
COMPILE_S = 120.0
"""Of a child that is the first to step after the code has changed, on a machine that others use."""
SLOWEST_ROWS_PER_S = 5000
"""Of snapshots, below which the bench gives up."""


async def answer(job: Job) -> bytes:
    """What a child says of a job whose size is its streams."""
    async with child(job) as asked:
        return await asked.line(COMPILE_S + START_S + job.streams / SLOWEST_ROWS_PER_S)


@asynccontextmanager
async def broker(job: Job) -> AsyncIterator[Job]:
    """The job on topics of its own, on a fresh embedded broker unless it names a broker."""
    own = msgspec.structs.replace(job, topic=f"bench-{uuid.uuid4().hex[:8]}")
    async with AsyncExitStack() as stack:
        if not job.bootstrap:
            embedded = await stack.enter_async_context(EmbeddedBroker())
            own = msgspec.structs.replace(own, bootstrap=embedded.bootstrap)
        await lay_out(own)
        yield own


class Child:
    """A running child process."""

    def __init__(self, job: Job, process: asyncio.subprocess.Process, log: IO[bytes]) -> None:
        self._job, self._process, self._log = job, process, log

    async def line(self, seconds: float) -> bytes:
        """Its next line; EngineError with its last words when it ends or takes too long."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(seconds):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise EngineError(f"bench: {self._job.role} gave no answer in {seconds:.0f} s") from None
        if not line:
            self._log.seek(0)
            words = self._log.read()[-2000:].decode(errors="replace").strip()
            raise EngineError(f"bench: {self._job.role} ended without an answer: {words}")
        return line


@asynccontextmanager
async def child(job: Job) -> AsyncIterator[Child]:
    """A child that has said it is ready; it is gone when this ends, whichever way."""
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "streamrnn.bench.child"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=_environment(),
            limit=1 << 20,
        )
        try:
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode(job) + b"\n")
            running = Child(job, process, log)
            await running.line(START_S)
            yield running
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def _environment() -> dict[str, str]:
    """One thread for each library: two cores are shared with the broker."""
    return os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
