"""How far the workers that serve a model are with it, gathered from what they report. Prints nothing.

A partition has one row: what its newest report says. What workers say that have gone silent counts as nothing done.
"""

import msgspec

from streamrnn.registry import Heard, Registry, WorkerReport


class PartitionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A partition of a topic that a group reads.

    speaker: label of the model whose predictions are published. beside: label of the one that runs beside it, whose
    state, lag (ticks), left_s and reason these are. silent_s: None for a worker that reported lately.
    """

    worker: str
    group: str
    topic: str
    partition: int
    speaker: str
    beside: str | None
    state: str | None
    lag: int
    left_s: float | None
    reason: str
    silent_s: float | None


class RefusedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version that a worker did not take, and why; at_ms: when it said so."""

    worker: str
    label: str
    why: str
    at_ms: int


class GroupStanding(msgspec.Struct, frozen=True, kw_only=True):
    """Which versions are wanted, how far each partition is, and what went wrong.

    champion, challenger: labels, None where there is none. ready: partitions whose challenger could take over.
    cut_over: partitions for which the champion speaks. owned: partitions of workers that reported lately.
    """

    name: str
    champion: str | None
    challenger: str | None
    staged_ms: int | None
    ready: int
    cut_over: int
    owned: int
    partitions: list[PartitionRow]
    refusals: list[RefusedVersion]
    silent: dict[str, float]
    problems: list[str]

    @property
    def summary(self) -> str:
        """One line for all."""
        if not self.owned:
            return f"no worker that owns a partition reports on {self.name}"
        if self.champion is None:
            return f"{_partitions(self.owned)}, and no champion"
        if self.cut_over < self.owned or self.challenger is None:
            return f"{self.cut_over} of {_partitions(self.owned)} cut over to {self.champion}"
        return f"{self.ready} of {_partitions(self.owned)} ready for {self.challenger}"


def _partitions(count: int) -> str:
    return f"{count:,} partition{'' if count == 1 else 's'}"


def standing_of(registry: Registry, name: str, group: str | None = None) -> GroupStanding:
    """How far all workers are, or those of one group; BundleError where the registry cannot be read."""
    heard = registry.reports(name)
    # After the reports: what they say is of these pointers or of older ones, never of younger ones.
    staged, pointer = registry.challenger(name), registry.pointer(name)
    champion = None if pointer is None else f"{name}@{pointer.version}"
    challenger = None if staged is None else f"{name}@{staged.version}"
    told = [each for each in heard.heard if group in (None, each.report.group)]
    rows = _rows(told)
    fresh = [row for row in rows if row.silent_s is None]
    return GroupStanding(
        name=name,
        champion=champion,
        challenger=None if challenger == champion else challenger,
        staged_ms=None if staged is None or challenger == champion else staged.staged_ms,
        ready=sum(row.beside == challenger and row.state == "ready" for row in fresh),
        cut_over=sum(row.speaker == champion for row in fresh),
        owned=len(fresh),
        partitions=rows,
        refusals=[refusal for each in told if each.is_fresh for refusal in _refusals(each.report)],
        silent={each.report.worker: each.age_s for each in told if not each.is_fresh},
        problems=list(heard.passed_over),
    )


def _rows(told: list[Heard]) -> list[PartitionRow]:
    """A row for each partition, of whoever spoke of it last; in order of workers."""
    newest: dict[tuple[str, str, int], PartitionRow] = {}
    for heard in sorted(told, key=lambda each: (each.is_fresh, each.report.at_ms)):
        for row in _rows_of(heard):
            newest[row.group, row.topic, row.partition] = row
    return sorted(newest.values(), key=lambda row: (row.group, row.topic, row.worker, row.partition))


def _rows_of(heard: Heard) -> list[PartitionRow]:
    report = heard.report
    return [
        PartitionRow(
            worker=report.worker,
            group=report.group,
            topic=report.topic,
            partition=each.number,
            speaker=each.speaker,
            beside=report.challenger if each.speaker == report.serving else report.serving,
            state=each.state,
            lag=each.lag,
            left_s=each.left_s,
            reason=each.reason,
            silent_s=None if heard.is_fresh else heard.age_s,
        )
        for each in report.partitions
    ]


def _refusals(report: WorkerReport) -> list[RefusedVersion]:
    return [
        RefusedVersion(worker=report.worker, label=label, why=why, at_ms=report.at_ms)
        for label, why in report.refused.items()
    ]
