"""Owns the lives of all workers: each is begun, begun anew after its end, and ended with the rest.

Knows what a process is by its face: whoever makes the crew says how one is begun.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from streamrnn.metrics import WorkerCounts
from streamrnn.process.seats import Seat
from streamrnn.process.stopping import unless
from streamrnn.supervising.restarts import Patience, Restarts

log = logging.getLogger(__name__)
LAUNCH_FAILED = 1


class Running(Protocol):
    """A worker that was begun."""

    pid: int

    async def ended(self) -> int:
        """Wait for its end; the exit code."""

    def end(self) -> None:
        """Tell it to end in order."""

    def kill(self) -> None:
        """End it at once."""


class Crew:
    """The workers of one daemon. `longest_s`: from the word to end until a worker is killed."""

    def __init__(
        self,
        seats: Sequence[Seat],
        launch: Callable[[Seat], Awaitable[Running]],
        longest_s: float,
        counts: WorkerCounts,
        patience: Patience = Patience(),  # noqa: B008
    ) -> None:
        self._seats, self._launch, self._longest_s = seats, launch, longest_s
        self._counts, self._patience = counts, patience
        self._running: dict[int, Running] = {}
        self._why = {seat.number: "it is being begun" for seat in seats}

    async def run(self, stop: asyncio.Event) -> int:
        """Until `stop` is set, by others or by a worker whose end is the end of all; the exit code."""
        self._seats[0].turn.hold_back()
        lives = [asyncio.create_task(self._live(seat, stop), name=f"worker-{seat.number}") for seat in self._seats]
        try:
            codes = await asyncio.gather(*lives)
        finally:
            for life in lives:
                life.cancel()
            await asyncio.gather(*lives, return_exceptions=True)
        return next((code for code in codes if code), 0)

    def pid(self, number: int) -> int | None:
        """The process of a worker, while it has one."""
        running = self._running.get(number)
        return None if running is None else running.pid

    def why(self, number: int) -> str:
        """Why a worker has no process, where it has none."""
        return self._why[number]

    def kill(self) -> None:
        """End all at once."""
        for running in self._running.values():
            running.kill()

    async def _live(self, seat: Seat, stop: asyncio.Event) -> int:
        """One worker's lives; the exit code that it has for the whole."""
        restarts = Restarts(self._patience)
        while not stop.is_set():
            began_s = time.monotonic()
            code = await self._live_once(seat, stop)
            seat.turn.pass_on()
            if stop.is_set():
                return code
            pause_s = restarts.pause_s(code, time.monotonic() - began_s)
            if pause_s is None:
                log.error("worker %d ended with exit code %d: ending the others", seat.number, code)
                stop.set()
                return code
            self._why[seat.number] = f"it ended with exit code {code} and is begun anew"
            log.warning("worker %d ended with exit code %d: begun anew in %g s", seat.number, code, pause_s)
            await unless(stop, asyncio.sleep(pause_s))
            self._counts.restarted(seat.number)
        return 0

    async def _live_once(self, seat: Seat, stop: asyncio.Event) -> int:
        """From a worker's beginning to its end, which comes when `stop` is set at the latest; its exit code."""
        try:
            running = await self._launch(seat)
        except OSError as error:  # no memory, or too many processes
            log.warning("worker %d cannot be begun: %s", seat.number, error)
            return LAUNCH_FAILED
        self._running[seat.number] = running
        log.info("worker %d is process %d", seat.number, running.pid)
        ending = asyncio.create_task(running.ended())
        try:
            await unless(stop, _over(ending))
        finally:
            code = await self._ended(seat, running, ending)
        return code

    async def _ended(self, seat: Seat, running: Running, ending: "asyncio.Task[int]") -> int:
        running.end()
        await asyncio.wait({ending}, timeout=self._longest_s)
        if not ending.done():
            log.error("worker %d has not ended in %g s and is killed", seat.number, self._longest_s)
            running.kill()
        code = await ending
        del self._running[seat.number]
        return code


async def _over(ending: "asyncio.Task[int]") -> None:
    """Wait for an end; that this is given up does not end it."""
    await asyncio.wait({ending})
