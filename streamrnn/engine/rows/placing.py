"""Where each tick of a batch finds its stream: who is new, who is called back, who leaves for whom, who ends.

Who is forgotten depends on the order of last ticks alone: a partition holds max_streams + max_parked streams, and
when one more comes, that with the lowest last offset leaves, within a batch as between two (law 1), and of several
that had theirs in one list the first by name. Knows no torch and no bytes.
"""

import math
from collections import OrderedDict
from collections.abc import Iterator
from itertools import takewhile
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.engine.rows.holding import ABSENT, ByLastTick, Holding
from streamrnn.engine.rows.slots import Index
from streamrnn.engine.rows.table import Moves, SlotTable
from streamrnn.ticks import ORIGINS, Endings, StreamRows, TickBatch

LIFE = 2**60
"""Places from here on are of rows that a batch has yet to claim.

Room for one stream, ticks of a, b, a: three lives begin, at LIFE, LIFE + 1 and LIFE + 2. When b comes, a leaves and
its life is over; when a comes back, b leaves. At the end three slots are claimed at once, say 5, 6 and 7. The ticks
go to 5, 6 and 7, all fresh; a stays at 7; 5 and 6 are given up, for others to have once this step is settled.
"""
RESTORED = ORIGINS.index("restored")


class FromCold(NamedTuple):
    """What the cold tier says of a partition's ticks: the rows it gives back, None for none; of the streams that
    end, those of which it may hold a row."""

    rows: StreamRows | None = None
    held: frozenset[bytes] = frozenset()


class Placement(NamedTuple):
    """slots (n,) int64; fresh (n,) bool: the row must be initialised before this tick."""

    slots: Index
    fresh: NDArray[np.bool_]


class PartitionTicks(NamedTuple):
    """A partition's ticks in a batch: which, their streams, offsets and places; the absent streams, each with its
    first tick; of each ending how many of these ticks come before, and which stream."""

    holding: Holding
    partition: int
    rows: slice | Index
    streams: list[bytes]
    offsets: Index
    places: Index
    absent: dict[bytes, int]
    endings: list[tuple[int, bytes]]

    def sought(self) -> dict[bytes, int]:
        """Those of the absent whose row the cold tier has, if it has one, is still theirs at their first tick."""
        ended = self.holding.ended
        if not ended and not self.endings:
            return self.absent
        first: dict[bytes, int] = {}
        for before, stream in self.endings:
            first.setdefault(stream, before)
        return {s: i for s, i in self.absent.items() if s not in ended and first.get(s, i + 1) > i}


def look(table: SlotTable, ticks: TickBatch) -> list[PartitionTicks]:
    """Where the streams of each partition's ticks are now. Changes nothing."""
    return [_look(table, *group, ticks) for group in _by_partition(ticks)]


def place_ticks(
    table: SlotTable, ticks: TickBatch, groups: list[PartitionTicks], below: list[FromCold], moves: list[Moves]
) -> Placement:
    """A slot for each of n ticks in arrival order; what that changes is added to `moves`, one for each group.

    groups: what `look` has just said. below: for each of them what the cold tier says.
    """
    slots, fresh = np.empty(len(ticks), np.int64), np.zeros(len(ticks), np.bool_)
    for group, given in zip(groups, below, strict=True):
        moved = Moves(group.partition)
        moves.append(moved)
        tight = not table.keeps_all and len(group.holding.places) + len(group.absent) > table.room
        step = _place_in_turn if tight or group.endings else _place_loose
        slots[group.rows], fresh[group.rows] = step(table, group, given, moved)
    table.memory.device.used[slots] = ticks.offset
    return Placement(slots, fresh)


def _look(
    table: SlotTable, partition: int, rows: slice | Index, streams: list[bytes], ticks: TickBatch
) -> PartitionTicks:
    holding = table.holding(partition)
    places = holding.find(streams)
    absent: dict[bytes, int] = {}
    for i in np.flatnonzero(places == ABSENT).tolist():
        absent.setdefault(streams[i], i)
    endings = [] if ticks.endings is None else _endings_of(partition, rows, ticks.endings)
    return PartitionTicks(holding, partition, rows, streams, ticks.offset[rows], places, absent, endings)


