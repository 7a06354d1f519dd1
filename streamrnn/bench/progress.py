"""Owns a contender's clockwork: what was acknowledged when, and what that says about its steady middle."""

import time
from asyncio import Event
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from streamrnn.bench.job import Measured

STEADY = (0.2, 0.9)
"""The part of a run, by ticks, that is measured: what is before is starting up, what is after running dry."""


class Progress:
    """Takes acknowledgements; sets `stop` after `ticks` of them or `limit_s` after the first was told.

    With `on_first`, called at the first, latencies are kept: from timestamps in whole ms, half a ms too long; not
    those of the first `early`, which wait for the start.
    """

    def __init__(
        self,
        ticks: int,
        limit_s: float,
        stop: Event,
        *,
        on_first: Callable[[], None] | None = None,
        early: int = 0,
        now: Callable[[], float] = time.time,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        self._ticks, self._limit_s, self._stop = ticks, limit_s, stop
        self._on_first, self._early, self._now, self._cpu = on_first, early, now, cpu
        self._count = 0
        self._acknowledged: list[tuple[float, int]] = []
        self._spent: list[tuple[float, float]] = []
        self._latencies_ms: list[NDArray[np.float64]] = []

    def published(self, timestamps_ms: Sequence[int] | NDArray[np.int64], at_ms: float | None = None) -> None:
        """Records with these input timestamps (ms) were acknowledged at `at_ms`, now if None."""
        if not len(timestamps_ms):
            return
        now = self._now()
        at = now if at_ms is None else at_ms / 1000
        if self._on_first is not None and not self._count:
            self._on_first()
        self._count += len(timestamps_ms)
        self._acknowledged.append((at, len(timestamps_ms)))
        self._spent.append((now, self._cpu()))
        if self._on_first is not None:
            self._latencies_ms.append(at * 1000 - np.asarray(timestamps_ms, dtype=np.float64))
        if self._count >= self._ticks or now - self._spent[0][0] >= self._limit_s:
            self._stop.set()

    @property
    def span_s(self) -> tuple[float, float]:
        """When the first and the last acknowledgements were told; (0, 0) without any."""
        return (self._spent[0][0], self._spent[-1][0]) if self._spent else (0.0, 0.0)

    def measured(self) -> Measured:
        """The steady middle; ValueError when too little came to have one."""
        moments, counts = self._moments()
        first, last = np.searchsorted(counts, [share * self._count for share in STEADY])
        last = min(int(last), len(counts) - 1)
        if last <= first:
            raise ValueError(f"{self._count} ticks at {len(counts)} moments are too few to measure")
        ticks = int(counts[last] - counts[first])
        latencies = self._percentiles()
        return Measured(
            ticks=ticks,
            ticks_per_s=ticks / float(moments[last] - moments[first]),
            cpu_us_per_tick=self._cpu_s(moments[first], moments[last]) / ticks * 1e6,
            p50_ms=latencies[0],
            p99_ms=latencies[1],
            p999_ms=latencies[2],
        )

    def _moments(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """When something was acknowledged, ascending, and how many were by then.

        The acknowledgements of an interval are told together, each with its own time or all with the commit's; of
        those with one time only the last says how many there were, or a part of them would count as all.
        """
        told = sorted(self._acknowledged)
        at, counts = np.array([at for at, _ in told]), np.cumsum([count for _, count in told])
        is_last = np.append(at[1:] != at[:-1], True)[: len(at)]
        return at[is_last], counts[is_last]

    def _cpu_s(self, start: float, end: float) -> float:
        """Processor time between two moments, as if even between two looks at the clock."""
        spent = np.array(self._spent)
        from_s, to_s = np.interp([start, end], spent[:, 0], spent[:, 1])
        return float(to_s - from_s)

    def _percentiles(self) -> tuple[float, float, float]:
        if not self._latencies_ms:
            return 0.0, 0.0, 0.0
        all_ms = np.concatenate(self._latencies_ms)[self._early :]
        if not len(all_ms):
            return 0.0, 0.0, 0.0
        steady = all_ms[int(STEADY[0] * len(all_ms)) : int(STEADY[1] * len(all_ms))]
        p50, p99, p999 = np.percentile(steady, [50, 99, 99.9]).tolist()
        return p50, p99, p999
