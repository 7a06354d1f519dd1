"""Where the streams of a batch's ticks are before it: who is there, who is absent, who ends. Changes nothing.

Knows no torch and no bytes of rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from streamrnn.engine.rows.holding import Holding
from streamrnn.engine.rows.key_table import packed
from streamrnn.engine.rows.row_places import ABSENT, Index
from streamrnn.engine.rows.table import SlotTable
from streamrnn.ticks import Endings, StreamRows, TickBatch
from streamrnn.ticks.byte_spans import Spans


class FromCold(NamedTuple):
    """What the cold tier says of a partition's ticks: the rows it gives back, None for none; of the streams that
    end, those of which it may hold a row."""

    rows: StreamRows | None = None
    held: frozenset[bytes] = frozenset()


@dataclass(slots=True)
class PartitionTicks:
    """A partition's ticks in a batch: which, their streams with their numbers, offsets and places; of each ending
    how many of these ticks come before, and which stream."""

    holding: Holding
    rows: slice | Index
    streams: Spans
    offsets: Index
    numbers: Index
    places: Index
    endings: list[tuple[int, bytes]]
    _absent: dict[bytes, int] | None = None

    @property
    def partition(self) -> int:
        """Its number."""
        return self.holding.partition

    @property
    def absent(self) -> dict[bytes, int]:
        """The absent streams, each with its first tick."""
        if self._absent is None:
            at = np.flatnonzero(self.places == ABSENT)
            named = list(zip(self.streams.take(at), at.tolist(), strict=True))
            self._absent = dict(reversed(named))
        return self._absent

    def is_whole(self) -> bool:
        """Whether every stream is on the device, and none ends."""
        return not self.endings and bool((self.places >= 0).all())

    def sought(self) -> dict[bytes, int]:
        """Those of the absent whose row the cold tier has, if it has one, is still theirs at their first tick."""
        ended = self.holding.ended
        if not ended and not self.endings:
            return self.absent
        first: dict[bytes, int] = {}
        for before, stream in self.endings:
            first.setdefault(stream, before)
        return {s: i for s, i in self.absent.items() if s not in ended and first.get(s, i + 1) > i}

    def is_tight(self, room: int) -> bool:
        """Whether more streams would be held than there is room for."""
        free = room - self.holding.held
        return bool(np.count_nonzero(self.places == ABSENT) > free) and len(self.absent) > free


def look(table: SlotTable, ticks: TickBatch) -> list[PartitionTicks]:
    """Where the streams of each partition's ticks are now. Changes nothing."""
    streams = packed(ticks.streams)
    numbers, places = table.memory.keys.find(ticks.partition, streams)
    return [
        PartitionTicks(
            table.holding(partition), rows, streams.take(rows), ticks.offset[rows], numbers[rows], places[rows],
            [] if ticks.endings is None else _endings_of(partition, rows, ticks.endings),
        )
        for partition, rows in _by_partition(ticks)
    ]  # fmt: skip


def are_on_device(table: SlotTable, ticks: TickBatch) -> bool:
    """Whether the streams of all ticks are on the device. Changes nothing."""
    places = table.memory.keys.find(ticks.partition, packed(ticks.streams))[1]
    return bool((places >= 0).all())


def _endings_of(partition: int, rows: slice | Index, endings: Endings) -> list[tuple[int, bytes]]:
    """How many of a partition's ticks come before each of its endings, and whose it is."""
    mine = np.flatnonzero(endings.partition == partition)
    if isinstance(rows, slice):
        before = np.clip(endings.before[mine] - rows.start, 0, rows.stop - rows.start)
    else:
        before = np.searchsorted(rows, endings.before[mine])
    return [(at, endings.streams[i]) for at, i in zip(before.tolist(), mine.tolist(), strict=True)]


def _by_partition(ticks: TickBatch) -> Iterator[tuple[int, slice | Index]]:
    """(number, which ticks) of each partition in a batch; most come in one run."""
    partition = ticks.partition
    if len(ticks) and ticks.endings is None and (partition == partition[0]).all():
        yield int(partition[0]), slice(0, len(ticks))
        return
    edges = [0, *(np.flatnonzero(partition[1:] != partition[:-1]) + 1).tolist(), len(partition)]
    numbers = partition[edges[:-1]].tolist() if len(ticks) else []
    if len(set(numbers)) == len(numbers):
        for number, start, stop in zip(numbers, edges, edges[1:], strict=False):
            yield number, slice(start, stop)
    else:
        for number in dict.fromkeys(numbers):
            yield number, np.flatnonzero(partition == number)
    if ticks.endings is not None:
        for number in sorted(set(ticks.endings.partition.tolist()).difference(numbers)):
            yield number, slice(0, 0)