def _endings_of(partition: int, rows: slice | Index, endings: Endings) -> list[tuple[int, bytes]]:
    """How many of a partition's ticks come before each of its endings, and whose it is."""
    mine = np.flatnonzero(endings.partition == partition)
    if isinstance(rows, slice):
        before = np.clip(endings.before[mine] - rows.start, 0, rows.stop - rows.start)
    else:
        before = np.searchsorted(rows, endings.before[mine])
    return [(at, endings.streams[i]) for at, i in zip(before.tolist(), mine.tolist(), strict=True)]


def _place_loose(
    table: SlotTable, group: PartitionTicks, given: FromCold, moved: Moves
) -> tuple[Index, NDArray[np.bool_]]:
    """There is room for all: nobody is forgotten."""
    holding, places, fresh = group.holding, group.places, np.zeros(len(group.streams), np.bool_)
    away = np.flatnonzero(places < 0)
    if not len(away):
        return places, fresh
    waiting = [group.streams[i] for i in away.tolist()]
    parked = {
        stream: place for stream, place in zip(waiting, places[away].tolist(), strict=True) if place != ABSENT
    }
    if parked:
        slots = table.claim(group.partition, list(parked), moved)
        table.call_back(~np.fromiter(parked.values(), np.int64), slots, moved)
    if group.absent:
        table.claim(group.partition, list(group.absent), moved)
        fresh[list(group.absent.values())] = True
        if given.rows is not None and (found := given.rows.streams):
            fresh[[group.absent[stream] for stream in found]] = False
            _give(table, holding.find(found), moved)
        for stream in holding.ended.keys() & group.absent.keys():
            table.note_end(holding, stream, False, moved)
    places[away] = list(map(holding.places.__getitem__, waiting))
    return places, fresh


def _give(table: SlotTable, slots: Index, moved: Moves) -> None:
    """The slots of the streams that the cold tier gave back."""
    moved.found = slots
    table.memory.device.origin[slots] = RESTORED


def _place_in_turn(
    table: SlotTable, group: PartitionTicks, given: FromCold, moved: Moves
) -> tuple[Index, NDArray[np.bool_]]:
    """One tick after the other: a stream that ends, or leaves for another, may come back, fresh, within the batch.

    Whoever needs a row begins a life, whose place is LIFE and its number until all are known.
    """
    turn = _Turn(table, group, given, moved)
    places, touched = group.holding.places, turn.touched
    fresh, at = np.zeros(len(group.streams), np.bool_), []
    endings = iter([*group.endings, (math.inf, b"")])
    before, ending = next(endings)
    for i, (stream, offset) in enumerate(zip(group.streams, group.offsets.tolist(), strict=True)):
        while before <= i:
            turn.end(ending)
            before, ending = next(endings)
        place = places.get(stream)
        if place is None or place < 0:
            place, fresh[i] = turn.begin(stream, place)
        touched[stream] = offset
        touched.move_to_end(stream)
        at.append(place)
    while before < math.inf:
        turn.end(ending)
        before, ending = next(endings)
    return turn.live(np.array(at, np.int64)), fresh


