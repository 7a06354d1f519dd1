"""Owns one process of a worker: begun with settings of its own, told to end, killed. Knows no reason for any.

Its standard input is a pipe that only the supervisor holds open. The pipe's end tells it to end, also where the
supervisor was killed. A signal would not do: where systemd sends one to every process of the daemon, the worker
would take the supervisor's for the second, which ends at once.
"""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from streamrnn.config import Settings
from streamrnn.process.seats import Seat

PROGRAM = (sys.executable, "-m", "streamrnn.supervising.worker_main")


class WorkerProcess:
    """A process that was begun; `launch` begins one."""

    def __init__(self, process: asyncio.subprocess.Process, line: int) -> None:
        self._process, self._line = process, line
        self.pid = process.pid

    async def ended(self) -> int:
        """Wait for its end; the exit code, as a shell says it where a signal was the reason."""
        code = await self._process.wait()
        self.end()
        return code if code >= 0 else 128 - code

    def end(self) -> None:
        """Tell it to end in order; may be called twice."""
        line, self._line = self._line, -1
        if line >= 0:
            os.close(line)

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            self._process.kill()


async def launch(seat: Seat, environment: Mapping[str, str], program: Sequence[str] = PROGRAM) -> WorkerProcess:
    """Begin a worker, in a session of its own: what a terminal sends is for the supervisor."""
    # Who was killed has left its socket, where the new one would be asked, and found stalled, before it listens.
    seat.socket.unlink(missing_ok=True)
    its_end, ours = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *(*program, str(seat.number), str(seat.folder)),
            stdin=its_end,
            env=environment,
            start_new_session=True,
        )
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(its_end)
    return WorkerProcess(process, ours)


def settings_of(number: int, settings: Settings) -> Settings:
    """The settings of one worker of several: names that must be its own get its number, and it has its own anew."""
    kafka, delivery = settings.kafka, settings.delivery
    kafka = kafka.model_copy(update={"group_instance_id": _numbered(kafka.group_instance_id, number)})
    delivery = delivery.model_copy(update={"transactional_id": _numbered(delivery.transactional_id, number)})
    return settings.model_copy(update={"kafka": kafka, "delivery": delivery})


def _numbered(name: str | None, number: int) -> str | None:
    return None if name is None else f"{name}-{number}"
