"""Says who speaks of what, how far the others are and how they compare: to the registry, HTTP and metrics.

Owns what is said of voices. A registry that is away loses reports, never ticks. Decides nothing.
"""

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

from streamrnn.comparing.paired_comparison import PairedScore
from streamrnn.config import Settings
from streamrnn.errors import BundleError
from streamrnn.metrics import Metrics
from streamrnn.process.aside import start_aside
from streamrnn.registry import Compared, Registry, ReportedPartition, WorkerReport
from streamrnn.worker.lineup.lineup import Lineup
from streamrnn.worker.partition import Partition

log = logging.getLogger(__name__)
REPORT_S = 5.0
"""Between two reports."""
LEAVE_S = 2.0
"""Longest wait for the report to go, at the end."""


class Reporting:
    """Reports on one lineup."""

    def __init__(
        self,
        settings: Settings,
        lineup: Lineup,
        refused: Callable[[], dict[str, str]],
        metrics: Metrics,
        worker: str,
        registry: Registry | None,
    ) -> None:
        """refused: labels of models that were not taken, and why. worker: the name of this one among all."""
        self._settings, self._lineup, self._refused, self._metrics = settings, lineup, refused, metrics
        self._worker, self._registry, self._is_away = worker, registry, False

    async def run(self) -> None:
        """Report for ever; the report goes when the worker goes."""
        try:
            while True:
                speaking = self._lineup.speaking()[0].line
                self._metrics.model(speaking.spec, str(speaking.engine.device))
                report = await self.report()
                self._metrics.lines(self._counts())
                self._metrics.compared(_figures(report))
                await self._write(report)
                await asyncio.sleep(REPORT_S)
        finally:
            if self._registry is not None and (name := self._settings.model.name):
                with suppress(BundleError, TimeoutError):
                    await self._aside(partial(self._registry.remove_report, name, self._worker), LEAVE_S)

    async def _write(self, report: WorkerReport) -> None:
        """On a thread, for a store may take its time; what fails is said once, until it goes again."""
        registry, name = self._registry, self._settings.model.name
        if registry is None or not name:
            return
        try:
            await self._aside(partial(registry.write_report, name, report), self._settings.limits.recovery_stall_s)
        except (BundleError, TimeoutError) as error:
            if not self._is_away:
                log.warning("no report of this worker is in the registry: %s", error or "no answer")
            self._is_away = True
        else:
            self._is_away = False

    async def _aside(self, call: Callable[[], None], patience_s: float) -> None:
        """Wait for a call of the store, not for ever."""
        async with asyncio.timeout(patience_s):
            await start_aside(call, "model report")[1]

    async def report(self) -> WorkerReport:
        """All that is to be said now."""
        beside = next((v for v in self._lineup.voices() if v.label != self._lineup.wanted), None)
        # Where some or all partitions are yet to change, who follows is not the challenger, or not alone.
        follows = [v for v in self._lineup.voices() if v.follower.partitions()]
        found = await beside.comparison() if beside is not None and follows == [beside] else None
        scores = [] if found is None else [_compared(score) for score in found.scores if score.truths]
        share = math.nan if found is None else found.streams.share
        return WorkerReport(
            worker=self._worker,
            group=self._settings.kafka.group,
            topic=self._settings.input.topic,
            at_ms=round(1000 * time.time()),
            serving=self._lineup.wanted,
            challenger=None if beside is None else beside.label,
            refused=self._refused() | self._lineup.broken,
            partitions=[self._of(partition) for partition in self._lineup.partitions()],
            comparison=scores,
            share_better=_known(share),
            since_ms=0 if found is None else found.since_ms,
        )

    def _counts(self) -> Counter[tuple[str, str]]:
        """Partitions by model and what it does with them."""
        counts = Counter((partition.speaker, "speaking") for partition in self._lineup.partitions())
        for voice in self._lineup.voices():
            views = (voice.follower.view(partition.number) for partition in voice.follower.partitions())
            counts.update((voice.label, view.state) for view in views if view is not None)
        return counts

    def _of(self, partition: Partition) -> ReportedPartition:
        views = (v.follower.view(partition.number) for v in self._lineup.voices() if v.label != partition.speaker)
        view = next((view for view in views if view is not None), None)
        if view is None:
            return ReportedPartition(number=partition.number, speaker=partition.speaker)
        return ReportedPartition(
            number=partition.number,
            speaker=partition.speaker,
            state=view.state,
            lag=view.lag,
            left_s=view.left_s,
            reason=view.reason[:2000],
        )


def _compared(score: PairedScore) -> Compared:
    """A score as the registry has it."""
    return Compared(
        target=score.target,
        horizon=score.horizon,
        truths=score.truths,
        champion_mse=_known(score.champion_mse),
        challenger_mse=_known(score.challenger_mse),
        difference=_known(score.difference.mean),
        error=_known(score.difference.error),
        p=_known(score.difference.p),
    )


def _figures(report: WorkerReport) -> Iterator[tuple[str, str, int, float | None, int]]:
    """Of both models, for the metrics."""
    for each in report.comparison:
        yield report.serving, each.target, each.horizon, each.champion_mse, each.truths
        yield report.challenger or "", each.target, each.horizon, each.challenger_mse, each.truths


def _known(number: float) -> float | None:
    return number if math.isfinite(number) else None
