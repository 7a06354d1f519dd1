"""Owns how a child process ends with its parent, also with one that is killed. Knows no child."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from streamrnn.errors import NotInTime

_TIED = """
import os, sys
parent, nice, is_guarded, *command = sys.argv[1:]
os.nice(int(nice))
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(1)
    if int(is_guarded) and os.fork() == 0:
        import select, signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        try:
            select.select([os.pidfd_open(int(parent))], [], [])
        except ProcessLookupError:
            pass
        except OSError:
            os._exit(0)
        os.killpg(0, 9)
try:
    os.execvp(command[0], command)
except OSError as error:
    print(f"cannot run {command[0]}: {error.strerror}", flush=True)
    sys.exit(127)
"""
"""Run before the command in its process: preexec_fn is unsafe beside threads. 1 is PR_SET_PDEATHSIG, 9 SIGKILL.

The death signal goes to the command alone, not to what the command starts. So a guard, a process of the same group
that waits for our end, kills the group. Where the kernel cannot tell a process of our end there is no guard.
"""


def tied(command: Sequence[str], nice: int = 0, is_guarded: bool = False) -> list[str]:
    """The words that run a command, `nice` lower in priority, so that Linux kills it when we end.

    It is the end of the launching thread that counts. A command that is not there says so and exits with 127.
    is_guarded: what the command has started is killed with it. Then the command must lead a group of its own, and
    whoever ends the command must kill that group, for a guard is in it.
    """
    words = [str(os.getpid()), str(nice), str(int(is_guarded)), *command]
    return [sys.executable, "-I", "-S", "-c", _TIED, *words]


def end_with_input() -> None:
    """End this process, a child, when its standard input ends: on every system, and whatever runs here."""

    def wait() -> None:
        os.read(0, 1)  # not sys.stdin, whose lock a thread must not hold when the interpreter ends
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


class InputEnd:
    """Watches for the end of this process's standard input: its parent wants the process to end, or is gone.

    Made before all that may hang, imports too: until `stops` there is nothing to end in order, and the process ends
    at once. On every system.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._order: tuple[Callable[[], object], float] | None = None
        threading.Thread(target=self._wait, name="input", daemon=True).start()

    def stops(self, stop: asyncio.Event, longest_s: float) -> None:
        """Set `stop`, of the loop that runs, at the end of the input from now on.

        The process is ended `longest_s` later where it is still there: it hangs, and nobody may see that.
        """
        order = partial(asyncio.get_running_loop().call_soon_threadsafe, stop.set)
        with self._lock:
            self._order = order, longest_s

    def _wait(self) -> None:
        os.read(0, 1)
        with self._lock:
            if self._order is None:
                os._exit(0)
        order, longest_s = self._order
        with suppress(RuntimeError):  # the loop is closed: it has ended already
            order()
        time.sleep(longest_s)
        os._exit(NotInTime.exit_code)
