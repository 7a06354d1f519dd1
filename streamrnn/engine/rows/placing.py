"""Where each tick of a batch finds its stream: who is new, who is called back, who leaves for whom, who ends.

Who is forgotten depends on the order of last ticks alone: a partition holds max_streams + max_parked streams, and
when one more comes, that with the lowest last offset leaves, within a batch as between two (law 1), and of several
that had theirs in one list the first by name. Knows no torch and no bytes.

Whoever needs a row begins a life, whose place is LIFE and its number until all are known.
Room for one stream, ticks of a, b, a: three lives begin, at LIFE, LIFE + 1 and LIFE + 2. When b comes, a leaves and
its life is over; when a comes back, b leaves. At the end three slots are claimed at once, say 5, 6 and 7. The ticks
go to 5, 6 and 7, all fresh; a stays at 7; 5 and 6 are given up, for others to have once this step is settled.
"""

import math
from collections import OrderedDict
from collections.abc import Iterator
from itertools import takewhile
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.engine.rows.holding import ByLastTick, Holding
from streamrnn.engine.rows.looking import FromCold, PartitionTicks
from streamrnn.engine.rows.row_places import ABSENT, LIFE, UNKNOWN, Index
from streamrnn.engine.rows.table import Moves, SlotTable
from streamrnn.ticks import ORIGINS, TickBatch

RESTORED = ORIGINS.index("restored")


class Placement(NamedTuple):
    """slots (n,) int64; fresh (n,) bool: the row must be initialised before this tick."""

    slots: Index
    fresh: NDArray[np.bool_]


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
        if group.is_whole():
            slots[group.rows] = group.places
            continue
        is_tight = not table.keeps_all and group.is_tight(table.room)
        step = _place_in_turn if is_tight or group.endings else _place_loose
        slots[group.rows], fresh[group.rows] = step(table, group, given, moved)
    return Placement(slots, fresh)


def _place_loose(
    table: SlotTable, group: PartitionTicks, given: FromCold, moved: Moves
) -> tuple[Index, NDArray[np.bool_]]:
    """There is room for all: nobody is forgotten."""
    places, numbers, fresh = group.places, group.numbers, np.zeros(len(group.places), np.bool_)
    away = np.flatnonzero(places < 0)
    is_absent = places[away] == ABSENT
    if not is_absent.all():
        called = _firsts(numbers, away[~is_absent])
        slots = table.claim(group.partition, numbers[called], moved)
        table.call_back(~places[called], slots, moved)
    if is_absent.any():
        begun = _begin(table, group, moved)
        fresh[begun] = True
        if given.rows is not None and given.rows.streams:
            found, slots = group.holding.find(given.rows.streams)
            fresh[begun[np.isin(numbers[begun], found)]] = False
            _give(table, slots, moved)
    places[away] = table.memory.keys.places(numbers[away])
    return places, fresh


def _begin(table: SlotTable, group: PartitionTicks, moved: Moves) -> Index:
    """Claim slots for the absent streams: the first tick of each."""
    holding, ended = group.holding, group.holding.ended
    begun = _firsts(group.numbers, _number(group))
    table.claim(group.partition, group.numbers[begun], moved)
    for stream in ended.keys() & group.absent.keys() if ended else ():
        table.note_end(holding, stream, False, moved)
    return begun


def _number(group: PartitionTicks) -> Index:
    """Give numbers to the streams that are absent: their ticks."""
    absent = np.flatnonzero(group.places == ABSENT)
    group.numbers[absent] = group.holding.add(group.streams.take(absent))
    return absent


def _firsts(numbers: Index, ticks: Index) -> Index:
    """Of some ticks the first of each stream, ascending."""
    return ticks[np.sort(np.unique(numbers[ticks], return_index=True)[1])]


def _give(table: SlotTable, slots: Index, moved: Moves) -> None:
    """The slots of the streams that the cold tier gave back."""
    moved.found = slots
    table.memory.device.origin[slots] = RESTORED


