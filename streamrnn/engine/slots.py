"""Which stream owns which row: keys to slots, oldest out first. Owns bookkeeping only; knows no torch.

A partition's streams are capped; when it is full, the stream whose last tick has the lowest offset leaves.
That depends on the partition's input alone, never on how it was polled (law 1).
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.errors import StaleHandle

SCRATCH = 0
"""The slot of padding rows; no stream ever owns it."""


@dataclass(frozen=True, slots=True)
class Handle:
    """A stream's row at a moment in time; refused once the slot has gone to another stream."""

    index: int
    generation: int


class Placement(NamedTuple):
    """slots (n,) int64; fresh (n,) bool: the row must be initialised before this tick; streams evicted."""

    slots: NDArray[np.int64]
    fresh: NDArray[np.bool_]
    evicted: int


class SlotTable:
    """Slots of all partitions of this worker; `max_streams` caps each partition."""

    def __init__(self, max_streams: int) -> None:
        self.max_streams = max_streams
        self.size = 1
        self._free: list[int] = []
        self._generation: list[int] = [0]
        self._owners: dict[int, OrderedDict[bytes, int]] = {}

    @property
    def resident(self) -> int:
        """Streams that own a row now."""
        return sum(map(len, self._owners.values()))

    def place(self, partition: NDArray[np.int32], streams: list[bytes]) -> Placement:
        """A slot for each of n ticks in arrival order; a full partition evicts as it goes."""
        fresh = np.zeros(len(streams), dtype=np.bool_)
        slots: list[int] = []
        evicted = 0
        edges = np.flatnonzero(np.diff(partition)) + 1
        bounds = [0, *edges.tolist(), len(streams)]
        for start, stop in pairwise(bounds):
            if start < stop:
                owned = self._owners.setdefault(int(partition[start]), OrderedDict())
                evicted += self._place_run(owned, streams, start, stop, slots, fresh)
        return Placement(np.array(slots, dtype=np.int64), fresh, evicted)

    def _place_run(
        self,
        owned: OrderedDict[bytes, int],
        streams: list[bytes],
        start: int,
        stop: int,
        slots: list[int],
        fresh: NDArray[np.bool_],
    ) -> int:
        evicted = 0
        touch, find = owned.move_to_end, owned.get
        for i in range(start, stop):
            stream = streams[i]
            slot = find(stream)
            if slot is None:
                if len(owned) >= self.max_streams:
                    self._release(owned.popitem(last=False)[1])
                    evicted += 1
                slot = owned[stream] = self._claim()
                fresh[i] = True
            else:
                touch(stream)
            slots.append(slot)
        return evicted

    def _claim(self) -> int:
        if self._free:
            return self._free.pop()
        self._generation.append(0)
        self.size += 1
        return self.size - 1

    def _release(self, slot: int) -> None:
        self._generation[slot] += 1
        self._free.append(slot)

    def drop(self, partition: int) -> None:
        """Forget every stream of a partition; their slots go to others under a new generation."""
        for slot in self._owners.pop(partition, OrderedDict()).values():
            self._release(slot)

    def handle(self, partition: int, stream: bytes) -> Handle | None:
        """The stream's handle, None if it owns no row."""
        slot = self._owners.get(partition, OrderedDict()).get(stream)
        return None if slot is None else Handle(slot, self._generation[slot])

    def row(self, handle: Handle) -> int:
        """The handle's row; StaleHandle when the slot has since been released."""
        if self._generation[handle.index] != handle.generation:
            raise StaleHandle(
                f"slot {handle.index} is at generation {self._generation[handle.index]}, "
                f"the handle is of {handle.generation}"
            )
        return handle.index

    def partitions_of(self, stream: bytes) -> list[int]:
        """The partitions in which this key owns a row (one, unless the producer changed its partitioner)."""
        return sorted(p for p, owned in self._owners.items() if stream in owned)

    def streams(self) -> Iterator[tuple[int, bytes, int]]:
        """(partition, stream, slot) of all residents, least recently used first within a partition."""
        for partition in sorted(self._owners):
            for stream, slot in self._owners[partition].items():
                yield partition, stream, slot
