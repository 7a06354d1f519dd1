"""`streamrnn serve` in a process of its own: its log, its pages, its end."""

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from signal import Signals

from pydantic import SecretStr

from streamrnn.config import Settings
from tests.kafka.forked import Forked, fork
from tests.kafka.reading_back import read_range

PATIENCE_S = 60.0
"""The first process on a machine compiles its step: some ten seconds, twice that on a busy one."""
_MAIN = "import sys; from streamrnn.cli import main; sys.exit(main())"


class Served:
    """A running daemon, as an operator sees it."""

    def __init__(self, process: asyncio.subprocess.Process | Forked, log: Path) -> None:
        self._process, self._log = process, log
        self.said = ""

    def log(self) -> str:
        """All it has said."""
        return self._log.read_text() if self._log.exists() else self.said

    def last_line(self) -> str:
        """The last thing it said."""
        return self.log().strip().splitlines()[-1]

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    def signal(self, number: Signals) -> None:
        """Send a signal and do not wait."""
        self._process.send_signal(number)

    async def stop(self, number: Signals) -> int:
        """Send a signal and wait for the exit code."""
        self.signal(number)
        return await self.ended()

    async def ended(self) -> int:
        """The exit code."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._process.wait()

    async def until_log(self, text: str) -> None:
        """Wait until it has said something."""
        await self._until(lambda: text in self.log(), f"to say {text!r}")

    async def until_metric(self, name: str, least: float) -> None:
        """Wait until a metric without labels has grown."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.metric(name) < least:
                await asyncio.sleep(0.02)

    async def until_ready(self) -> None:
        """Wait until every partition is live."""
        await self.until_log("http on")
        async with asyncio.timeout(PATIENCE_S):
            while (await self.get("/readyz"))[0] != 200:
                await asyncio.sleep(0.02)

    async def metric(self, name: str) -> float:
        """A metric by its name, and labels if it has some."""
        await self.until_log("http on")
        found = re.search(rf"^{re.escape(name)} (\S+)$", (await self.get("/metrics"))[1], re.MULTILINE)
        return float(found[1]) if found else 0.0

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page."""
        return await self.ask("GET", path)

    async def ask(self, method: str, path: str, sent: str = "", **headers: str) -> tuple[int, str]:
        """Status and body of the answer to any request."""
        port = int(re.findall(r"http on 127\.0\.0\.1:(\d+)", self.log())[-1])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(sent)}", *lines, "", ""])
        writer.write((head + sent).encode())
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        return int(head.split()[1]), body

    async def _until(self, happened: object, what: str) -> None:
        assert callable(happened)
        for _ in range(int(PATIENCE_S / 0.02)):
            if happened():
                return
            assert self.is_running(), f"it ended while expected {what}:\n{self.log()}"
            await asyncio.sleep(0.02)
        raise TimeoutError(f"it was expected {what}:\n{self.log()}")


@asynccontextmanager
async def start(
    settings: Settings,
    bundle: Path | None,
    *flags: str,
    prefix: Sequence[str] = (),
    program: str = _MAIN,
    **environment: str,
) -> AsyncIterator[Served]:
    """Serve `bundle`, or the model that is named, as `settings` say, but for secrets, on a free HTTP port.

    By way of `prefix`, a program that becomes another; killed at the end.
    """
    given = [
        f"--{section}.{name}={value}"
        for section, table in settings.model_dump(exclude_defaults=True).items()
        for name, value in table.items()
        if not isinstance(value, SecretStr)
    ]
    given += [] if bundle is None else [f"--model.path={bundle}"]
    given += ["--http.port=0", *flags]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        process: asyncio.subprocess.Process | Forked
        if sys.platform == "linux" and not prefix and not environment and program == _MAIN:
            process = await fork(["serve", *given], log)
        else:
            with log.open("wb") as output:
                process = await asyncio.create_subprocess_exec(
                    *(*prefix, sys.executable, "-c", program, "serve", *given),
                    stdout=output,
                    stderr=output,
                    env=os.environ | environment,
                )
        served = Served(process, log)
        try:
            yield served
        finally:
            if served.is_running():
                process.kill()
                await process.wait()
            served.said = served.log()


async def positions_of(settings: Settings) -> list[tuple[int, int]]:
    """Source partition and offset of every prediction in the log, in log order by partition."""
    out = settings.model_copy(update={"input": settings.input.model_copy(update={"topic": settings.output.topic})})
    found = []
    for partition in range(2):
        async for records in read_range(out, partition, 0, 10_000_000, 5000):
            facts = [dict(record.headers) for record in records]
            found += [(int(f["src-partition"]), int(f["src-offset"])) for f in facts]
    return found
