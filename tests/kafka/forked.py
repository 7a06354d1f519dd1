"""Daemons forked from one process that has imported what they need: imports and the compiled step take seconds.

What is forked runs the command line as `python -m streamrnn` does, with a process, signals and an end of its own.
Tests of the start itself, of faults and of another interpreter's environment start a new interpreter.
"""

import asyncio
import atexit
import json
import os
import runpy
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from signal import SIGKILL

ROOT = Path(__file__).parent.parent.parent


class Forked:
    """A process that is not our child, with what asyncio's Process has of it."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._writer = writer
        self._ending = asyncio.create_task(self._watch(reader))

    async def _watch(self, reader: asyncio.StreamReader) -> int:
        self.returncode = int(await reader.readline())
        self._writer.close()
        return self.returncode

    async def wait(self) -> int:
        """Its exit code; minus the signal's number when one has killed it."""
        return await asyncio.shield(self._ending)

    def send_signal(self, number: int) -> None:
        """ProcessLookupError when it has ended."""
        if self.returncode is not None:
            raise ProcessLookupError(self.pid)
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(SIGKILL)


async def fork(arguments: list[str], log: Path) -> Forked:
    """`python -m streamrnn` with these arguments, this process's environment, and its output in a file."""
    reader, writer = await asyncio.open_unix_connection(await asyncio.to_thread(_address))
    request = {"arguments": arguments, "log": str(log), "environment": dict(os.environ)}
    writer.write(json.dumps(request).encode() + b"\n")
    return Forked(int(await reader.readline()), reader, writer)


@cache
def _address() -> str:
    """Of the process that forks, started once a session; it ends with its standard input."""
    folder = tempfile.mkdtemp(prefix="streamrnn-fork-")
    address = f"{folder}/socket"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.kafka.forked", address],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == b"listening\n"

    def end() -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        process.wait(10)
        Path(address).unlink(missing_ok=True)
        Path(folder).rmdir()

    atexit.register(end)
    return address


class Server:
    """Forks on request and tells how each child ended. One thread: a lock of another would stay shut in a child."""

    def __init__(self, address: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(address)
        self._listener.listen(64)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(0, selectors.EVENT_READ)
        self._children: dict[int, tuple[int, socket.socket]] = {}

    def serve(self) -> list[str] | None:
        """None once the standard input has ended; in each child, its arguments."""
        print("listening", flush=True)
        while True:
            for key, _ in self._selector.select():
                if key.fd == 0:
                    return None
                if key.fileobj is self._listener:
                    arguments = self._fork(self._listener.accept()[0])
                    if arguments is not None:
                        return arguments
                else:
                    self._end(key.fd)

    def _fork(self, asker: socket.socket) -> list[str] | None:
        with asker.makefile("rb") as lines:
            request = json.loads(lines.readline())
        assert len(os.listdir("/proc/self/task")) == threading.active_count() == 1
        pid = os.fork()
        if pid == 0:
            asker.close()
            self._close()
            return _become(request)
        descriptor = os.pidfd_open(pid)
        self._children[descriptor] = pid, asker
        self._selector.register(descriptor, selectors.EVENT_READ)
        asker.sendall(b"%d\n" % pid)
        return None

    def _end(self, descriptor: int) -> None:
        pid, asker = self._children.pop(descriptor)
        self._selector.unregister(descriptor)
        os.close(descriptor)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with suppress(OSError):  # the test may have ended before its daemon
            asker.sendall(b"%d\n" % code)
        asker.close()

    def _close(self) -> None:
        self._selector.close()
        self._listener.close()
        for descriptor, (_, asker) in self._children.items():
            os.close(descriptor)
            asker.close()


def _become(request: dict[str, object]) -> list[str]:
    log = os.open(str(request["log"]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, standard in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, standard)
    os.close(log)
    os.close(nothing)
    environment, arguments = request["environment"], request["arguments"]
    assert isinstance(environment, dict)
    assert isinstance(arguments, list)
    os.environ.clear()
    os.environ.update(environment)
    return arguments


def _import_all() -> None:
    """What a daemon imports, and the step as compiled earlier, for a model as the tests serve it."""
    import streamrnn.service
    import streamrnn.worker.assembly
    import streamrnn.worker.line  # noqa: F401
    from streamrnn.config import Settings
    from streamrnn.engine.making import make_engine
    from streamrnn.nn.model import Model
    from streamrnn.nn.spec import Channel, ModelSpec

    spec = ModelSpec(name="toy", features=("x",), targets=("x",), channels=(Channel("x"),), hidden=8)
    make_engine(Model(spec), Settings())


def main() -> None:
    """Serve, and in each child be the command line."""
    _import_all()
    arguments = Server(sys.argv[1]).serve()
    if arguments is not None:
        sys.argv = ["streamrnn", *arguments]
        runpy.run_module("streamrnn", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
