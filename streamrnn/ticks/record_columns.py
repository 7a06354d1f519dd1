"""Many records as columns: those that were fetched, and those that are to be published.

Either is a sequence of records for whoever looks at single ones, each made on demand. Shapes: n records.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from streamrnn.ticks.byte_spans import Buffers, RowChoice, Spans
from streamrnn.ticks.record import NO_INDEX, OutRecord, Place, Record, as_out_record, as_record
from streamrnn.ticks.record_headers import read_headers, write_headers


class _Columns:
    """What both have in common: a row is one item of every field."""

    __slots__ = ()

    def take(self, rows: RowChoice) -> Self:
        """Some of the records."""
        return type(self)(*(_take(getattr(self, f.name), rows) for f in fields(self)))  # type: ignore[arg-type]

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The records of at least one, in their order."""
        if len(parts) == 1:
            return parts[0]
        columns = ([getattr(part, f.name) for part in parts] for f in fields(cls))  # type: ignore[arg-type]
        made: Buffers = {}
        return cls(*(Spans.joined(c, made) if isinstance(c[0], Spans) else _concatenated(c) for c in columns))


def _take(column: Any, rows: RowChoice) -> Any:
    return column.take(rows) if isinstance(column, Spans) else column[rows]


def _concatenated(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts)


@dataclass(frozen=True, slots=True, eq=False)
class RecordColumns(_Columns, Sequence[Record]):
    """n records as fetched.

    partition (n,) int32; offset (n,) int64; timestamp_ms (n,) int64; keys, values: n strings or None; headers: n
    strings as in record_headers.py, empty for none.
    """

    partition: NDArray[np.int32]
    offset: NDArray[np.int64]
    timestamp_ms: NDArray[np.int64]
    keys: Spans
    values: Spans
    headers: Spans

    @classmethod
    def of(cls, records: Sequence[Record]) -> "RecordColumns":
        """Records as columns; as they are where they are columns already."""
        if isinstance(records, RecordColumns):
            return records
        partitions, offsets, times, keys, values, headers = zip(*records, strict=True) if records else ((),) * 6
        return cls(
            np.array(partitions, np.int32),
            np.array(offsets, np.int64),
            np.array(times, np.int64),
            Spans.of(keys),
            Spans.of(values),
            Spans.of([write_headers(one) for one in headers]),
        )

    def tolist(self) -> list[Record]:
        """All of them as objects."""
        headers = list(map(read_headers, self.headers)) if self.headers.sizes.any() else [[] for _ in self.offset]
        numbers = (self.partition.tolist(), self.offset.tolist(), self.timestamp_ms.tolist())
        return list(map(as_record, zip(*numbers, self.keys.tolist(), self.values.tolist(), headers, strict=True)))

    def __len__(self) -> int:
        return len(self.offset)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.tolist())

    @overload
    def __getitem__(self, row: SupportsIndex) -> Record: ...
    @overload
    def __getitem__(self, row: slice) -> "RecordColumns": ...
    def __getitem__(self, row: SupportsIndex | slice) -> "Record | RecordColumns":
        if isinstance(row, slice):
            return self.take(row)
        numbers = (int(self.partition[row]), int(self.offset[row]), int(self.timestamp_ms[row]))
        return Record(*numbers, self.keys.at(row), self.values.at(row), read_headers(self.headers[row]))

    def __eq__(self, other: object) -> bool:
        return self.tolist() == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True, eq=False)
class OutColumns(_Columns, Sequence[OutRecord]):
    """n records to be published, each made of a tick of the partition that it goes to.

    partition (n,) int32; timestamp_ms (n,) int64; keys, values: n strings or None; headers: n strings as in
    record_headers.py, empty for none; offset (n,) int64 and element (n,) int32 of the ticks, see OutRecord.place.
    """

    partition: NDArray[np.int32]
    timestamp_ms: NDArray[np.int64]
    keys: Spans
    values: Spans
    headers: Spans
    offset: NDArray[np.int64]
    element: NDArray[np.int32]

    @classmethod
    def of(cls, records: Sequence[OutRecord]) -> "OutColumns":
        """Records as columns; as they are where they are that already. Without a place, offset is -1."""
        if isinstance(records, OutColumns):
            return records
        partitions, times, keys, values, headers, places = zip(*records, strict=True) if records else ((),) * 6
        return cls(
            np.array(partitions, np.int32),
            np.array(times, np.int64),
            Spans.of(keys),
            Spans.of(values),
            Spans.of([write_headers(one) for one in headers]),
            np.array([-1 if place is None else place[1] for place in places], np.int64),
            np.array([NO_INDEX if place is None else place[2] for place in places], np.int32),
        )

    def place(self, row: SupportsIndex) -> Place | None:
        """The place of the tick that a record was made of, None where it was made of none."""
        offset = int(self.offset[row])
        return None if offset < 0 else (int(self.partition[row]), offset, int(self.element[row]))

    def tolist(self) -> list[OutRecord]:
        """All of them as objects."""
        headers = [read_headers(held) for held in self.headers]
        columns = (self.keys.tolist(), self.values.tolist(), headers, map(self.place, range(len(self))))
        rows = zip(self.partition.tolist(), self.timestamp_ms.tolist(), *columns, strict=True)
        return list(map(as_out_record, rows))

    def __len__(self) -> int:
        return len(self.offset)

    def __iter__(self) -> Iterator[OutRecord]:
        return iter(self.tolist())

    @overload
    def __getitem__(self, row: SupportsIndex) -> OutRecord: ...
    @overload
    def __getitem__(self, row: slice) -> "OutColumns": ...
    def __getitem__(self, row: SupportsIndex | slice) -> "OutRecord | OutColumns":
        if isinstance(row, slice):
            return self.take(row)
        said = (self.keys.at(row), self.values.at(row), read_headers(self.headers[row]))
        return OutRecord(int(self.partition[row]), int(self.timestamp_ms[row]), *said, self.place(row))

    def __eq__(self, other: object) -> bool:
        return self.tolist() == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]
