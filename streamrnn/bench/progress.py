"""Owns a contender's clockwork: what was acknowledged when, and what that says about its steady middle."""

import time
from asyncio import Event
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from streamrnn.bench.job import Measured

POINT_S = 0.005
STEADY = (0.2, 0.9)
"""The part of a run, by ticks, that is measured: what is before is starting up, what is after running dry."""


class Progress:
    """Takes acknowledgements; sets `stop` after `ticks` of them or `limit_s` after the first.

    With `on_first`, called at the first, latencies are kept: from timestamps in whole ms, so half a ms too long.
    """

    def __init__(
        self, ticks: int, limit_s: float, stop: Event, *, on_first: Callable[[], None] | None = None,
        now: Callable[[], float] = time.time, cpu: Callable[[], float] = time.process_time,
    ) -> None:  # fmt: skip
        self._ticks, self._limit_s, self._stop = ticks, limit_s, stop
        self._on_first, self._now, self._cpu = on_first, now, cpu
        self._count = 0
        self._points: list[tuple[float, int, float]] = []
        self._latencies_ms: list[NDArray[np.float64]] = []

    def published(self, timestamps_ms: Sequence[int] | NDArray[np.int64]) -> None:
        """Records with these input timestamps (ms) are acknowledged now."""
        now = self._now()
        if self._on_first is not None and not self._points:
            self._on_first()
        self._count += len(timestamps_ms)
        if self._on_first is not None:
            self._latencies_ms.append(now * 1000 - np.asarray(timestamps_ms, dtype=np.float64))
        if not self._points or now - self._points[-1][0] >= POINT_S:
            self._points.append((now, self._count, self._cpu()))
        if self._count >= self._ticks or now - self._points[0][0] >= self._limit_s:
            self._stop.set()

    def measured(self) -> Measured:
        """The steady middle; ValueError when too little came to have one."""
        counts = np.array([count for _, count, _ in self._points])
        first, last = np.searchsorted(counts, [share * self._count for share in STEADY])
        last = min(int(last), len(counts) - 1)
        if last <= first:
            raise ValueError(f"{self._count} ticks in {len(counts)} batches are too few to measure")
        (t0, n0, cpu0), (t1, n1, cpu1) = self._points[first], self._points[last]
        latencies = self._percentiles()
        return Measured(
            ticks=n1 - n0,
            ticks_per_s=(n1 - n0) / (t1 - t0),
            cpu_us_per_tick=(cpu1 - cpu0) / (n1 - n0) * 1e6,
            p50_ms=latencies[0],
            p99_ms=latencies[1],
            p999_ms=latencies[2],
        )

    def _percentiles(self) -> tuple[float, float, float]:
        if not self._latencies_ms:
            return 0.0, 0.0, 0.0
        all_ms = np.concatenate(self._latencies_ms)
        steady = all_ms[int(STEADY[0] * len(all_ms)) : int(STEADY[1] * len(all_ms))]
        p50, p99, p999 = np.percentile(steady, [50, 99, 99.9]).tolist()
        return p50, p99, p999
