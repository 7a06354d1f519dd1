"""The streams of one partition and where each is: on the device or parked. Knows no torch and no bytes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from streamrnn.engine.rows.key_table import KeyTable, packed
from streamrnn.engine.rows.row_places import ABSENT, Index
from streamrnn.engine.rows.slots import Slots

_LONG_AGO = -(2**62)
"""Before every event time."""


class Memory:
    """The two memories that rows are in, and the keys of the streams that have one."""

    def __init__(self) -> None:
        self.keys = KeyTable()
        self.device, self.host = Slots(self.keys, reserved=1), Slots(self.keys)

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
        self._memory, self._on_device = holding.memory, on_device
        memories = (self._memory.device,) if on_device else (self._memory.device, self._memory.host)
        owned = [(slots, slots.of(holding.partition)) for slots in memories]
        used = np.concatenate([slots.used[at] for slots, at in owned])
        order = np.argsort(used, kind="stable")
        self._numbers = np.concatenate([slots.numbers[at] for slots, at in owned])[order]
        self._used, self.at = used[order], 0
        same = np.flatnonzero(self._used[1:] == self._used[:-1])
        for at in dict.fromkeys(np.searchsorted(self._used, self._used[same]).tolist()):
            block = slice(at, int(np.searchsorted(self._used, self._used[at], "right")))
            named = zip(self._memory.keys.names(self._numbers[block]), self._numbers[block].tolist(), strict=True)
            self._numbers[block] = [number for _, number in sorted(named)]
        self._lives = self._memory.keys.lives(self._numbers)

    def rest(self, count: int) -> Index:
        """Up to `count` of the next streams of a list that was just made."""
        return self._numbers[self.at : self.at + count]

    def peek(self, most: int) -> tuple[Index, Index]:
        """(places of up to `most` of the next streams, for each what `at` is to be once it is taken)."""
        keys = self._memory.keys
        while self.at < len(self._numbers):
            block = slice(self.at, self.at + most)
            valid = keys.lives(self._numbers[block]) == self._lives[block]
            # A number without a key has no place: what its record holds is the number that is free next.
            places = np.where(valid, keys.places(self._numbers[block]), ABSENT)
            valid &= self._memory.used(places) == self._used[block]
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

    def __iter__(self) -> Iterator[int]:
        """The numbers of the next streams, one by one."""
        keys = self._memory.keys
        while self.at < len(self._numbers):
            number, used, life = int(self._numbers[self.at]), self._used[self.at], self._lives[self.at]
            self.at += 1
            place = keys.place(number)
            if place == ABSENT or place >= self._memory.device.size or keys.life(number) != life:
                continue  # it has left, has just come, or is another by now
            slots, slot = (self._memory.device, place) if place >= 0 else (self._memory.host, ~place)
            if slots.used[slot] == used:
                yield number


@dataclass(slots=True)
class Holding:
    """The streams of one partition, and the queues of those that are to be parked and to leave next.

    The queues are sorted rarely (see ByLastTick) and are void once the order of last ticks goes back in time: then
    `forget_order`.
    """

    partition: int
    memory: Memory
    held: int = 0
    """Streams that have a place."""
    on_device: int = 0
    """How many of them are on the device."""
    newest_ms: int = _LONG_AGO
    """The highest event time so far."""
    looked_ms: int = _LONG_AGO
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

    def find(self, streams: Sequence[bytes]) -> tuple[Index, Index]:
        """(numbers, places) of n streams, UNKNOWN and ABSENT where there is none."""
        return self.memory.keys.find(np.array([self.partition], np.int32), packed(streams))

    def add(self, streams: Sequence[bytes]) -> Index:
        """The numbers of n streams, each of which is to have a slot now if it has none."""
        return self.memory.keys.add(np.array([self.partition], np.int32), packed(streams))

    def put(self, numbers: Index, places: Index) -> None:
        """Have streams of this partition be at these places, or nowhere."""
        self.held += self.memory.keys.put(numbers, places)

    def move(self, number: int, place: int) -> int:
        """Have one stream be at a place, or nowhere: where it was."""
        before = self.memory.keys.place(number)
        self.memory.keys.move(number, place)
        self.held += (place != ABSENT) - (before != ABSENT)
        return before

    def take_away(self, numbers: Index) -> None:
        """Have streams of this partition be nowhere."""
        self.put(numbers, np.full(len(numbers), ABSENT))

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
