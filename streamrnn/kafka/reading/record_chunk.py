"""Owns the records that one call of a reader gives, as they are gathered into columns of their own bytes.

A chunk keeps no more alive than what its records take: an answer and a batch may be a thousand times as large.
Knows no offset's meaning. Shapes: n records.
"""

import numpy as np
from numpy.typing import NDArray

from streamrnn.kafka.compiled.walking import (
    FIELDS,
    HEADERS,
    HEADERS_SIZE,
    KEY,
    KEY_SIZE,
    LEAST_BYTES,
    OFFSET,
    TIME_MS,
    VALUE,
    VALUE_SIZE,
    walk_records,
)
from streamrnn.kafka.reading.batches import MOST_HEADERS, Header
from streamrnn.ticks import Record, RecordColumns, Spans


class BatchWalk:
    """A batch of form 2 and how far it was read: `number` of its records, which begin at held[at:]."""

    __slots__ = ("at", "header", "held", "number")

    def __init__(self, header: Header, held: memoryview) -> None:
        self.header, self.at, self.number = header, 0, 0
        self.held = np.frombuffer(held, np.uint8)
        self.held.flags.writeable = False  # one type of array, for which one loop is compiled

    @property
    def facts(self) -> tuple[NDArray[np.uint8], int, int, int, int, int, int, bool]:
        """What `walk_records` takes first."""
        h = self.header
        return self.held, self.at, self.number, h.records, h.base, h.first_ms, h.max_ms, h.is_by_append_time

    @property
    def is_over(self) -> bool:
        """Whether all its records were read."""
        return self.number == self.header.records


class RecordChunk:
    """At most `most` records of a partition, to be taken out once as columns."""

    def __init__(self, partition: int, most: int) -> None:
        self._partition, self._left = partition, most
        self._parts: list[RecordColumns] = []
        self._plain: list[Record] = []
        self._pieces: list[NDArray[np.uint8]] = []
        self._bytes = self._row = 0
        self._rows = np.empty((FIELDS, 0), np.int64)

    @property
    def is_full(self) -> bool:
        """Whether no further record may be added."""
        return self._left == 0

    def walk(self, walk: BatchWalk, low: int, last: int) -> int:
        """Add records of a batch from offset `low` on, until one is irregular or all is full; the new `low`."""
        self._close_plain()
        stop_row = self._make_room(walk)
        walk.at, walk.number, row, low, begin = walk_records(
            *walk.facts, low, last, MOST_HEADERS, self._rows, self._row, stop_row, self._bytes
        )
        if row > self._row:
            self._pieces.append(walk.held[begin : walk.at])
            self._bytes += walk.at - begin
            self._left -= row - self._row
            self._row = row
        return low

    def add(self, record: Record) -> None:
        """Add one record that the plain reader has read."""
        self._close_walked()
        self._plain.append(record)
        self._left -= 1

    def taken(self) -> RecordColumns:
        """All records, in the order in which they were added."""
        self._close_plain()
        self._close_walked()
        parts, self._parts = self._parts, []
        return RecordColumns.joined(parts) if parts else RecordColumns.of(())

    def _make_room(self, walk: BatchWalk) -> int:
        """Have rows for all that the batch may still hold, as far as they may be added; the row after the last."""
        most = min(walk.header.records - walk.number, (len(walk.held) - walk.at) // LEAST_BYTES + 1, self._left)
        held = self._rows.shape[1]
        if self._row + most > held:
            wider = np.empty((FIELDS, min(self._row + max(most, held), self._row + self._left)), np.int64)
            wider[:, : self._row] = self._rows[:, : self._row]
            self._rows = wider
        return self._row + most

    def _close_walked(self) -> None:
        if self._row:
            rows = self._rows if self._row == self._rows.shape[1] else self._rows[:, : self._row].copy()
            data = np.concatenate(self._pieces)
            self._parts.append(
                RecordColumns(
                    np.full(self._row, self._partition, np.int32),
                    rows[OFFSET],
                    rows[TIME_MS],
                    Spans(data, rows[KEY], rows[KEY_SIZE]),
                    Spans(data, rows[VALUE], rows[VALUE_SIZE]),
                    Spans(data, rows[HEADERS], rows[HEADERS_SIZE]),
                )
            )
            self._pieces, self._bytes, self._row = [], 0, 0
            self._rows = np.empty((FIELDS, 0), np.int64)

    def _close_plain(self) -> None:
        if self._plain:
            self._parts.append(RecordColumns.of(self._plain))
            self._plain = []
