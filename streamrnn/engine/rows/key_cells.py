"""Finds, adds and removes keys in bulk, compiled. Owns the cells, which name records by a key's hash.

Records' numbers lie, with 32 bits of the key's hash each, in SEGMENTS open-addressing tables. Each grows alone, so
that no call pays for all. Shapes: n keys, C chunks of records.
"""

import os
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.engine.rows import key_records
from streamrnn.engine.rows.key_records import (
    copy_key,
    count_holders,
    hash_of,
    is_of,
    link,
    load,
    note_of,
    place_at,
    record_of,
    rest_at,
    rests,
    set_place,
    size_at,
    store,
    write_key,
)
from streamrnn.engine.rows.row_places import ABSENT, UNKNOWN, Index
from streamrnn.process.compiling import called, compiled_with, prefetch

SEGMENTS, FIRST = 4096, 32
"""Tables, and the cells that each has to begin with."""
EMPTY = 0
"""The cell that names no record: there is none with the number 0."""
FREE, NEXT, UNUSED, FULL, SECRET, COUNTED = 0, 1, 2, 3, 4, 6
"""In `counts`: first of the freed records; first never used; how many are freed or never used; the segment that is
to grow before more is added; two words of the hash's secret; the bits of the hash that count."""
ADDRESS, MASK, HELD = range(3)
"""Of a segment: where its cells lie; how many they are less 1; how many of them are taken."""
_TOP = np.uint64(52)
BLOCK = 64
"""Keys whose lines are fetched together."""


class Cells(NamedTuple):
    """The table as compiled code sees it: counts, segments (SEGMENTS, 3) and chunks (>= C, 2), all int64; room for
    the hashes of BLOCK keys."""

    counts: Index
    segments: Index
    chunks: Index
    hashed: NDArray[np.uint64]


def counts_of(hash_bits: int) -> Index:
    """The counts of a table without records and with a secret of its own."""
    counts = np.zeros(7, np.int64)
    counts[FREE], counts[NEXT], counts[UNUSED] = UNKNOWN, 1, -1
    counts[SECRET:COUNTED] = np.frombuffer(os.urandom(16), np.int64)
    counts[COUNTED] = -1 if hash_bits == 64 else (1 << hash_bits) - 1
    return counts


@called
def _hash(counts: Any, partition: int, key: int, size: int) -> Any:
    return hash_of(counts[SECRET], counts[SECRET + 1], partition, key, size) & np.uint64(counts[COUNTED])


@called
def _home(segments: Any, hashed: Any) -> Any:
    """(segment, 32 bits of a hash, the cell where its key is looked for first)."""
    segment, tag = np.int64(hashed >> _TOP), np.int64(hashed & np.uint64(0xFFFFFFFF))
    return segment, tag, tag & segments[segment, MASK]


@called
def _seek(cells: Any, hashed: Any, partition: int, key: int, size: int) -> int:
    """The number of a key's record, or UNKNOWN."""
    segment, tag, at = _home(cells.segments, hashed)
    base, mask = cells.segments[segment, ADDRESS], cells.segments[segment, MASK]
    while True:
        cell = load(base + 8 * at)
        if cell == EMPTY:
            return UNKNOWN
        number = cell & 0xFFFFFFFF
        if (cell >> 32) & 0xFFFFFFFF == tag and is_of(cells.chunks, number, partition, key, size):
            return number  # type: ignore[no-any-return]
        at = (at + 1) & mask


@called
def _approach(cells: Any, partitions: Any, keys: int, starts: Any, sizes: Any, first: int, hashed: Any) -> None:
    """Hash the keys of a block, and have what looking them up will read be on its way."""
    stop = min(first + BLOCK, len(starts))
    many = len(partitions) > 1
    for i in range(first, stop):
        hashed[i - first] = _hash(cells.counts, partitions[i if many else 0], keys + starts[i], sizes[i])
        segment, _, at = _home(cells.segments, hashed[i - first])
        prefetch(cells.segments[segment, ADDRESS] + 8 * at)
    for i in range(stop - first):
        segment, _, at = _home(cells.segments, hashed[i])
        cell = load(cells.segments[segment, ADDRESS] + 8 * at)
        if cell != EMPTY:
            prefetch(record_of(cells.chunks, cell & 0xFFFFFFFF))