def _place_in_turn(
    table: SlotTable, group: PartitionTicks, given: FromCold, moved: Moves
) -> tuple[Index, NDArray[np.bool_]]:
    """One tick after the other: a stream that ends, or leaves for another, may come back fresh in the batch."""
    _number(group)
    turn, keys = _Turn(table, group, given, moved), table.memory.keys
    fresh, at = np.zeros(len(group.places), np.bool_), []
    endings = iter([*_numbered(group), _Ending(math.inf, b"", UNKNOWN)])
    ending = next(endings)
    for i, (number, offset) in enumerate(zip(group.numbers.tolist(), group.offsets.tolist(), strict=True)):
        while ending.before <= i:
            turn.end(ending)
            ending = next(endings)
        place = keys.place(number)
        if place < 0:
            place, fresh[i] = turn.begin(number, place)
        turn.touched[number] = offset
        turn.touched.move_to_end(number)
        at.append(place)
    while ending.before < math.inf:
        turn.end(ending)
        ending = next(endings)
    return turn.live(np.array(at, np.int64)), fresh


class _Ending(NamedTuple):
    before: float
    stream: bytes
    number: int


def _numbered(group: PartitionTicks) -> Iterator[_Ending]:
    """The endings, each with the number of its stream."""
    streams = [stream for _, stream in group.endings]
    for (before, stream), number in zip(group.endings, group.holding.find(streams)[0].tolist(), strict=True):
        yield _Ending(before, stream, number)


class _Turn:
    """A partition whose ticks are placed one after the other: lives begun, of whom some were parked or found, and
    places of streams that were forgotten or ended."""

    def __init__(self, table: SlotTable, group: PartitionTicks, given: FromCold, moved: Moves) -> None:
        self._table, self._group, self._moved, self._holding = table, group, moved, group.holding
        found = [] if given.rows is None else group.holding.find(given.rows.streams)[0].tolist()
        self._held, self._room = given.held, math.inf if table.keeps_all else table.room
        self._lives, self._parked, self._found = list[int](), dict[int, int](), dict.fromkeys(found, -1)
        self._gone, self._ended = list[int](), list[int]()
        self.touched: OrderedDict[int, int] = OrderedDict()
        self._leaving = _leaving(group.holding, self.touched)

    def begin(self, number: int, parked: int) -> tuple[int, bool]:
        """A life for a stream that is parked or nowhere: its place, and whether it is to begin fresh."""
        holding, life, is_fresh = self._holding, len(self._lives), False
        if parked != ABSENT:
            self._parked[life] = ~parked
        else:
            if holding.held >= self._room:
                self._gone.append(holding.move(next(self._leaving), ABSENT))
            is_fresh = self._found.get(number, life) >= 0
            if not is_fresh:
                self._found[number] = life
            if holding.ended and (stream := holding.memory.keys.name(number)) in holding.ended:
                self._table.note_end(holding, stream, False, self._moved)
        holding.move(number, LIFE + life)
        self._lives.append(number)
        return LIFE + life, is_fresh

    def end(self, ending: _Ending) -> None:
        """A stream's state ends; a row that is elsewhere too is void, and the next snapshot has to tell."""
        place = ABSENT if ending.number == UNKNOWN else self._holding.move(ending.number, ABSENT)
        self.touched.pop(ending.number, None)
        if place != ABSENT:
            self._ended.append(place)
        if self._table.keeps_all and (place != ABSENT or ending.stream in self._held):
            self._table.note_end(self._holding, ending.stream, True, self._moved)

    def live(self, at: Index) -> Index:
        """Claim the rows of all lives, and give up those that are over: what `at` is in slots."""
        table, holding, device = self._table, self._holding, self._table.memory.device
        lives = np.array(self._lives, np.int64)
        slots = device.claim(self._group.partition, lives, -1)
        holding.on_device += len(slots)
        self._moved.claimed.append(slots)
        goes_on = table.memory.keys.places(lives) == LIFE + np.arange(len(lives))
        holding.put(lives[goes_on], slots[goes_on])
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


def _leaving(holding: Holding, touched: OrderedDict[int, int]) -> Iterator[int]:
    """The stream to leave next, again and again: of those the batch has not touched the oldest, then of those
    it has, by name where one list had the last ticks of several."""
    for is_new in (False, True):
        if is_new or holding.leaving_queue is None:
            holding.leaving_queue = ByLastTick(holding, on_device=False)
        yield from (number for number in holding.leaving_queue if number not in touched)
    while True:
        oldest = next(iter(touched.values()))
        those = [number for number, _ in takewhile(lambda item, at=oldest: item[1] == at, touched.items())]  # type: ignore[misc]
        leaves = those[0] if len(those) == 1 else min(those, key=holding.memory.keys.name)
        del touched[leaves]
        yield leaves
