"""Where each tick of a batch finds its stream: who is new, who is called back, who leaves for whom.

Who is forgotten depends on the order of last ticks alone: a partition holds max_streams + max_parked streams, and
when one more comes, that with the lowest last offset leaves, within a batch as between two (law 1). Knows no torch
and no bytes.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.engine.holding import ABSENT, Holding, Oldest
from streamrnn.engine.slots import Index
from streamrnn.engine.table import Moves, SlotTable
from streamrnn.ticks import ORIGINS

LIFE = 2**60
"""Places from here on are of rows that a batch has yet to claim."""
RESTORED = ORIGINS.index("restored")
Seek = Callable[[int, list[bytes], Index], list[bytes]]
"""(partition, streams, offsets of their ticks) to those of the streams that the cold tier gives back."""


class Placement(NamedTuple):
    """slots (n,) int64; fresh (n,) bool: the row must be initialised before this tick."""

    slots: Index
    fresh: NDArray[np.bool_]


class _Group(NamedTuple):
    """A partition's ticks in a batch: which, their streams and places, and of the absent the first tick and whether
    the cold tier gave them back."""

    holding: Holding
    partition: int
    rows: slice | Index
    streams: list[bytes]
    places: Index
    absent: dict[bytes, int]
    found: list[bytes]


def place_ticks(
    table: SlotTable,
    partition: NDArray[np.int32],
    streams: list[bytes],
    offset: Index,
    moves: list[Moves],
    seek: Seek | None = None,
) -> Placement:
    """A slot for each of n ticks in arrival order; what that changes is added to `moves`."""
    groups = [_group(table, *group, offset, seek) for group in _by_partition(partition, streams)]
    slots, fresh = np.empty(len(streams), np.int64), np.zeros(len(streams), np.bool_)
    for group in groups:
        moved = Moves(group.partition)
        moves.append(moved)
        tight = not table.keeps_all and len(group.holding.places) + len(group.absent) > table.room
        step = _place_tight if tight else _place_loose
        slots[group.rows], fresh[group.rows] = step(table, group, moved)
    table.memory.device.used[slots] = offset
    return Placement(slots, fresh)


def _group(
    table: SlotTable, partition: int, rows: slice | Index, streams: list[bytes], offset: Index, seek: Seek | None
) -> _Group:  # fmt: skip
    holding = table.holding(partition)
    places = holding.find(streams)
    absent: dict[bytes, int] = {}
    for i in np.flatnonzero(places == ABSENT).tolist():
        absent.setdefault(streams[i], i)
    found: list[bytes] = []
    if absent and seek is not None:
        found = seek(partition, list(absent), offset[rows][list(absent.values())])
    return _Group(holding, partition, rows, streams, places, absent, found)


def _place_loose(table: SlotTable, group: _Group, moved: Moves) -> tuple[Index, NDArray[np.bool_]]:
    """There is room for all: nobody is forgotten."""
    holding, places, fresh = group.holding, group.places, np.zeros(len(group.streams), np.bool_)
    away = np.flatnonzero(places < 0)
    if not len(away):
        return places, fresh
    waiting = [group.streams[i] for i in away.tolist()]
    parked = {stream: place for stream, place in zip(waiting, places[away].tolist(), strict=True)
              if place != ABSENT}  # fmt: skip
    if parked:
        slots = table.claim(group.partition, list(parked), moved)
        table.call_back(~np.fromiter(parked.values(), np.int64), slots, moved)
    if group.absent:
        came = list(group.absent)
        slots = table.claim(group.partition, came, moved)
        fresh[list(group.absent.values())] = True
        if group.found:
            given = set(group.found)
            back = np.array([stream in given for stream in came])
            fresh[[group.absent[stream] for stream in group.found]] = False
            moved.found = slots[back]
            table.memory.device.origin[moved.found] = RESTORED
    places[away] = list(map(holding.places.__getitem__, waiting))
    return places, fresh


def _place_tight(table: SlotTable, group: _Group, moved: Moves) -> tuple[Index, NDArray[np.bool_]]:
    """One tick after the other: a stream that leaves for another may come back, fresh, within the batch.

    Whoever needs a row begins a life, whose place is LIFE and its number until all are known.
    """
    places, fresh, at = group.holding.places, np.zeros(len(group.streams), np.bool_), []
    lives, parked, gone = list[bytes](), dict[int, int](), list[int]()
    touched: OrderedDict[bytes, None] = OrderedDict()
    leaving = _leaving(group.holding, touched)
    for i, stream in enumerate(group.streams):
        place = places.get(stream)
        if place is None or place < 0:
            if place is not None:
                parked[len(lives)] = ~place
            elif len(places) >= table.room:
                gone.append(places.pop(next(leaving)))
            fresh[i] = place is None
            place = places[stream] = LIFE + len(lives)
            lives.append(stream)
        touched[stream] = None
        touched.move_to_end(stream)
        at.append(place)
    return _live(table, group, lives, parked, gone, moved, np.array(at, np.int64)), fresh


def _live(
    table: SlotTable, group: _Group, lives: list[bytes], parked: dict[int, int], gone: list[int], moved: Moves,
    at: Index,
) -> Index:  # fmt: skip
    """Claim the rows of all lives, and give up those that have ended: what `at` is in slots."""
    holding, device = group.holding, table.memory.device
    slots = device.claim(group.partition, lives, -1)
    holding.on_device += len(lives)
    moved.claimed.append(slots)
    for life, (stream, slot) in enumerate(zip(lives, slots.tolist(), strict=True)):
        if holding.places.get(stream) == LIFE + life:
            holding.places[stream] = slot
    if parked:
        table.call_back(np.fromiter(parked.values(), np.int64), slots[list(parked)], moved)
    left = np.array(gone, np.int64)
    for places in (left, at):
        places[places >= LIFE] = slots[places[places >= LIFE] - LIFE]
    table.let_go(holding, left, moved)
    moved.forgotten += len(left)
    return at


def _leaving(holding: Holding, touched: OrderedDict[bytes, None]) -> Iterator[bytes]:
    """The stream to leave next, again and again: of those the batch has not touched the oldest, then of those
    it has."""
    for is_new in (False, True):
        if is_new or holding.to_leave is None:
            holding.to_leave = Oldest(holding, on_device=False)
        yield from (stream for stream in holding.to_leave if stream not in touched)
    while True:
        yield touched.popitem(last=False)[0]


def _by_partition(
    partition: NDArray[np.int32], streams: list[bytes]
) -> Iterator[tuple[int, slice | Index, list[bytes]]]:
    """(number, which ticks, their streams) of each partition in a batch; most come in one run."""
    edges = [0, *(np.flatnonzero(partition[1:] != partition[:-1]) + 1).tolist(), len(partition)]
    numbers = partition[edges[:-1]].tolist()
    if len(set(numbers)) == len(numbers):
        for number, start, stop in zip(numbers, edges, edges[1:], strict=False):
            yield number, slice(start, stop), streams[start:stop] if len(numbers) > 1 else streams
        return
    for number in dict.fromkeys(numbers):
        rows = np.flatnonzero(partition == number)
        yield number, rows, [streams[i] for i in rows.tolist()]