@compiled_with(key_records, is_borrowing=True)
def find(cells: Any, partitions: Any, keys: int, starts: Any, sizes: Any, numbers: Any, places: Any) -> None:
    """The numbers and places of n keys, UNKNOWN and ABSENT where there are none; partitions (n,) or (1,)."""
    hashed, many = cells.hashed, len(partitions) > 1
    for first in range(0, len(starts), BLOCK):
        _approach(cells, partitions, keys, starts, sizes, first, hashed)
        for i in range(first, min(first + BLOCK, len(starts))):
            partition = partitions[i if many else 0]
            number = _seek(cells, hashed[i - first], partition, keys + starts[i], sizes[i])
            numbers[i] = number
            places[i] = ABSENT if number == UNKNOWN else place_at(record_of(cells.chunks, number))


@compiled_with(key_records, is_borrowing=True)
def add(cells: Any, partitions: Any, keys: int, starts: Any, sizes: Any, numbers: Any, done: int) -> int:
    """The numbers of n keys from the one that is number `done` on, made where there are none.

    The number of the key before which segment counts[FULL] is to grow, n if none. There must be records unused.
    """
    counts, segments = cells.counts, cells.segments
    hashed, many = cells.hashed, len(partitions) > 1
    for first in range(done, len(starts), BLOCK):
        _approach(cells, partitions, keys, starts, sizes, first, hashed)
        for i in range(first, min(first + BLOCK, len(starts))):
            partition, key, size = partitions[i if many else 0], keys + starts[i], sizes[i]
            number = _seek(cells, hashed[i - first], partition, key, size)
            if number == UNKNOWN:
                segment, tag, at = _home(segments, hashed[i - first])
                if 4 * segments[segment, HELD] > 3 * segments[segment, MASK]:
                    counts[FULL] = segment
                    return i
                number = _new(cells, hashed[i - first], partition, key, size)
                _put_cell(segments[segment, ADDRESS], segments[segment, MASK], at, (tag << 32) | number)
                segments[segment, HELD] += 1
            numbers[i] = number
    return len(starts)


@called
def _put_cell(base: int, mask: int, at: int, cell: int) -> None:
    while load(base + 8 * at) != EMPTY:
        at = (at + 1) & mask
    store(base + 8 * at, cell)


@called
def _take_record(counts: Any, chunks: Any) -> int:
    number = counts[FREE]
    if number == UNKNOWN:
        number = counts[NEXT]
        counts[NEXT] += 1
    else:
        counts[FREE] = load(record_of(chunks, number))
    counts[UNUSED] -= 1
    return number  # type: ignore[no-any-return]


@called
def _new(cells: Any, hashed: Any, partition: int, key: int, size: int) -> int:
    """The number of a record made for a key that has none."""
    counts, chunks = cells.counts, cells.chunks
    number, rest = _take_record(counts, chunks), UNKNOWN
    for _ in range(rests(size)):
        before = _take_record(counts, chunks)
        store(record_of(chunks, before), rest)
        rest = before
    link(chunks, number, size, rest)
    write_key(chunks, number, partition, ABSENT, key, size)
    store(note_of(chunks, number) + 8, np.int64(hashed))
    return number


@compiled_with(key_records, is_borrowing=True)
def grow(old: Any, new: Any) -> None:
    """Put the cells of a segment into more cells, all EMPTY."""
    base, mask = new.ctypes.data, len(new) - 1
    for cell in old:
        if cell != EMPTY:
            _put_cell(base, mask, (cell >> 32) & mask, cell)


