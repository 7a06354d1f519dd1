"""The streams that are held, told in slices, so that steps run between. Knows keys and counts, no other state."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from streamrnn.engine.owned import Owned, by_owner
from streamrnn.engine.rows.parking import Parking
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
    """A walk over the streams of all partitions, ascending, in the order in which they came to each.

    A stream is told at most once. One that comes or leaves while the walk is under way may be told or not.
    """

    def __init__(self, table: SlotTable, parking: Parking, limit: int, is_asked: Callable[[bytes], bool]) -> None:
        self._table, self._parking, self._limit, self._is_asked = table, parking, limit, is_asked
        self._to_come = table.partitions()
        self._partition, self._keys, self._at = -1, list[bytes](), 0
        self.found: list[HeldStream] = []

    @by_owner
    def go_on(self, count: int) -> bool:
        """Look at the next `count` >= 1 streams of one partition; whether there may be more to tell."""
        if self._at >= len(self._keys):
            if not self._to_come:
                return False
            self._partition, self._at = self._to_come.pop(0), 0
            self._keys = self._table.keys(self._partition)  # milliseconds for a million
        block, self._at = self._keys[self._at : self._at + count], self._at + count
        asked = list(filter(self._is_asked, block))[: self._limit - len(self.found)]
        self.found += self._held(asked)
        return len(self.found) < self._limit

    def _held(self, streams: list[bytes]) -> list[HeldStream]:
        """Those of the streams that still have a row."""
        places = self._table.holding(self._partition).find(streams)
        steps = np.full(len(streams), -1, np.int64)
        for slots, at, chosen in self._table.memory.split(places):
            steps[at] = self._parking.numbers(slots, chosen, "steps")
        told = zip(streams, steps.tolist(), strict=True)
        return [HeldStream(self._partition, stream, count) for stream, count in told if count >= 0]
