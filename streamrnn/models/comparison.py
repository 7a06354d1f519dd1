"""Champion and challenger on the same ticks, summed over the workers that compare them. Prints nothing."""

import math
from collections.abc import Iterable
from itertools import groupby

import msgspec

from streamrnn.registry import Compared, Registry, WorkerReport


class LiveComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two models, by label, on the same truths.

    share_better: share of streams on which the challenger is better. since_ms: when the first worker began.
    """

    champion: str
    challenger: str
    workers: int
    truths: int
    since_ms: int
    share_better: float | None
    targets: list[Compared]


def comparisons(registry: Registry, name: str, group: str | None = None) -> list[LiveComparison]:
    """Every pair that workers compare which reported lately, the one with most truths first."""
    pairs: dict[tuple[str, str], list[WorkerReport]] = {}
    for report in registry.reports(name).fresh:
        if report.challenger is not None and report.comparison and group in (None, report.group):
            pairs.setdefault((report.serving, report.challenger), []).append(report)
    found = [_summed(*labels, reports) for labels, reports in pairs.items()]
    return sorted(found, key=lambda pair: -pair.truths)


def _summed(champion: str, challenger: str, reports: list[WorkerReport]) -> LiveComparison:
    entries = sorted((each for report in reports for each in report.comparison), key=_place)
    targets = [_together(list(same)) for _, same in groupby(entries, key=_place)]
    shares = [(sum(each.truths for each in report.comparison), report.share_better) for report in reports]
    return LiveComparison(
        champion=champion,
        challenger=challenger,
        workers=len(reports),
        truths=sum(each.truths for each in targets),
        since_ms=min(report.since_ms for report in reports),
        share_better=_mean(shares),
        targets=targets,
    )


def _place(entry: Compared) -> tuple[str, int]:
    return entry.target, entry.horizon


def _together(entries: list[Compared]) -> Compared:
    """One entry of several workers', of different streams and so independent of each other."""
    entries = [each for each in entries if each.truths] or entries[:1]
    if len(entries) == 1:
        return entries[0]
    difference = _mean((each.truths, each.difference) for each in entries)
    error = _error(entries)
    return Compared(
        target=entries[0].target,
        horizon=entries[0].horizon,
        truths=sum(each.truths for each in entries),
        champion_mse=_mean((each.truths, each.champion_mse) for each in entries),
        challenger_mse=_mean((each.truths, each.challenger_mse) for each in entries),
        difference=difference,
        error=error,
        p=None if difference is None or not error else math.erfc(-difference / error / math.sqrt(2)) / 2,
    )


def _mean(weighed: Iterable[tuple[int, float | None]]) -> float | None:
    """The mean by weights of the figures there are."""
    known = [(weight, figure) for weight, figure in weighed if weight and figure is not None]
    whole = sum(weight for weight, _ in known)
    return sum(weight * figure for weight, figure in known) / whole if whole else None


def _error(entries: list[Compared]) -> float | None:
    """The standard error of the mean of the differences; None where one has none."""
    errors = [(each.truths, each.error) for each in entries if each.difference is not None]
    if not errors or any(error is None for _, error in errors):
        return None
    whole = sum(truths for truths, _ in errors)
    return math.sqrt(sum((truths * (error or 0.0)) ** 2 for truths, error in errors)) / whole