@compiled_with(key_records, is_borrowing=True)
def put(cells: Any, numbers: Any, places: Any) -> int:
    """Write n places: how many more streams have one now."""
    more = 0
    for i in range(len(numbers)):
        record = record_of(cells.chunks, numbers[i])
        more += int(places[i] != ABSENT) - int(place_at(record) != ABSENT)
        set_place(record, places[i])
    return more


@compiled_with(key_records, is_borrowing=True)
def places_of(cells: Any, numbers: Any, places: Any) -> None:
    """The places of n records, ABSENT for UNKNOWN."""
    for i in range(len(numbers)):
        places[i] = ABSENT if numbers[i] == UNKNOWN else place_at(record_of(cells.chunks, numbers[i]))


@compiled_with(key_records, is_borrowing=True)
def hold(cells: Any, numbers: Any) -> None:
    """One slot more holds each of n keys."""
    for number in numbers:
        count_holders(cells.chunks, number, 1)


@compiled_with(key_records, is_borrowing=True)
def release(cells: Any, numbers: Any) -> None:
    """One slot less holds each of n keys; a key that none holds is removed."""
    for number in numbers:
        if count_holders(cells.chunks, number, -1) == 0:
            _remove(cells, number)


@called
def _remove(cells: Any, number: int) -> None:
    chunks, counts = cells.chunks, cells.counts
    note = note_of(chunks, number)
    _erase(cells.segments, np.uint64(load(note + 8)), number)
    store(note, load(note) + (1 << 32))
    record = record_of(chunks, number)
    counts[UNUSED] += 1 + rests(size_at(record))
    rest = rest_at(record)
    store(record, counts[FREE])
    counts[FREE] = number
    while rest != UNKNOWN:
        record = record_of(chunks, rest)
        following = load(record)
        store(record, counts[FREE])
        counts[FREE], rest = rest, following


@called
def _erase(segments: Any, hashed: Any, number: int) -> None:
    """Empty the cell of a record, and move those behind it that would not be found any more."""
    segment, tag, hole = _home(segments, hashed)
    base, mask = segments[segment, ADDRESS], segments[segment, MASK]
    while load(base + 8 * hole) != (tag << 32) | number:
        hole = (hole + 1) & mask
    at = hole
    while True:
        at = (at + 1) & mask
        cell = load(base + 8 * at)
        if cell == EMPTY:
            break
        if (at - (cell >> 32)) & mask >= (at - hole) & mask:
            store(base + 8 * hole, cell)
            hole = at
    store(base + 8 * hole, EMPTY)
    segments[segment, HELD] -= 1


@compiled_with(key_records, is_borrowing=True)
def measure(cells: Any, numbers: Any, sizes: Any) -> None:
    """The sizes of n records' keys."""
    for i in range(len(numbers)):
        sizes[i] = size_at(record_of(cells.chunks, numbers[i]))


@compiled_with(key_records, is_borrowing=True)
def spell(cells: Any, numbers: Any, starts: Any, data: Any) -> None:
    """Copies of n records' keys, each to its start."""
    out = data.ctypes.data
    for i in range(len(numbers)):
        copy_key(cells.chunks, numbers[i], out + starts[i])


@compiled_with(key_records, is_borrowing=True)
def lives(cells: Any, numbers: Any, out: Any) -> None:
    """How often n records were freed: another number than before means another key."""
    for i in range(len(numbers)):
        out[i] = load(note_of(cells.chunks, numbers[i])) >> 32


def warm_up(cells: Cells) -> None:
    """Compile all of this, or find it compiled, so that no step waits for it."""
    none, bytes_ = np.zeros(0, np.int64), np.zeros(0, np.uint8)
    find(cells, np.zeros(1, np.int32), 0, none, none, none, none)
    add(cells, np.zeros(1, np.int32), 0, none, none, none, 0)
    grow(none, np.zeros(2, np.int64))
    spell(cells, none, none, bytes_)
    for column in (put, places_of, measure, lives):
        column(cells, none, none)
    for holders in (hold, release):
        holders(cells, none)
