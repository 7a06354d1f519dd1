"""The streams of one partition and where each is: on the device or parked. Knows no torch and no bytes.

A place is one number: a slot of the device, or, below 0, ~slot of the host's memory.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np

from streamrnn.engine.rows.slots import Index, Slots

ABSENT = -(2**62)
"""The place of a stream that has none."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The two memories that rows are in."""

    device: Slots = field(default_factory=lambda: Slots(reserved=1))
    host: Slots = field(default_factory=Slots)

    def used(self, places: Index) -> Index:
        """When the streams at these places were last used, -1 for ABSENT."""
        used = np.full(len(places), -1, np.int64)
        for slots, at, chosen in self.split(places):
            used[at] = slots.used[chosen]
        return used

    def split(self, places: Index) -> Iterator[tuple[Slots, Index, Index]]:
        """(memory, which of the places, their slots there) of each of the two that is meant."""
        on_device = np.flatnonzero(places >= 0)
        if len(on_device):
            yield self.device, on_device, places[on_device]
        if len(on_device) < len(places):
            on_host = np.flatnonzero((places < 0) & (places > ABSENT))
            if len(on_host):
                yield self.host, on_host, ~places[on_host]


class ByLastTick:
    """A queue of streams sorted by last tick when it is made, by name where one list had the last ticks of several.

    An entry whose stream has ticked or moved since is skipped when it is reached. Sorting n streams costs n log n,
    and is done anew only when the queue is empty: by then each of the n has ticked, moved or left. So a tick pays
    for a few comparisons, and nothing has to be kept in order while ticks come.
    """

    def __init__(self, holding: "Holding", on_device: bool) -> None:
        self._holding, self._memory, self._on_device = holding, holding.memory, on_device
        memories = (self._memory.device,) if on_device else (self._memory.device, self._memory.host)
        owned = [(slots, slots.of(holding.partition)) for slots in memories]
        used = np.concatenate([slots.used[at] for slots, at in owned])
        order = np.argsort(used, kind="stable")
        self._names = np.concatenate([slots.names[at] for slots, at in owned])[order]
        self._used, self.at = used[order], 0
        same = np.flatnonzero(self._used[1:] == self._used[:-1])
        for at in dict.fromkeys(np.searchsorted(self._used, self._used[same]).tolist()):
            stop = int(np.searchsorted(self._used, self._used[at], "right"))
            self._names[at:stop] = sorted(self._names[at:stop].tolist())

    def rest(self, count: int) -> list[bytes]:
        """Up to `count` of the next streams of a list that was just made."""
        found: list[bytes] = self._names[self.at : self.at + count].tolist()
        return found

    def peek(self, most: int) -> tuple[Index, Index]:
        """(places of up to `most` of the next streams, for each what `at` is to be once it is taken)."""
        while self.at < len(self._names):
            block = slice(self.at, self.at + most)
            places = self._holding.find(self._names[block].tolist())
            valid = self._memory.used(places) == self._used[block]
            if self._on_device:
                valid &= places >= 0
            if valid.any():
                return places[valid], self.at + 1 + np.flatnonzero(valid)
            self.at += most
        return np.zeros(0, np.int64), np.zeros(0, np.int64)

    def take(self, count: int) -> Index:
        """The places of the next `count` streams, fewer where there are no more."""
        taken = [np.zeros(0, np.int64)]
        while count > 0:
            places, following = self.peek(count)
            if not len(places):
                break
            self.at = int(following[-1])
            taken.append(places)
            count -= len(places)
        return np.concatenate(taken)

    def __iter__(self) -> Iterator[bytes]:
        """The next streams, one by one."""
        while self.at < len(self._names):
            stream, used = self._names[self.at], self._used[self.at]
            self.at += 1
            place = self._holding.places.get(stream)
            if place is not None and place < self._memory.device.size:  # else it has just come
                slots, slot = (self._memory.device, place) if place >= 0 else (self._memory.host, ~place)
                if slots.used[slot] == used:
                    yield stream


@dataclass(slots=True)
class Holding:
    """The streams of one partition, and the queues of those that are to be parked and to leave next.

    The queues are sorted rarely (see ByLastTick) and are void once the order of last ticks goes back in time: then
    `forget_order`.
    """

    partition: int
    memory: Memory
    places: dict[bytes, int] = field(default_factory=dict)
    """Where each stream is."""
    on_device: int = 0
    """How many of them are on the device."""
    newest_ms: int = ABSENT
    """The highest event time so far."""
    looked_ms: int = ABSENT
    """What it was when idle streams were last looked for."""
    batches_since: int = 0
    """Batches since then."""
    has_no_clean: bool = False
    """The cold tier can take no more until another capture is confirmed."""
    ended: dict[bytes, int] = field(default_factory=dict)
    """Streams that are nowhere since their state ended, though snapshots may hold a row of them: each DIRTY or
    CAPTURED, as a row would be."""
    parking_queue: ByLastTick | None = None
    leaving_queue: ByLastTick | None = None

    def find(self, streams: Iterable[bytes]) -> Index:
        """The places of n streams."""
        return np.fromiter(map(self.places.get, streams, repeat(ABSENT)), np.int64)

    def numbers(self) -> Index:
        """Every place, in the order of `places`."""
        return np.fromiter(self.places.values(), np.int64, len(self.places))

    def forget_order(self) -> None:
        """The order of last ticks went back in time: what was sorted is void."""
        self.parking_queue = self.leaving_queue = None
        self.has_no_clean = False

    def oldest_on_device(self, count: int) -> Index:
        """Take the `count` streams on the device whose last ticks are the oldest; they are to leave it at once."""
        if self.parking_queue is None or len(places := self.parking_queue.take(count)) < count:
            self.parking_queue = ByLastTick(self, on_device=True)
            places = self.parking_queue.take(count)
        return places

    def next_on_device(self, most: int) -> tuple["ByLastTick", Index]:
        """Look at up to `most` of the oldest on the device; skip() those that leave it."""
        if self.parking_queue is None or not len(places := self.parking_queue.peek(most)[0]):
            self.parking_queue = ByLastTick(self, on_device=True)
            places = self.parking_queue.peek(most)[0]
        return self.parking_queue, places
