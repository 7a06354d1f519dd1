"""`streamrnn serve` with one thing broken on purpose: python -m tests.chaos.faulty '["FAULT", {FACTS}]' serve ...

The product has no hooks for tests: a fault wraps what it breaks by name, so a name that is gone fails here.
"""

import errno
import importlib
import inspect
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

FAULTS: dict[str, Callable[..., None]] = {}
STEP = "streamrnn.engine.engine:Engine.step"
_PATH: dict[str, tuple[str | int, str]] = {
    "fetched": ("streamrnn.kafka.reading.member:Source.fetch", "after"),
    "stepped": (STEP, "after"),
    "produce": (0, "before"),
    "produced": (0, "after"),
}
_ENDS: dict[str, tuple[str | int, str]] = {
    "offsets": (28, "before"),
    "offsets sent": (28, "after"),
    "commit": (26, "before"),
    "committed": (26, "after"),
}
_PLAIN_ENDS: dict[str, tuple[str | int, str]] = {"plain commit": (8, "before"), "plain committed": (8, "after")}
_SNAPSHOTS: dict[str, tuple[str | int, str]] = {
    "part written": ("streamrnn.snapshots.drawer:Drawer.write_part", "after"),
    "manifest next": ("streamrnn.snapshots.draft:Draft._seal", "before"),
    "manifest written": ("streamrnn.snapshots.draft:Draft.finish", "after"),
    "pruned": ("streamrnn.snapshots.shelf:Shelf.prune", "after"),
}
_RECOVERIES: dict[str, tuple[str | int, str]] = {
    "loaded": ("streamrnn.engine.engine:Engine.load", "after"),
    "replayed": (f"{STEP} warm", "after"),
}
ON_THE_PATH, ON_THE_PLAIN_PATH = (*_PATH, *_ENDS), (*_PATH, *_PLAIN_ENDS)
OF_SNAPSHOTS, OF_RECOVERIES = tuple(_SNAPSHOTS), tuple(_RECOVERIES)
POINTS = _PATH | _ENDS | _PLAIN_ENDS | _SNAPSHOTS | _RECOVERIES
"""Where a worker can be struck: a function by name, or a request by its API key, and before or after it.

After a request means: answered by the broker, the worker not told yet.
"""


def fault(make: Callable[..., None]) -> Callable[..., None]:
    """Give a fault its name."""
    FAULTS[make.__name__] = make
    return make


@fault
def die(at: str, nth: int = 1) -> None:
    """SIGKILL at the n-th time the point is passed."""
    strike(at, nth, lambda: os.kill(os.getpid(), signal.SIGKILL))


@fault
def freeze(at: str, nth: int = 1) -> None:
    """SIGSTOP there: all of the process, until somebody sends SIGCONT."""
    strike(at, nth, lambda: os.kill(os.getpid(), signal.SIGSTOP))


@fault
def stall(at: str, nth: int = 1, seconds: float = 2.0, times: int = 1) -> None:
    """The thread that passes the point sleeps there, as one that waits for a device does.

    Of a device no row is at hand, so the event loop takes no step itself, as it may with few ticks on a CPU.
    """
    owner, name, _ = located("streamrnn.engine.engine:Engine.is_at_hand")
    setattr(owner, name, lambda self, ticks: False)
    strike(at, nth, lambda: time.sleep(seconds), times)


@fault
def unreadable(partition: int, times: int) -> None:
    """The log of one partition cannot be read again, so often."""
    refuse, left = found("streamrnn.errors:BrokerUnavailable"), times
    owner, name, real = located("streamrnn.kafka.reading.member:Source.read_again")

    def read_again(self: Any, number: int, *range_: int) -> Any:
        nonlocal left
        if number == partition and left > 0:
            left -= 1
            raise refuse("broken on purpose")
        return real(self, number, *range_)

    setattr(owner, name, read_again)


@fault
def full_disk(switch: str) -> None:
    """While the file `switch` exists, nothing that is written to a file reaches the disk."""
    real = os.fsync

    def fsync(file: int) -> None:
        if Path(switch).exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file)

    os.fsync = fsync


def strike(at: str, nth: int, act: Callable[[], None], times: int = 1) -> None:
    """Do it when the point is passed for the n-th time, and the times after that."""
    target, moment = POINTS[at]
    passed = 0

    def passing() -> None:
        nonlocal passed
        passed += 1
        if nth <= passed < nth + times:
            act()

    if isinstance(target, int):
        _on_request(target, moment, passing)
    else:
        _on_call(*target.split(), moment=moment, passing=passing)


def _on_request(api: int, moment: str, passing: Callable[[], None]) -> None:
    """At requests of one API; of EndTxn only those that commit, of Produce only those that carry something."""
    from aiokafka.conn import AIOKafkaConnection

    real = AIOKafkaConnection.send

    async def answered(answer: Any) -> Any:
        result = await answer
        passing()
        return result

    @wraps(real)
    def send(self: Any, request: Any, *args: Any, **named: Any) -> Any:
        if api != request.API_KEY or getattr(request, "_transaction_result", True) is False:
            return real(self, request, *args, **named)
        if moment == "before":
            passing()
        answer = real(self, request, *args, **named)
        return answered(answer) if moment == "after" else answer

    AIOKafkaConnection.send = send


def _on_call(where: str, only: str = "live", *, moment: str, passing: Callable[[], None]) -> None:
    """At calls of a function that get something done: of a step those with ticks, warm ones or live ones."""
    owner, name, real = located(where)

    def counts(arguments: dict[str, Any], result: Any) -> bool:
        if name == "step":
            return bool(len(arguments["ticks"])) and arguments.get("warm", False) == (only == "warm")
        return moment == "before" or name != "fetch" or bool(result)

    if inspect.iscoroutinefunction(real):

        @wraps(real)
        async def wrapped(*args: Any, **named: Any) -> Any:
            if moment == "before":
                passing()
            result = await real(*args, **named)
            if moment == "after" and counts(_arguments(real, args, named), result):
                passing()
            return result
    else:

        @wraps(real)
        def wrapped(*args: Any, **named: Any) -> Any:
            if moment == "before":
                passing()
            result = real(*args, **named)
            if moment == "after" and counts(_arguments(real, args, named), result):
                passing()
            return result

    setattr(owner, name, wrapped)


def _arguments(real: Any, args: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    return dict(inspect.signature(real).bind(*args, **named).arguments)


def located(where: str) -> tuple[Any, str, Any]:
    """The owner, name and value of `module:Class.function` or `module:function`."""
    module, _, path = where.partition(":")
    owner = importlib.import_module(module)
    *outer, name = path.split(".")
    for each in outer:
        owner = getattr(owner, each)
    return owner, name, inspect.getattr_static(owner, name)


def found(where: str) -> Any:
    """What `module:name` names."""
    return located(where)[2]


def main() -> int:
    """Break it, then be the command line."""
    name, facts = json.loads(sys.argv[1])
    FAULTS[name](**facts)
    from streamrnn.cli import main as command

    return command(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
