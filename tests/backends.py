"""Object stores for tests, served by fsspec in memory: empty, slow, full, denied, or one step at a time."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem


class NoCredentials(Exception):
    """What a client library raises that knows no OSError."""


class Backend(MemoryFileSystem):  # type: ignore[misc]
    """In memory, without exclusive create: a create overwrites; `before` runs before each operation on files."""

    protocol = "fake"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix("fake://")))

    @staticmethod
    def before(operation: str, path: str) -> None:
        """Replaced by a test."""

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        Backend.before("write", path)
        super().pipe_file(path, value)

    def find(self, path: str, *args: Any, **kwargs: Any) -> Any:
        Backend.before("list", path)
        return super().find(path, *args, **kwargs)

    def ls(self, path: str, *args: Any, **kwargs: Any) -> Any:
        Backend.before("list", path)
        return super().ls(path, *args, **kwargs)

    def cat_file(self, path: str, *args: Any, **kwargs: Any) -> Any:
        Backend.before("read", path)
        return super().cat_file(path, *args, **kwargs)

    def rm_file(self, path: str) -> None:
        Backend.before("delete", path)
        super().rm_file(path)


fsspec.register_implementation("fake", Backend, clobber=True)


def empty_all() -> None:
    """Forget every file in memory, and what stands before operations."""
    for kind in (MemoryFileSystem, Backend):
        kind.store.clear()
        kind.pseudo_dirs[:] = [""]
    Backend.before = staticmethod(lambda operation, path: None)  # type: ignore[method-assign]


def stand_before(call: Any) -> None:
    """Call this with (operation, path) before each operation."""
    Backend.before = staticmethod(call)  # type: ignore[method-assign]


def slow(longest_s: float) -> None:
    """Let each operation take a while, another one each time."""
    stand_before(lambda operation, path: time.sleep(random.uniform(0, longest_s)))


def full_at(write: int) -> None:
    """Let the `write`-th write from now fail as a full disk does."""
    writes = iter(range(1, 1_000))

    def refuse(operation: str, path: str) -> None:
        if operation == "write" and next(writes) == write:
            raise OSError(28, "No space left on device")

    stand_before(refuse)


class Turns:
    """Lets threads named "0", "1" ... do one operation each time it is their turn."""

    def __init__(self, threads: list[threading.Thread]) -> None:
        self._threads = threads
        self._go = [threading.Semaphore(0) for _ in threads]
        self._stopped = threading.Semaphore(0)
        self._free = False

    def wait(self, operation: str, path: str) -> None:
        """What stands before each operation: stop until it is this thread's turn."""
        if not self._free:
            self._stopped.release()
            self._go[int(threading.current_thread().name)].acquire()

    def play(self, schedule: tuple[int, ...]) -> None:
        """Start the threads, give turns in this order, then let all run to their ends."""
        for thread in self._threads:
            thread.start()
            self._stopped.acquire(timeout=10)
        for turn in schedule:
            if self._threads[turn].is_alive():
                self._go[turn].release()
                while not self._stopped.acquire(timeout=0.001) and self._threads[turn].is_alive():
                    pass
        self._free = True
        for gate, thread in zip(self._go, self._threads, strict=True):
            gate.release()
            thread.join(10)


@contextmanager
def running(threads: list[threading.Thread]) -> Iterator[None]:
    """Threads that run while the block does, and to their ends."""
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join(60)
