"""When each tick of a recording is due. Knows no broker and no encoding. Shapes: n ticks."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np
from numpy.typing import NDArray

BUNDLE_S = 0.005
"""Ticks that are due go out this far apart at least: asyncio has no shorter sleep worth the name."""


class Pacer:
    """When each tick is due: recorded time divided by speed, counted from the first.

    What is no later than a tick before it is due with that one. Times are absolute, so lateness does not add up.
    """

    def __init__(
        self,
        speed: float,
        max_gap_s: float | None,
        sleep: Callable[[float], Awaitable[None]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._speed, self._max_gap_s = speed, np.inf if max_gap_s is None else max_gap_s
        self._sleep, self._now = sleep, now
        self._latest_ms: int | None = None
        self._due_s = 0.0
        self._next_s = -np.inf

    async def bundles(self, time_ms: NDArray[np.int64]) -> AsyncIterator[tuple[int, int]]:
        """Ranges of these ticks, each when it is due."""
        if not self._speed:
            yield 0, len(time_ms)
            return
        due_s, start = self._due(time_ms), 0
        while start < len(due_s):
            now_s = self._now()
            wake_s = max(due_s[start], self._next_s)
            if wake_s > now_s:
                await self._sleep(wake_s - now_s)
                continue
            self._next_s = now_s + BUNDLE_S
            stop = int(np.searchsorted(due_s, now_s, side="right"))
            yield start, stop
            start = stop

    def _due(self, time_ms: NDArray[np.int64]) -> NDArray[np.float64]:
        """(n,) in the clock's seconds, ascending."""
        if self._latest_ms is None:
            self._latest_ms, self._due_s = int(time_ms[0]), self._now()
        latest_ms = np.maximum.accumulate(np.concatenate([[self._latest_ms], time_ms]))
        gaps_s = np.minimum(np.diff(latest_ms) / (1000 * self._speed), self._max_gap_s)
        due_s: NDArray[np.float64] = self._due_s + np.cumsum(gaps_s)
        self._latest_ms, self._due_s = int(latest_ms[-1]), float(due_s[-1])
        return due_s
