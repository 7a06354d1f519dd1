"""The keys of all streams in memory, each with a number and the stream's place. Knows no slot's contents.

A key has a number while a slot holds it, also one that was given up and is not free yet. Its record and the cell
that finds it are gone with the last slot, so what is kept is bounded by the slots. No table is ever copied whole:
records come in chunks, and cells in thousands of segments that double one by one.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamrnn.engine.rows.row_places import Index
from streamrnn.ticks.byte_spans import Spans

Partitions = NDArray[np.int32]
Halves = NDArray[np.int32]


class KeyTable:
    """Keys of partitions, found by compiled code; one thread at a time.

    hash_bits: of 64 bits of a key's hash, those that count; few make keys collide, which changes nothing but time.
    """

    def __init__(self, hash_bits: int = 64) -> None:
        from streamrnn.engine.rows import key_cells, key_records  # numba is loaded only where it is used

        self._code, self._chunk = key_cells, key_records.CHUNK
        width, first = key_cells.SEGMENTS, key_cells.FIRST
        self._first = np.zeros(width * first, np.int64)
        self._grown: dict[int, Index] = {}
        self._records: list[Halves] = []
        self._notes: list[Halves] = []
        segments = np.zeros((width, 3), np.int64)
        segments[:, key_cells.ADDRESS] = self._first.ctypes.data + 8 * first * np.arange(width)
        segments[:, key_cells.MASK] = first - 1
        chunks, hashed = np.zeros((1, 2), np.int64), np.zeros(key_cells.BLOCK, np.uint64)
        self._cells = key_cells.Cells(key_cells.counts_of(hash_bits), segments, chunks, hashed)
        key_cells.warm_up(self._cells)

    def __len__(self) -> int:
        """Keys that have a number."""
        return int(self._cells.segments[:, self._code.HELD].sum())

    @property
    def nbytes(self) -> int:
        """Bytes allocated now."""
        halves = sum(array.nbytes for array in (*self._records, *self._notes))
        return halves + sum(array.nbytes for array in (self._first, *self._grown.values(), *self._cells))

    def find(self, partitions: Partitions, keys: Spans) -> tuple[Index, Index]:
        """(numbers, places) of n keys, UNKNOWN and ABSENT where there is none; partitions (n,) or (1,)."""
        n = len(keys)
        numbers, places = np.empty(n, np.int64), np.empty(n, np.int64)
        self._code.find(self._cells, partitions, *_columns(keys), numbers, places)
        return numbers, places

    def add(self, partitions: Partitions, keys: Spans) -> Index:
        """The numbers of n keys, given to those that have none; a slot is to hold each before the next release."""
        numbers, done = np.empty(len(keys), np.int64), 0
        self._make_room(keys.sizes)
        while True:
            done = self._code.add(self._cells, partitions, *_columns(keys), numbers, done)
            if done == len(keys):
                return numbers
            self._grow(int(self._cells.counts[self._code.FULL]))

    def _make_room(self, sizes: Index) -> None:
        """Have records for n keys of these sizes."""
        counts, chunks = self._cells.counts, self._cells.chunks
        needed = int((1 + (np.maximum(sizes - 16, 0) + 23) // 24).sum())
        while counts[self._code.UNUSED] < needed:
            at = len(self._records)
            if at == len(chunks):
                chunks = np.concatenate((chunks, np.zeros_like(chunks)))
                self._cells = self._cells._replace(chunks=chunks)
            records, notes = np.zeros((self._chunk, 8), np.int32), np.zeros((self._chunk, 4), np.int32)
            self._records.append(records)
            self._notes.append(notes)
            chunks[at] = records.ctypes.data, notes.ctypes.data
            counts[self._code.UNUSED] += self._chunk

    def _grow(self, segment: int) -> None:
        """Double the cells of a segment."""
        code, segments = self._code, self._cells.segments
        cells = int(segments[segment, code.MASK]) + 1
        before = self._grown.get(segment, self._first[segment * cells : (segment + 1) * cells])
        after = self._grown[segment] = np.zeros(2 * cells, np.int64)
        code.grow(before, after)
        segments[segment, code.ADDRESS], segments[segment, code.MASK] = after.ctypes.data, len(after) - 1

    def put(self, numbers: Index, places: Index) -> int:
        """Have n streams be at these places: how many more are somewhere now."""
        return int(self._code.put(self._cells, numbers, places))

    def places(self, numbers: Index) -> Index:
        """Where n streams are, ABSENT for UNKNOWN."""
        places = np.empty(len(numbers), np.int64)
        self._code.places_of(self._cells, numbers, places)
        return places

    def place(self, number: int) -> int:
        """Where one stream is."""
        return int(self._records[number // self._chunk][number % self._chunk, 0])

    def move(self, number: int, place: int) -> None:
        """Have one stream be at a place."""
        self._records[number // self._chunk][number % self._chunk, 0] = place

    def hold(self, numbers: Index) -> None:
        """Slots hold these keys."""
        self._code.hold(self._cells, numbers)

    def release(self, numbers: Index) -> None:
        """These slots do not, any more: keys that none holds lose their numbers."""
        self._code.release(self._cells, numbers)

    def name(self, number: int) -> bytes:
        """One key."""
        return self.names(np.array([number]))[0]

    def names(self, numbers: Index) -> Spans:
        """Copies of n keys."""
        sizes = np.empty(len(numbers), np.int64)
        self._code.measure(self._cells, numbers, sizes)
        starts = np.cumsum(sizes) - sizes
        data = np.empty(int(sizes.sum()), np.uint8)
        self._code.spell(self._cells, numbers, starts, data)
        return Spans(data, starts, sizes)

    def lives(self, numbers: Index) -> Index:
        """For each of n numbers how often it was taken from a key: it changes before it is given to another."""
        found = np.empty(len(numbers), np.int64)
        self._code.lives(self._cells, numbers, found)
        return found

    def life(self, number: int) -> int:
        """How often one number was taken from a key."""
        return int(self._notes[number // self._chunk][number % self._chunk, 1])


def packed(strings: Sequence[bytes]) -> Spans:
    """The strings as columns, copied unless they are such."""
    if isinstance(strings, Spans):
        return strings
    sizes = np.fromiter(map(len, strings), np.int64, len(strings))
    return Spans(np.frombuffer(b"".join(strings), np.uint8), np.cumsum(sizes) - sizes, sizes)


def _columns(keys: Spans) -> tuple[int, Index, Index]:
    """Address, starts and sizes as compiled code takes them: it is compiled for one kind of arrays."""
    starts, sizes = (column if column.flags.carray else column.copy() for column in (keys.starts, keys.sizes))
    return keys.data.ctypes.data, starts, sizes
