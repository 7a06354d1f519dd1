"""Which stream is where: on the device, parked on the host, or gone. Knows no torch, no bytes and no batch.

Who is parked changes no bit; placing.py says who is forgotten.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streamrnn.engine.rows.holding import ByLastTick, Holding, Memory
from streamrnn.engine.rows.row_places import ABSENT, Index
from streamrnn.engine.rows.slots import CLEAN, DIRTY

NOTHING = np.zeros(0, np.int64)
IsKept = Callable[[list[bytes]], NDArray[np.bool_]]
"""(n,) which of n streams the cold tier holds."""


@dataclass(slots=True)
class Moves:
    """What placing a partition's ticks has changed: places claimed and given up, and which of the claimed are for
    streams that the cold tier gave back; unparked, pairs of (slots of the host, slots of the device) to copy;
    ended, what `Holding.ended` said before of the streams for which that was changed."""

    partition: int
    claimed: list[Index] = field(default_factory=list)
    left: list[Index] = field(default_factory=list)
    found: Index = field(default_factory=lambda: NOTHING)
    unparked: tuple[Index, Index] = (NOTHING, NOTHING)
    ended: dict[bytes, int | None] = field(default_factory=dict)
    evicted: int = 0
    forgotten: int = 0


class SlotTable:
    """The places of all streams of this worker's partitions; the caps are for each partition.

    keeps_all: what memory lets go of can be had again, so nobody is forgotten.
    """

    def __init__(self, max_streams: int, max_parked: int = 0, *, keeps_all: bool = False) -> None:
        self.max_streams, self.room = max_streams, max_streams + max_parked
        self.memory = Memory()
        self.keeps_all = keeps_all
        self._holdings: dict[int, Holding] = {}

    def holding(self, partition: int) -> Holding:
        """The streams of a partition."""
        holding = self._holdings.get(partition)
        if holding is None:
            holding = self._holdings[partition] = Holding(partition, self.memory)
        return holding

    def parked_of(self, partition: int) -> int:
        """How many of a partition's streams are on the host, or ended and no snapshot tells of it yet."""
        holding = self._holdings.get(partition)
        return 0 if holding is None else holding.held - holding.on_device + len(holding.ended)

    def claim(self, partition: int, numbers: Index, moved: Moves) -> Index:
        """Slots of the device for streams that have none there."""
        slots, holding = self.memory.device.claim(partition, numbers, -1), self.holding(partition)
        holding.put(numbers, slots)
        holding.on_device += len(numbers)
        moved.claimed.append(slots)
        return slots

    def call_back(self, parked: Index, slots: Index, moved: Moves) -> None:
        """Have rows of the host go on in slots of the device."""
        host, device = self.memory.host, self.memory.device
        device.origin[slots], device.dirty[slots] = host.origin[parked], host.dirty[parked]
        host.give_up(parked)
        moved.left.append(~parked)
        moved.unparked = (parked, slots)

    def let_go(self, holding: Holding, places: Index, moved: Moves) -> None:
        """Give up the places of streams that are nowhere by now."""
        on_device = holding.on_device
        self._give_up(holding, places)
        moved.left.append(places)
        moved.evicted += on_device - holding.on_device

    def end(self, holding: Holding, places: Index, moved: Moves) -> None:
        """Give up the places of streams that are nowhere by now, for their state has ended."""
        self._give_up(holding, places)
        moved.left.append(places)

    def note_end(self, holding: Holding, stream: bytes, has_ended: bool, moved: Moves) -> None:
        """Whether a row of this stream that the cold tier may hold is void from here on."""
        moved.ended.setdefault(stream, holding.ended.get(stream))
        if has_ended:
            holding.ended[stream] = DIRTY
        else:
            del holding.ended[stream]

    def _give_up(self, holding: Holding, places: Index) -> None:
        for slots, _, chosen in self.memory.split(places):
            slots.give_up(chosen)
            holding.on_device -= len(chosen) if slots is self.memory.device else 0

    def take_away(self, holding: Holding, places: Index) -> None:
        """Give up places, and have their streams be nowhere."""
        self._give_up(holding, places)
        for slots, _, chosen in self.memory.split(places):
            holding.take_away(slots.numbers[chosen])

    def park(self, partition: int, slots: Index, moved: Moves) -> Index:
        """Move rows of the device to the host: their slots there, to be copied to."""
        host, device, holding = self.memory.host, self.memory.device, self.holding(partition)
        numbers = device.numbers[slots]
        parked = host.claim(partition, numbers, device.used[slots])
        host.origin[parked], host.dirty[parked] = device.origin[slots], device.dirty[slots]
        device.give_up(slots)
        holding.put(numbers, ~parked)
        holding.on_device -= len(slots)
        moved.left.append(slots)
        moved.claimed.append(~parked)
        moved.evicted += len(slots)
        return parked

    def surplus(self, partition: int) -> Index:
        """Take the slots above max_streams, oldest first; they are to be parked at once."""
        holding = self.holding(partition)
        over = holding.on_device - self.max_streams
        return holding.oldest_on_device(over) if over > 0 else NOTHING

    def trim(self, partition: int, moved: Moves) -> None:
        """Forget the oldest of a partition's streams that are more than its room."""
        holding = self.holding(partition)
        over = holding.held - self.room
        if over > 0:
            gone = self.memory.keys.places(ByLastTick(holding, on_device=False).rest(over))
            self.take_away(holding, gone)
            moved.left.append(gone)
            moved.forgotten += over

    def release(self, partition: int, moved: Moves, is_kept: IsKept) -> None:
        """Release the oldest parked streams beyond max_parked whose current rows the cold tier holds.

        A few extra go at once, so that the scan is not repeated for every stream.
        """
        holding, host, most = self.holding(partition), self.memory.host, self.room - self.max_streams
        over = holding.held - holding.on_device - most
        if over <= 0 or holding.has_no_clean:
            return
        clean = np.flatnonzero((host.owner == partition) & (host.dirty == CLEAN))
        holding.has_no_clean = len(clean) < over
        oldest = clean[np.argsort(host.used[clean])[: over + most // 64]]
        if len(oldest):
            kept = is_kept(list(self.memory.keys.names(host.numbers[oldest])))
            host.dirty[oldest[np.logical_not(kept)]] = DIRTY  # the next capture is to have them again
            gone = ~oldest[kept]
            self.take_away(holding, gone)
            moved.left.append(gone)

    def admit(self, partition: int, streams: list[bytes], used: Index, moved: Moves) -> Index:
        """Places for n distinct streams whose rows come from elsewhere, the last used of the partition's streams on
        the device; what they had is given up."""
        holding, memory = self.holding(partition), self.memory
        numbers = holding.add(streams)
        before = memory.keys.places(numbers)
        moved.left.append(before[before != ABSENT])
        self._give_up(holding, before)
        places = np.empty(len(streams), np.int64)
        stays = used >= self._least_on_device(partition, used)
        for slots, chosen in ((memory.device, np.flatnonzero(stays)), (memory.host, np.flatnonzero(~stays))):
            claimed = slots.claim(partition, numbers[chosen], used[chosen])
            places[chosen] = claimed if slots is memory.device else ~claimed
            slots.dirty[claimed] = CLEAN
        holding.on_device += int(stays.sum())
        holding.put(numbers, places)
        for stream in holding.ended.keys() & streams:
            del holding.ended[stream]
        holding.forget_order()
        return places

    def expel(self, partition: int, streams: list[bytes], moved: Moves) -> None:
        """Have streams be nowhere whose state has ended, as the cold tier knows."""
        holding = self.holding(partition)
        _, places = holding.find(streams)
        held = places[places != ABSENT]
        self.take_away(holding, held)
        moved.left.append(held)

    def _least_on_device(self, partition: int, used: Index) -> int:
        """From which last offset on there is room on the device, those used at `used` included."""
        device = self.memory.device
        together = np.concatenate((device.used[device.of(partition)], used))
        surplus = len(together) - self.max_streams
        return int(np.partition(together, surplus)[surplus] if surplus > 0 else ABSENT)

    def drop(self, partition: int) -> Index:
        """Give up every place of a partition."""
        holding = self._holdings.get(partition)
        if holding is None:
            return NOTHING
        device, host = self.memory.device.of(partition), self.memory.host.of(partition)
        places = np.concatenate((device, ~host))
        self.take_away(holding, places)
        del self._holdings[partition]
        return places

    def find(self, partition: int, stream: bytes) -> int | None:
        """Where a stream is, None if it is nowhere."""
        holding = self._holdings.get(partition)
        place = ABSENT if holding is None else int(holding.find([stream])[1][0])
        return None if place == ABSENT else place

    def partitions_of(self, stream: bytes) -> list[int]:
        """The partitions that hold this key (one, unless the producer changed its partitioner)."""
        return [partition for partition in self.partitions() if self.find(partition, stream) is not None]

    def partitions(self) -> list[int]:
        """The partitions that hold streams, ascending."""
        return sorted(self._holdings)

    def numbers(self, partition: int) -> Index:
        """The numbers of a partition's streams, ascending: the order in which they came, but that a number is given
        to another stream once its own is gone."""
        memories = self.memory.device, self.memory.host
        return np.sort(np.concatenate([slots.numbers[slots.of(partition)] for slots in memories]))
