"""Owns how long an event loop let a timer wait, as it would let heartbeats to a broker. Knows no work."""

import asyncio
import time

import numpy as np

BEAT_S = 0.005


class Heartbeat:
    """Wakes every 5 ms and notes how late; timers of whole ms make it seem up to 1 ms late always.

    Where other processes want the processor, it is late though the loop did nothing: so it notes the thread's own
    processor time as well.
    """

    def __init__(self) -> None:
        self._beats: list[tuple[float, float, float]] = []

    async def beat(self) -> None:
        """Until cancelled."""
        while True:
            due_s, cpu_s = time.perf_counter() + BEAT_S, time.thread_time()
            await asyncio.sleep(BEAT_S)
            self._beats.append((time.time(), time.perf_counter() - due_s, time.thread_time() - cpu_s))

    def late_ms(self, start_s: float, end_s: float) -> tuple[float, float, float]:
        """(p99, longest, longest by own work) of the beats between two moments of time.time(); 0 where none was."""
        beats = [(late_s, min(late_s, cpu_s)) for at_s, late_s, cpu_s in self._beats if start_s <= at_s <= end_s]
        if not beats:
            return 0.0, 0.0, 0.0
        late_ms, own_ms = 1000 * np.array(beats).T
        return float(np.percentile(late_ms, 99)), float(late_ms.max()), float(own_ms.max())