class _Turn:
    """A partition whose ticks are placed one after the other: lives begun, of whom some were parked or found, and
    places of streams that were forgotten or ended."""

    def __init__(self, table: SlotTable, group: PartitionTicks, given: FromCold, moved: Moves) -> None:
        self._table, self._group, self._moved, self._holding = table, group, moved, group.holding
        self._held, found = given.held, [] if given.rows is None else given.rows.streams
        self._room = math.inf if table.keeps_all else table.room
        self._lives, self._parked, self._found = list[bytes](), dict[int, int](), dict.fromkeys(found, -1)
        self._gone, self._ended = list[int](), list[int]()
        self.touched: OrderedDict[bytes, int] = OrderedDict()
        self._leaving = _leaving(group.holding, self.touched)

    def begin(self, stream: bytes, parked: int | None) -> tuple[int, bool]:
        """A life for a stream that is parked or nowhere: its place, and whether it is to begin fresh."""
        places, life, is_fresh = self._holding.places, len(self._lives), False
        if parked is not None:
            self._parked[life] = ~parked
        else:
            if len(places) >= self._room:
                self._gone.append(places.pop(next(self._leaving)))
            is_fresh = self._found.get(stream, life) >= 0
            if not is_fresh:
                self._found[stream] = life
            if stream in self._holding.ended:
                self._table.note_end(self._holding, stream, False, self._moved)
        place = places[stream] = LIFE + life
        self._lives.append(stream)
        return place, is_fresh

    def end(self, stream: bytes) -> None:
        """Its state ends; a row that is elsewhere too is void, and the next snapshot has to tell."""
        place = self._holding.places.pop(stream, None)
        self.touched.pop(stream, None)
        if place is not None:
            self._ended.append(place)
        if self._table.keeps_all and (place is not None or stream in self._held):
            self._table.note_end(self._holding, stream, True, self._moved)

    def live(self, at: Index) -> Index:
        """Claim the rows of all lives, and give up those that are over: what `at` is in slots."""
        table, holding, device = self._table, self._holding, self._table.memory.device
        slots = device.claim(self._group.partition, self._lives, -1)
        holding.on_device += len(slots)
        self._moved.claimed.append(slots)
        for life, (stream, slot) in enumerate(zip(self._lives, slots.tolist(), strict=True)):
            if holding.places.get(stream) == LIFE + life:
                holding.places[stream] = slot
        if self._parked:
            parked = np.fromiter(self._parked.values(), np.int64)
            table.call_back(parked, slots[list(self._parked)], self._moved)
        if self._found:
            _give(table, slots[list(self._found.values())], self._moved)
        gone, ended = np.array(self._gone, np.int64), np.array(self._ended, np.int64)
        for places in (gone, ended, at):
            places[places >= LIFE] = slots[places[places >= LIFE] - LIFE]
        table.let_go(holding, gone, self._moved)
        table.end(holding, ended, self._moved)
        self._moved.forgotten += len(gone)
        return at


def _leaving(holding: Holding, touched: OrderedDict[bytes, int]) -> Iterator[bytes]:
    """The stream to leave next, again and again: of those the batch has not touched the oldest, then of those
    it has, by name where one list had the last ticks of several."""
    for is_new in (False, True):
        if is_new or holding.leaving_queue is None:
            holding.leaving_queue = ByLastTick(holding, on_device=False)
        yield from (stream for stream in holding.leaving_queue if stream not in touched)
    while True:
        oldest = next(iter(touched.values()))
        leaves, _ = min(takewhile(lambda item, at=oldest: item[1] == at, touched.items()))  # type: ignore[misc]
        del touched[leaves]
        yield leaves


def _by_partition(ticks: TickBatch) -> Iterator[tuple[int, slice | Index, list[bytes]]]:
    """(number, which ticks, their streams) of each partition in a batch; most come in one run."""
    partition, streams = ticks.partition, list(ticks.streams)
    edges = [0, *(np.flatnonzero(partition[1:] != partition[:-1]) + 1).tolist(), len(partition)]
    numbers = partition[edges[:-1]].tolist() if len(ticks) else []
    if len(set(numbers)) == len(numbers):
        for number, start, stop in zip(numbers, edges, edges[1:], strict=False):
            yield number, slice(start, stop), streams[start:stop] if len(numbers) > 1 else streams
    else:
        for number in dict.fromkeys(numbers):
            rows = np.flatnonzero(partition == number)
            yield number, rows, [streams[i] for i in rows.tolist()]
    if ticks.endings is not None:
        for number in sorted(set(ticks.endings.partition.tolist()).difference(numbers)):
            yield number, slice(0, 0), []
