"""Owns the retrain job that a daemon runs when told to: one process at a time, its limits, its last words.

The job has its own session and lower priority, and ends with the daemon. Knows no HTTP and no model.
"""

import asyncio
import logging
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from streamrnn.config import Settings, environment_of, options
from streamrnn.metrics import Counters
from streamrnn.process.children import tied
from streamrnn.process.terminal import moment, plain

log = logging.getLogger(__name__)

DEFAULT_COMMAND = (sys.executable, "-m", "streamrnn", "retrain")
READ_BYTES = 65_536
READ_PAUSE_S = 0.02
"""Between two looks at what a job says: one that floods its output waits, the event loop does not."""
KEPT_BYTES = 16_384
KEPT_LINES = 20
LONGEST_GRACE_S = 5.0
"""Between SIGTERM and SIGKILL."""
LONGEST_DEATH_S = 1.0
"""After SIGKILL."""
MASK = "**********"


class Retrainer:
    """The jobs of one daemon: `start` one, look at its `state`, `close` at the end. For the event loop's thread."""

    def __init__(
        self, settings: Settings, metrics: Counters, default_command: Sequence[str] = DEFAULT_COMMAND
    ) -> None:
        self._retrain, self._metrics = settings.retrain, metrics
        self._settings, self._default_command = settings, default_command
        self._grace_s = min(LONGEST_GRACE_S, settings.limits.shutdown_budget_s / 2)
        self._job: _RetrainJob | None = None
        self._launching, self._closing = asyncio.Lock(), asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        metrics.retrain_enabled()

    @property
    def is_closed(self) -> bool:
        """Whether no job is started any more."""
        return self._closing.is_set()

    def is_running(self) -> bool:
        """Whether a job runs, or is about to."""
        return self._launching.locked() or (self._job is not None and not self._job.outcome)

    def wait_s(self) -> float:
        """Seconds until the next start is allowed by `retrain.min_interval_s`; 0 when it is."""
        if self._job is None:
            return 0.0
        return max(0.0, self._job.began_s + self._retrain.min_interval_s - time.monotonic())

    async def start(self) -> int:
        """Run `retrain.command`; the job's number. OSError when the system has no place for a process."""
        assert not self.is_running(), "ask first"
        assert not self.is_closed, "ask first"
        command = shlex.split(self._retrain.command) if self._retrain.command else self._default_command
        number = self._job.number + 1 if self._job else 1
        async with self._launching:
            job = _RetrainJob(number, _secrets(self._settings))
            await job.launch(
                tied(command, self._retrain.nice, is_guarded=True),
                environment_of(self._settings, without=("retrain",)),
            )
            self._job = job
            self._following = asyncio.create_task(self._follow(job), name=f"retrain-{number}")
        self._metrics.retrain_started()
        log.info("retrain job %d started", number)
        return number

    def state(self) -> dict[str, Any]:
        """The newest job, ready for JSON."""
        return _NO_JOB | ({} if self._job is None else self._job.facts())

    async def close_when(self, stop: asyncio.Event) -> None:
        """End the job as soon as `stop` is set."""
        await stop.wait()
        await self.close()

    async def close(self) -> None:
        """End the job, SIGTERM and then SIGKILL, and start no other; may be called twice."""
        self._closing.set()
        async with self._launching:  # one that is being launched is ended too
            following = self._following
        if following is not None:
            await asyncio.wait({following})

    async def _follow(self, job: "_RetrainJob") -> None:
        """See a job through: to its own end, to its time's, or to the daemon's."""
        is_late = False
        closing = asyncio.create_task(self._closing.wait())
        try:
            await asyncio.wait(
                {job.ended, closing}, timeout=self._retrain.timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not job.ended.done():
                is_late = not self.is_closed
                job.say(f"not finished after {job.seconds():.0f} s" if is_late else "the daemon ends")
                await self._end(job)
        finally:
            closing.cancel()
            await job.finish()
            self._conclude(job, is_late)

    async def _end(self, job: "_RetrainJob") -> None:
        for number, seconds in ((signal.SIGTERM, self._grace_s), (signal.SIGKILL, LONGEST_DEATH_S)):
            job.signal(number)
            if await job.has_ended_within(seconds):
                return

    def _conclude(self, job: "_RetrainJob", is_late: bool) -> None:
        job.outcome = "timed_out" if is_late else "succeeded" if job.exit_code() == 0 else "failed"
        self._metrics.retrain_ended(job.outcome, job.seconds(), time.time())
        how = f"retrain job {job.number} {job.outcome} after {job.seconds():.0f} s, exit code {job.exit_code()}"
        if job.outcome == "succeeded":
            return log.info(how)
        return log.warning("%s: %s", how, plain("".join(job.lines()[-1:])) or "it said nothing")


_NO_JOB = {"state": "idle", "number": 0, "started": None, "seconds": None, "exit_code": None, "lines": []}


class _RetrainJob:
    """One process and what it said last. `ended` is done when the process has ended.

    Its output is a pipe of our own: asyncio's would hold `ended` up for as long as a grandchild keeps it open.
    """

    def __init__(self, number: int, secrets: Sequence[str]) -> None:
        self.number, self.outcome = number, ""
        self.began_s = time.monotonic()
        self._started_ms = int(time.time() * 1000)
        self._took_s: float | None = None
        self._secrets = secrets
        self._kept, self._is_cut = b"", False
        self._loop = asyncio.get_running_loop()

    async def launch(self, command: Sequence[str], environment: dict[str, str]) -> None:
        """Begin, without a shell and without our input; what it prints comes through one pipe."""
        self._output, its_end = os.pipe()
        os.set_blocking(self._output, False)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=its_end,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                env=environment,
            )
        except BaseException:
            os.close(self._output)
            raise
        finally:
            os.close(its_end)
        self.ended = asyncio.create_task(self._process.wait())
        self._listen()

    def seconds(self) -> float:
        """How long it has run."""
        return time.monotonic() - self.began_s if self._took_s is None else self._took_s

    def exit_code(self) -> int | None:
        """None while it runs; minus the signal that ended it."""
        return self._process.returncode

    async def has_ended_within(self, seconds: float) -> bool:
        """Whether the process ends soon."""
        await asyncio.wait({self.ended}, timeout=seconds)
        return self.ended.done()

    def signal(self, number: signal.Signals) -> None:
        """To the process and all that it started in its session."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def finish(self) -> None:
        """Nothing of it stays; what it said is kept."""
        self.signal(signal.SIGKILL)
        await self.has_ended_within(LONGEST_DEATH_S)
        self.ended.cancel()
        self._loop.remove_reader(self._output)
        self._resume.cancel()
        self._read()
        os.close(self._output)
        self._took_s = self.seconds()

    def say(self, text: str) -> None:
        """Add a line of our own."""
        self._keep(f"\nstreamrnn: {text}\n".encode())

    def _listen(self) -> None:
        """Look again when there is something to read, but not at once."""
        self._resume = self._loop.call_later(READ_PAUSE_S, self._loop.add_reader, self._output, self._hear)

    def _hear(self) -> None:
        self._loop.remove_reader(self._output)
        if self._read():
            self._listen()

    def _read(self) -> bool:
        """Keep what it has said, a pipe full at most; False when it will say no more."""
        try:
            said = os.read(self._output, READ_BYTES)
        except BlockingIOError:
            return True
        self._keep(said)
        return bool(said)

    def _keep(self, said: bytes) -> None:
        kept = self._kept + said
        self._is_cut = self._is_cut or len(kept) > KEPT_BYTES
        self._kept = kept[-KEPT_BYTES:]

    def lines(self) -> list[str]:
        """Its last lines, without secrets: a line that is not whole may hold a part of one and is not shown."""
        text = self._kept.decode(errors="replace")
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        shown = text.splitlines()[self._is_cut :]
        if not self.outcome and not text.endswith(("\n", "\r")):
            shown = shown[:-1]
        return [line for line in shown if line.strip()][-KEPT_LINES:]

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "state": "failed" if self.outcome == "timed_out" else self.outcome or "running",
            "number": self.number,
            "started": moment(self._started_ms),
            "seconds": self.seconds(),
            "exit_code": self.exit_code() if self.outcome else None,
            "lines": self.lines(),
        }


def _secrets(settings: Settings) -> list[str]:
    """All that are set, in the clear; the longest first, for one may begin as another does."""
    found = [getattr(getattr(settings, option.section), option.name) for option in options() if option.secret]
    clear = {value.get_secret_value() for value in found if value is not None} - {""}
    return sorted(clear, key=len, reverse=True)
