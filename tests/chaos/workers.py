"""Workers as processes: started, frozen, killed, ended, and watched over HTTP. Knows no broker.

A worker may carry a fault (see faulty.py): then it runs `streamrnn serve` with that one thing broken on purpose.
"""

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from streamrnn.config import Settings
from tests.kafka.forked import Forked, fork
from tests.kafka.served import Served

ROOT = Path(__file__).parent.parent.parent
PATIENCE_S = 60.0
"""The first process on a machine compiles its step: some ten seconds, twice that on a busy one."""


class Worker(Served):
    """One process of `streamrnn serve`."""

    def __init__(self, process: asyncio.subprocess.Process | Forked, log: Path) -> None:
        super().__init__(process, log)
        self.pid = process.pid

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        with suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)
        await self.ended()

    def freeze(self) -> None:
        """SIGSTOP: it neither reads, writes nor beats, and knows nothing of it."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    async def killed(self) -> None:
        """Wait until its own fault has ended it with SIGKILL."""
        code = await self.ended()
        assert code == -signal.SIGKILL, f"it ended with {code}, not by its fault:\n{self.log()}"

    async def frozen(self) -> None:
        """Wait until its own fault has stopped it."""
        await until(self._is_frozen, f"worker {self.pid} to freeze")

    def _is_frozen(self) -> bool:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    async def total(self, name: str) -> float:
        """The sum of a metric over all its labels; 0 while it is not there."""
        found = re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", await self.metrics(), re.MULTILINE)
        return sum(map(float, found))

    async def metrics(self) -> str:
        """The exposition; empty while the process cannot answer."""
        if "http on" not in self.log():
            return ""
        try:
            return (await self.get("/metrics"))[1]
        except OSError:
            return ""

    async def until_total(self, name: str, least: float) -> None:
        """Wait until a metric has grown."""

        async def has_grown() -> bool:
            assert self.is_running(), f"it ended while {name} was to reach {least}:\n{self.log()[-3000:]}"
            return await self.total(name) >= least

        await until(has_grown, f"{name} to reach {least}")

    async def status(self) -> dict[str, Any]:
        """What /status shows."""
        found: dict[str, Any] = json.loads((await self.get("/status"))[1])
        return found

    async def live(self) -> list[int]:
        """The partitions that it serves."""
        return [int(number) for number, phase in (await self.status())["partitions"].items() if phase == "live"]

    async def state_of(self, partition: int, stream: str) -> dict[str, Any] | None:
        """What /streams/KEY shows, None where it is not held."""
        status, body = await self.get(f"/streams/{stream}?partition={partition}")
        return json.loads(body) if status == 200 else None

    def resident_bytes(self) -> int:
        """Memory it holds now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


class Fleet:
    """All workers of a test; none outlives it."""

    def __init__(self, settings: Settings, bundle: Path, folder: Path) -> None:
        self.settings, self.workers = settings, list[Worker]()
        self._bundle, self._folder = bundle, folder

    async def start(self, *flags: str, fault: str = "", ready: bool = True, **facts: Any) -> Worker:
        """A new worker, and wait until it is ready; `fault` and `facts` as faulty.py knows them."""
        log = self._folder / f"worker-{len(self.workers)}.log"
        given = [*flags_of(self.settings), f"--model.path={self._bundle}", "--http.port=0", *flags]
        process: asyncio.subprocess.Process | Forked
        if fault:  # wraps names before what uses them is imported
            process = await _with_fault([fault, facts], given, log)
        else:
            process = await fork(["serve", *given], log)
        worker = Worker(process, log)
        self.workers.append(worker)
        if ready:
            await worker.until_ready()
        return worker

    async def close(self) -> None:
        """Kill whoever runs; show what they said, for who looks for the reason of a failure."""
        for number, worker in enumerate(self.workers):
            if worker.is_running():
                await worker.kill()
            print(f"--- worker {number}, pid {worker.pid}\n{worker.log()[-6000:]}")


async def _with_fault(facts: list[Any], given: list[str], log: Path) -> asyncio.subprocess.Process:
    with log.open("wb") as output:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.chaos.faulty", json.dumps(facts), "serve", *given),
            stdout=output,
            stderr=output,
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )


def flags_of(settings: Settings) -> list[str]:
    """The flags that make these settings from the defaults; no secrets."""
    return [
        f"--{section}.{name}={value}"
        for section, table in settings.model_dump(exclude_defaults=True).items()
        for name, value in table.items()
        if not isinstance(value, SecretStr)
    ]


async def until(happened: Callable[[], bool | Awaitable[bool]], what: str, seconds: float = PATIENCE_S) -> None:
    """Wait until it is so."""
    end = time.monotonic() + seconds
    while True:
        answer = happened()
        if answer if isinstance(answer, bool) else await answer:
            return
        assert time.monotonic() < end, f"waited {seconds:g} s for {what}"
        await asyncio.sleep(0.05)
