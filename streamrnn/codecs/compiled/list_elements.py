"""Where the elements of values that are lists lie, without an object for any. The slow twin is spreading.py.

Shapes: n values, m elements, and values that are no lists.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.compiled import json_numbers, json_passing, pack_passing
from streamrnn.codecs.compiled.json_numbers import NOWHERE, ONE, U
from streamrnn.codecs.compiled.json_passing import blank, passed
from streamrnn.codecs.compiled.loop_arguments import laid_out
from streamrnn.codecs.compiled.pack_passing import pack_list, passed_pack
from streamrnn.process.compiling import borrowing, compiled_with
from streamrnn.ticks import MOST_INDEX, NO_INDEX, Spans

ROW, START, SIZE, INDEX = range(4)
"""Of an element: its value's row, where it lies, and its index, NO_INDEX for a value that is no list."""
_UNSURE = -1
_LEAST_BYTES = 8
"""Of an element with its comma, on average: no tick is shorter."""


class ListElements(NamedTuple):
    """rows (m,): the value that each is of; values: m; indexes (m,): within a list, else NO_INDEX; has_lists."""

    rows: NDArray[np.int64]
    values: Spans
    indexes: NDArray[np.int32]
    has_lists: bool


def elements_in_texts(values: Spans, most: int) -> ListElements | None:
    """Of JSON; see `_elements`."""
    return _elements(_room_in_texts, _find_in_texts, values, most)


def elements_in_packs(values: Spans, most: int) -> ListElements | None:
    """Of MessagePack; see `_elements`."""
    return _elements(_room_in_packs, _find_in_packs, values, most)


def _elements(
    room_of: Callable[..., int], find: Callable[..., int], values: Spans, most: int
) -> ListElements | None:
    """The elements of n values; one of more than `most` bytes is not looked into. None where one is not surely
    sound, or where there may be so many that noting their places takes several times the values' room."""
    data, starts, sizes = laid_out(values)
    room = room_of(data, starts, sizes)
    if room > len(values) + len(data) // _LEAST_BYTES:
        return None
    found = np.empty((4, room), np.int64)
    count = find(data, starts, sizes, most, found)
    if count == _UNSURE:
        return None
    found = found[:, :count]
    index = found[INDEX].astype(np.int32)
    has_lists = bool((index != NO_INDEX).any())
    return ListElements(found[ROW], Spans(values.data, found[START], found[SIZE]), index, has_lists)


@borrowing
def _room_in_texts(data: Any, starts: Any, sizes: Any) -> int:
    """How many elements there are at most: one more than commas."""
    count = len(starts)
    for row in range(len(starts)):
        for at in range(U(starts[row]), U(starts[row]) + U(max(sizes[row], 0))):
            count += data[at] == 0x2C
    return count


@compiled_with(pack_passing, is_borrowing=True)
def _room_in_packs(data: Any, starts: Any, sizes: Any) -> int:
    """How many elements there are at most, as the lists say; of one too short for that, as many as fit."""
    count = len(starts)
    for row in range(len(starts)):
        if sizes[row] > 0:
            left, _ = pack_list(data, U(starts[row]), U(starts[row]) + U(sizes[row]))
            count += min(np.int64(left), sizes[row])
    return count


@borrowing
def _note(found: Any, count: int, row: int, start: Any, stop: Any, index: Any) -> int:
    found[ROW, count], found[START, count], found[SIZE, count], found[INDEX, count] = (
        row,
        start,
        stop - start,
        index,
    )
    return count + 1


@compiled_with(json_numbers, json_passing, is_borrowing=True)
def _find_in_texts(data: Any, starts: Any, sizes: Any, most: int, found: Any) -> int:
    """How many there are, _UNSURE for an error of any kind."""
    count = 0
    for row in range(len(starts)):
        at = U(starts[row])
        stop = at + U(max(sizes[row], 0))
        first = blank(data, at, stop)
        if sizes[row] > most or first >= stop or data[first] != 0x5B:
            count = _note(found, count, row, starts[row], starts[row] + sizes[row], NO_INDEX)
            continue
        at, index = blank(data, first + ONE, stop), 0
        while at < stop and index <= MOST_INDEX:
            end = passed(data, at, stop)
            if end >= stop:
                return _UNSURE
            count = _note(found, count, row, at, end, index)
            at, index = blank(data, end, stop), index + 1
            if at >= stop or data[at] != 0x2C:
                break
            at = blank(data, at + ONE, stop)
        if index == 0 or at >= stop or data[at] != 0x5D or blank(data, at + ONE, stop) != stop:
            return _UNSURE
    return count


@compiled_with(pack_passing, is_borrowing=True)
def _find_in_packs(data: Any, starts: Any, sizes: Any, most: int, found: Any) -> int:
    """As `_find_in_texts`."""
    count = 0
    for row in range(len(starts)):
        at = U(starts[row])
        stop = at + U(max(sizes[row], 0))
        first = data[at] if at < stop else 0
        if sizes[row] > most or not (0x90 <= first <= 0x9F or first == 0xDC or first == 0xDD):
            count = _note(found, count, row, starts[row], starts[row] + sizes[row], NO_INDEX)
            continue
        left, at = pack_list(data, at, stop)
        if at == NOWHERE or left == 0 or left > U(MOST_INDEX + 1) or left > stop - at:
            return _UNSURE
        for index in range(left):
            end = passed_pack(data, at, stop)
            if end > stop:
                return _UNSURE
            count, at = _note(found, count, row, at, end, np.int64(index)), end
        if at != stop:
            return _UNSURE
    return count
