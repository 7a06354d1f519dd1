"""Owns how long an event loop let a timer wait, as it would let heartbeats to a broker. Knows no work."""

import asyncio
import time

import numpy as np

BEAT_S = 0.005


class Heartbeat:
    """Wakes every 5 ms and notes how late; timers of whole ms make it seem up to 1 ms late always."""

    def __init__(self) -> None:
        self._beats: list[tuple[float, float]] = []

    async def beat(self) -> None:
        """Until cancelled."""
        while True:
            due_s = time.perf_counter() + BEAT_S
            await asyncio.sleep(BEAT_S)
            self._beats.append((time.time(), time.perf_counter() - due_s))

    def late_ms(self, start_s: float, end_s: float) -> tuple[float, float]:
        """(p99, longest) of the beats between two moments of time.time(); 0 where there was none."""
        late = [1000 * late_s for at_s, late_s in self._beats if start_s <= at_s <= end_s]
        return (float(np.percentile(late, 99)), max(late)) if late else (0.0, 0.0)
