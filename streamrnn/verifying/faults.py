"""Faults of one partition while they are found: all are counted, the first of each kind kept as examples."""

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple


class Example(NamedTuple):
    """A fault before the record at fault was looked at: the tick's place (see places.py), and the offset
    in the output or the dead letters; `value` is the whole value expected, where one is."""

    source: int | None
    at: int | None = None
    key: bytes | None = None
    expected: str = ""
    found: str = ""
    value: bytes | None = None


class Faults:
    """Counts by kind, and up to `limit` examples of each."""

    def __init__(self, limit: int) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[Example]] = {}
        self._limit = limit

    def add(self, kind: str, count: int, examples: Iterable[Example]) -> None:
        """So many more; of the examples only those are made that are kept."""
        if not count:
            return
        self.counts[kind] += count
        kept = self.examples.setdefault(kind, [])
        kept += islice(examples, max(0, self._limit - len(kept)))

    def one(self, kind: str, example: Example) -> None:
        """One more."""
        self.add(kind, 1, (example,))
