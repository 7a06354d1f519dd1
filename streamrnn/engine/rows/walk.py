"""The streams that are held, told in slices, so that steps run between. Knows keys and counts, no other state."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from streamrnn.engine.owned import Owned, by_owner
from streamrnn.engine.rows.parking import Parking
from streamrnn.engine.rows.row_places import Index
from streamrnn.engine.rows.table import SlotTable


class HeldStream(NamedTuple):
    """A stream that has a row, and the ticks its state has seen."""

    partition: int
    stream: bytes
    steps: int


def every(_: bytes) -> bool:
    """Any stream is asked for."""
    return True


class Walk(Owned):
    """A walk over the streams of all partitions, ascending, in the order in which they came to each; one whose key
    got the number of a stream that had left is told in that one's place.

    A stream is told at most once. One that comes or leaves while the walk is under way may be told or not.
    """

    def __init__(self, table: SlotTable, parking: Parking, limit: int, is_asked: Callable[[bytes], bool]) -> None:
        self._table, self._parking, self._limit, self._is_asked = table, parking, limit, is_asked
        self._to_come = table.partitions()
        self._partition, self._at = -1, 0
        self._numbers = self._lives = np.zeros(0, np.int64)
        self.found: list[HeldStream] = []

    @by_owner
    def go_on(self, count: int) -> bool:
        """Look at the next `count` >= 1 streams of one partition; whether there may be more to tell."""
        keys = self._table.memory.keys
        if self._at >= len(self._numbers):
            if not self._to_come:
                return False
            self._partition, self._at = self._to_come.pop(0), 0
            self._numbers = self._table.numbers(self._partition)  # milliseconds for a million
            self._lives = keys.lives(self._numbers)
        block = slice(self._at, self._at + count)
        self._at += count
        same = self._numbers[block][keys.lives(self._numbers[block]) == self._lives[block]]
        self.found += self._held(same, self._limit - len(self.found))
        return len(self.found) < self._limit

    def _held(self, numbers: Index, most: int) -> list[HeldStream]:
        """Up to `most` of the streams that are asked for: those that still have a row."""
        memory, asked = self._table.memory, self._is_asked
        names = memory.keys.names(numbers)
        chosen = np.flatnonzero(np.fromiter(map(asked, names), np.bool_, len(numbers)))[:most]
        places = memory.keys.places(numbers[chosen])
        steps = np.full(len(places), -1, np.int64)
        for slots, at, rows in memory.split(places):
            steps[at] = self._parking.numbers(slots, rows, "steps")
        told = zip(names.take(chosen), steps.tolist(), strict=True)
        return [HeldStream(self._partition, stream, count) for stream, count in told if count >= 0]
