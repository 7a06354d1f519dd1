"""Owns what the bench learns from a service's own metrics, which is to say without a look inside.

Knows no broker and no engine.
"""

import time
from asyncio import Event
from collections import Counter
from collections.abc import Mapping

from streamrnn.bench.job import Measured
from streamrnn.bench.progress import Progress
from streamrnn.metrics import Metrics
from streamrnn.ticks import DeadLetter, PredictionBatch


class Counted(Metrics):
    """The service's own metrics, which also tell the bench what was acknowledged."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def batch(self, batch: PredictionBatch, now_ms: float, model: str | None = None) -> None:
        """Count a batch whose predictions readers see since `now_ms`."""
        super().batch(batch, now_ms, model)
        self._progress.published(batch.ticks.arrival_ms[batch.ok], now_ms)


class Unmetered(Counted):
    """Tells the bench what was acknowledged, and counts nothing of what comes with every batch."""

    def batch(self, batch: PredictionBatch, now_ms: float, model: str | None = None) -> None:
        """A batch is told, not counted."""
        self._progress.published(batch.ticks.arrival_ms[batch.ok], now_ms)

    def stage(self, name: str, seconds: float) -> None:
        """Nothing."""

    def dead(self, letters: list[DeadLetter]) -> None:
        """Nothing."""

    def dropped(self, ticks: Counter[str]) -> None:
        """Nothing."""

    def breaker(self, is_open: bool) -> None:
        """Nothing."""


class Recovered(Metrics):
    """Sets `stop` when all partitions are live; knows since when the first of them was being brought there."""

    def __init__(self, ticks: int, stop: Event) -> None:
        super().__init__()
        self._ticks, self._stop = ticks, stop
        self._began: tuple[float, float] | None = None
        self._took: tuple[float, float] | None = None

    def state(self, phases: Mapping[int, str]) -> None:
        """The phase of each partition."""
        super().state(phases)
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        if self._began is None and "recovering" in phases.values():
            self._began = wall_s, cpu_s
        if self._took is None and self._began is not None and set(phases.values()) == {"live"}:
            self._took = wall_s - self._began[0], cpu_s - self._began[1]
            self._stop.set()

    def measured(self) -> Measured:
        """Of the whole replay; ValueError where it did not come to its end."""
        if self._took is None:
            raise ValueError("no recovery came to its end")
        wall_s, cpu_s = self._took
        return Measured(
            ticks=self._ticks, ticks_per_s=self._ticks / wall_s, cpu_us_per_tick=cpu_s / self._ticks * 1e6
        )
