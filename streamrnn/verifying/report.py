"""What a verification found, in counts and examples. Knows no topic and no engine."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

KINDS = {
    "missing": "predictions missing",
    "doubled": "predictions doubled",
    "reordered": "predictions ahead of an earlier tick's",
    "differing": "predictions differing",
    "unexpected": "predictions unexpected",
    "ahead": "predictions or dead letters seen before their commit",
    "letter_missing": "dead letters missing",
    "letter_doubled": "dead letters doubled",
    "letter_differing": "dead letters differing",
    "letter_unexpected": "dead letters unexpected",
}
"""Each kind of fault, in words."""
_REPEATS = ("doubled", "letter_doubled")


@dataclass(frozen=True, slots=True)
class Fault:
    """One example: the tick's offset, where the record at fault stands, and what was expected and found; index:
    where in a list the tick came."""

    kind: str
    partition: int
    source_offset: int | None
    output_offset: int | None
    stream: str
    expected: str
    found: str
    index: int | None = None


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """One partition. records and ticks were read and stepped; `checked` predictions recomputed and compared;
    `not_recomputed` belong to an earlier model or state; `ahead` are published and not yet committed; `letters`
    dead letters are as they must be; `broker_refused` ticks have the broker's refusal for a prediction. `unchecked`
    says why nothing could be recomputed, and is empty where all was."""

    partition: int
    since: int = 0
    served_from: int = 0
    committed: int = 0
    records: int = 0
    ticks: int = 0
    checked: int = 0
    not_recomputed: int = 0
    ahead: int = 0
    letters: int = 0
    broker_refused: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()
    unchecked: str = ""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """All of it; doubled records of equal content are faults only where `has_strict_repeats`."""

    model: str
    guarantee: str
    has_strict_repeats: bool
    seconds: float
    partitions: tuple[PartitionReport, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Of each kind how many, in all partitions; only what was found."""
        found: Counter[str] = Counter()
        for partition in self.partitions:
            found.update(partition.counts)
        return {kind: found[kind] for kind in KINDS if found[kind]}

    @property
    def faults(self) -> dict[str, int]:
        """The counts that make it fail."""
        forgiven = () if self.has_strict_repeats else _REPEATS
        return {kind: count for kind, count in self.counts.items() if kind not in forgiven}

    @property
    def is_clean(self) -> bool:
        """Whether all was checked and nothing is wrong."""
        return not self.faults and not any(partition.unchecked for partition in self.partitions)

    def total(self, name: str) -> int:
        """One of the numbers, over all partitions."""
        return sum(getattr(partition, name) for partition in self.partitions)

    def as_json(self) -> dict[str, Any]:
        """For a machine; the counts of all partitions beside each one's own."""
        return asdict(self) | {"is_clean": self.is_clean, "counts": self.counts, "faults": self.faults}
