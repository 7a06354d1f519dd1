"""Owns the retrain job that a daemon runs when told to: one process at a time, its limits, its last words.

The job has its own session and lower priority, and ends with the daemon. Knows no HTTP and no model.
"""

import asyncio
import logging
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from streamrnn.config import PREFIX, RESERVED, Settings, options
from streamrnn.metrics import Metrics
from streamrnn.process.terminal import moment, plain

log = logging.getLogger(__name__)

DEFAULT_COMMAND = (sys.executable, "-m", "streamrnn", "retrain")
POLL_S = 0.05
READ_BYTES = 65_536
KEPT_BYTES = 16_384
KEPT_LINES = 20
LONGEST_GRACE_S = 5.0
"""Between SIGTERM and SIGKILL."""
LONGEST_DEATH_S = 1.0
"""After SIGKILL."""
MASK = "**********"

_LOWERED = """
import os, sys
parent, nice, *command = sys.argv[1:]
os.nice(int(nice))
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(1)
try:
    os.execvp(command[0], command)
except OSError as error:
    print(f"cannot run {command[0]}: {error.strerror}", flush=True)
    sys.exit(127)
"""
"""Run before the command in its process: preexec_fn is unsafe beside threads. 1 is PR_SET_PDEATHSIG, 9 SIGKILL."""


class Trigger:
    """The jobs of one daemon: `start` one, look at its `state`, `close` at the end. For the event loop's thread."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._retrain, self._metrics = settings.retrain, metrics
        self._settings = settings
        self._grace_s = min(LONGEST_GRACE_S, settings.limits.shutdown_budget_s / 2)
        self._job: _Job | None = None
        self._following: asyncio.Task[None] | None = None
        self.is_closed = False
        metrics.retrain_enabled()

    def is_running(self) -> bool:
        """Whether a job runs."""
        return self._job is not None and not self._job.outcome

    def wait_s(self) -> float:
        """Seconds until the next start is allowed by `retrain.min_interval_s`; 0 when it is."""
        if self._job is None:
            return 0.0
        return max(0.0, self._job.began_s + self._retrain.min_interval_s - time.monotonic())

    def start(self) -> int:
        """Run `retrain.command`; the job's number. OSError when the system has no place for a process."""
        assert not self.is_running(), "ask first"
        assert not self.is_closed, "ask first"
        command = shlex.split(self._retrain.command) if self._retrain.command else DEFAULT_COMMAND
        number = self._job.number + 1 if self._job else 1
        process = _launch(command, self._retrain.nice, _environment(self._settings))
        self._job = _Job(number, process, _secrets(self._settings))
        self._metrics.retrain_started()
        self._following = asyncio.create_task(self._follow(self._job), name=f"retrain-{number}")
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
        self.is_closed = True
        if self._following is not None:
            await asyncio.wait({self._following})

    async def _follow(self, job: "_Job") -> None:
        is_late = False
        try:
            while not job.is_over():
                if self.is_closed or job.seconds() > self._retrain.timeout_s:
                    is_late = not self.is_closed
                    job.say(f"not finished after {job.seconds():.0f} s" if is_late else "the daemon ends")
                    await self._end(job)
                    break
                await asyncio.sleep(POLL_S)
        finally:
            job.finish()
            self._conclude(job, is_late)

    async def _end(self, job: "_Job") -> None:
        for number, seconds in ((signal.SIGTERM, self._grace_s), (signal.SIGKILL, LONGEST_DEATH_S)):
            job.signal(number)
            if await _ended_within(job, seconds):
                return

    def _conclude(self, job: "_Job", is_late: bool) -> None:
        job.outcome = "timed_out" if is_late else "succeeded" if job.exit_code() == 0 else "failed"
        self._metrics.retrain_ended(job.outcome, job.seconds(), time.time())
        how = f"retrain job {job.number} {job.outcome} after {job.seconds():.0f} s, exit code {job.exit_code()}"
        if job.outcome == "succeeded":
            return log.info(how)
        return log.warning("%s: %s", how, plain("".join(job.lines()[-1:])) or "it said nothing")


_NO_JOB = {"state": "idle", "number": 0, "started": None, "seconds": None, "exit_code": None, "lines": []}


class _Job:
    """One process and what it said last."""

    def __init__(self, number: int, process: "subprocess.Popen[bytes]", secrets: Sequence[str]) -> None:
        assert process.stdout is not None
        self.number, self.outcome = number, ""
        self.began_s = time.monotonic()
        self._process, self._secrets = process, secrets
        self._output = process.stdout
        self._started_ms = int(time.time() * 1000)
        self._took_s: float | None = None
        self._kept, self._is_cut = b"", False
        os.set_blocking(self._output.fileno(), False)

    def seconds(self) -> float:
        """How long it has run."""
        return time.monotonic() - self.began_s if self._took_s is None else self._took_s

    def exit_code(self) -> int | None:
        """None while it runs; minus the signal that ended it."""
        code: int | None = self._process.returncode
        return code

    def is_over(self) -> bool:
        """Whether the process has ended; takes in what it has said meanwhile, a pipe full at most."""
        is_over = self._process.poll() is not None
        self._read()
        return is_over

    def signal(self, number: signal.Signals) -> None:
        """To the process and all that it started in its session."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def finish(self) -> None:
        """Nothing of it stays; what it said is kept."""
        self.signal(signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(LONGEST_DEATH_S)
        self._read()
        self._output.close()
        self._took_s = self.seconds()

    def say(self, text: str) -> None:
        """Add a line of our own."""
        self._keep(f"\nstreamrnn: {text}\n".encode())

    def _read(self) -> None:
        with suppress(BlockingIOError):
            self._keep(os.read(self._output.fileno(), READ_BYTES))

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


async def _ended_within(job: _Job, seconds: float) -> bool:
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        if job.is_over():
            return True
        await asyncio.sleep(POLL_S)
    return job.is_over()


def _launch(command: Sequence[str], nice: int, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    """Without a shell, without our input; what it prints comes through one pipe."""
    lowered = [sys.executable, "-I", "-S", "-c", _LOWERED, str(os.getpid()), str(nice)]
    return subprocess.Popen(
        [*lowered, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=environment,
    )


def _environment(settings: Settings) -> dict[str, str]:
    """Ours, for a child that is to load these settings, wherever they came from; all but how it is started."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(PREFIX) or name.upper().startswith(RESERVED)
    }
    for option in options():
        table = getattr(settings, option.section)
        value, default = getattr(table, option.name), type(table).model_fields[option.name].default
        if option.section != "retrain" and value is not None and value != default:
            inherited[option.variable] = value.get_secret_value() if option.secret else str(value)
    return inherited


def _secrets(settings: Settings) -> list[str]:
    """All that are set, in the clear; the longest first, for one may begin as another does."""
    found = [getattr(getattr(settings, option.section), option.name) for option in options() if option.secret]
    clear = {value.get_secret_value() for value in found if value is not None} - {""}
    return sorted(clear, key=len, reverse=True)
