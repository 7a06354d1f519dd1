"""Which values of records are to be read as ticks: one each, each of a list, or none. Knows no field.

A list stands for records of its elements' values, with the key, the timestamp and the place of the one it came in.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.formats.format import UNREADABLE, ObjectFormat
from streamrnn.codecs.input_form import InputForm
from streamrnn.codecs.keys import key_refusal
from streamrnn.codecs.reasons import Refused, reading_refusal
from streamrnn.ticks import MOST_INDEX, NO_INDEX, Endings, Record, RecordColumns, Spans


@dataclass(slots=True)
class RecordRows:
    """m records of one value each, and of each its index in the list it came in or NO_INDEX; has_lists, whether any
    came in one; the ends of states between them: after how many rows, in which partition, of which stream; skipped:
    null values that mean nothing."""

    records: Sequence[Record]
    indexes: Sequence[int] | NDArray[np.int32]
    has_lists: bool = False
    endings: list[tuple[int, int, bytes]] = field(default_factory=list)
    skipped: int = 0

    def ended(self, refused: dict[int, Refused]) -> Endings | None:
        """The endings among the rows that are not refused."""
        if not self.endings:
            return None
        rows, partitions, streams = zip(*self.endings, strict=True)
        gone = np.zeros(len(self.records) + 1, np.int64)
        gone[[row + 1 for row in refused]] = 1
        before = np.array(rows, np.int64)
        return Endings(before - gone.cumsum()[before], np.array(partitions, np.int32), list(streams))


@dataclass(slots=True)
class _GrowingRows(RecordRows):
    """Rows that are added one after the other."""

    records: list[Record] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)


class Spreader:
    """Finds the rows of records, as `input.records` and `input.tombstones` say; of a format without objects, None,
    no value is a list."""

    def __init__(self, form: InputForm, most_bytes: int, of: ObjectFormat | None) -> None:
        self._form, self._most_bytes, self._format = form, most_bytes, of
        if form.records == "list" and of is not None:
            of.split_all(Spans.of([]), most_bytes)  # compiles now, not at the first tick
        self._last: tuple[bytes, list[msgspec.Raw]] = (b"", [])

    def rows(self, records: Sequence[Record], refused: dict[int, Refused]) -> RecordRows | None:
        """None where each record is a row; adds to the refused, by row, what cannot be one."""
        is_silent = self._form.tombstones != "dead-letter" and _has_null(records)
        if not is_silent and (self._form.records == "one" or not self._has_lists(records)):
            return None
        columns = None if is_silent else self._columns(records)
        if columns is not None:
            return columns
        rows = _GrowingRows()
        for record in records:
            if record.value is None and is_silent:
                self._take_null(record, rows, refused)
            elif self._form.records == "list" and self._is_list(record):
                self._take_list(record, rows, refused)
            else:
                _add(rows, record)
        return rows

    def _columns(self, records: Sequence[Record]) -> RecordRows | None:
        """The rows without an object for any, where they come as columns, and all lists are surely sound."""
        if self._format is None or not isinstance(records, RecordColumns):
            return None
        found = self._format.split_all(records.values, self._most_bytes)
        if found is None:
            return None
        return RecordRows(replace(records.take(found.rows), values=found.values), found.indexes, found.has_lists)

    def _has_lists(self, records: Sequence[Record]) -> bool:
        """Whether any value is a list; of columns, whether any may be one."""
        if not isinstance(records, RecordColumns) or self._format is None:
            return any(map(self._is_list, records))
        held = records.values.take(records.values.sizes > 0)
        firsts = np.unique(held.data[held.starts]).tolist()
        return any(self._format.is_list(bytes([first, 0x5B])) for first in firsts)

    def _is_list(self, record: Record) -> bool:
        value = record.value
        if self._format is None or not value or len(value) > self._most_bytes:
            return False
        return self._format.is_list(value)

    def _take_null(self, record: Record, rows: _GrowingRows, refused: dict[int, Refused]) -> None:
        if self._form.tombstones == "skip":
            rows.skipped += 1
            return
        why = key_refusal(record.key, self._form.key, None)
        if why is not None:
            refused[len(rows.records)] = why
            _add(rows, record)
        else:
            assert record.key is not None
            rows.endings.append((len(rows.records), record.partition, record.key))

    def _take_list(self, record: Record, rows: _GrowingRows, refused: dict[int, Refused]) -> None:
        try:
            elements = self._elements(record.value or b"")
        except Refused as why:
            refused[len(rows.records)] = why
            _add(rows, record)
            return
        rows.has_lists = True
        partition, offset, timestamp_ms, key, _, headers = record
        rows.records += [Record(partition, offset, timestamp_ms, key, bytes(e), headers) for e in elements]
        rows.indexes += range(len(elements))

    def _elements(self, value: bytes) -> list[msgspec.Raw]:
        try:
            found = self._split(value)
        except UNREADABLE as error:
            raise reading_refusal(error, self._form, {}) from error
        if not found:
            raise Refused("empty_list", "the list has no ticks in it")
        if len(found) > MOST_INDEX + 1:
            raise Refused("too_large", f"a list of {len(found)} ticks, the limit is {MOST_INDEX + 1}")
        return found

    def _split(self, value: bytes) -> list[msgspec.Raw]:
        assert self._format is not None, "only a format with objects has lists"
        try:
            return self._format.split(value)
        except UNREADABLE:
            repaired = self._format.repaired(value)
            if repaired is None:
                raise
            return self._format.split(repaired)

    def count(self, record: Record) -> int | None:
        """How many ticks a list has; None for any other record, and for a list that is refused as a whole."""
        if self._form.records == "one" or not self._is_list(record):
            return None
        try:
            return len(self._elements(record.value or b""))
        except Refused:
            return None

    def element(self, record: Record, index: int) -> Record:
        """One of a list's elements as a record of its own; any other record as it is."""
        if index == NO_INDEX:
            return record
        value = record.value or b""
        if self._last[0] is not value:  # many of one list are asked for in turn
            self._last = (value, self._elements(value))
        return record._replace(value=bytes(self._last[1][index]))


def _has_null(records: Sequence[Record]) -> bool:
    if isinstance(records, RecordColumns):
        return records.values.has_none
    return any(record.value is None for record in records)


def _add(rows: _GrowingRows, record: Record) -> None:
    rows.records.append(record)
    rows.indexes.append(NO_INDEX)
