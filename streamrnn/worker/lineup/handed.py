"""What a worker that has committed hands to the line that follows. No I/O."""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from streamrnn.ticks import PredictionBatch, RecordColumns

RECORD_BYTES = 200
"""Of a record as columns, with key, value and headers."""


class Handed(NamedTuple):
    """One batch that the group has committed: its records, and what the line that speaks made of them.

    begins, ends: for each partition the offset from which and up to which it goes. A batch without records of a
    partition may move it all the same, over offsets that hold none.
    """

    records: RecordColumns
    begins: Mapping[int, int]
    ends: Mapping[int, int]
    said: PredictionBatch

    @property
    def nbytes(self) -> int:
        """What it holds in memory, about."""
        misses = 0 if self.said.misses is None else self.said.misses.nbytes
        return RECORD_BYTES * len(self.records) + self.said.values.nbytes + misses

    def moved(self) -> list[int]:
        """Partitions that it takes further."""
        return [number for number, end in self.ends.items() if self.begins[number] < end]

    def of(self, partitions: Iterable[int]) -> RecordColumns:
        """The records of some of its partitions, in order."""
        chosen = np.isin(self.records.partition, np.fromiter(partitions, np.int32))
        return self.records if chosen.all() else self.records.take(chosen)


class HandedQueue:
    """Batches that the line has yet to follow, oldest first, of at most `most` bytes but for the newest batch.

    Whoever comes too late for a batch that has left reads its records again.
    """

    def __init__(self, most: int) -> None:
        self._most, self._count = most, 0
        self._batches: deque[Handed] = deque()

    def push(self, handed: Handed) -> list[Handed]:
        """One more; the oldest leave where they are too many, and are returned."""
        self._batches.append(handed)
        self._count += handed.nbytes
        left = []
        while self._count > self._most and len(self._batches) > 1:
            left.append(self.pop())
        return left

    def pop(self) -> Handed:
        """The oldest; IndexError where there is none."""
        handed = self._batches.popleft()
        self._count -= handed.nbytes
        return handed

    def begin_of(self, partition: int) -> int | None:
        """Where the oldest batch that moves the partition begins; None if no batch does."""
        moving = (h for h in self._batches if h.begins.get(partition, 0) < h.ends.get(partition, 0))
        return next((handed.begins[partition] for handed in moving), None)

    def __len__(self) -> int:
        return len(self._batches)
