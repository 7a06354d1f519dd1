"""Byte strings, records and headers as columns are what they are as objects."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.ticks import OutColumns, OutRecord, Record, RecordColumns, Spans
from streamrnn.ticks.record_headers import read_headers, write_headers

STRINGS = st.lists(st.none() | st.binary(max_size=40), max_size=12)
INT64 = st.integers(-(2**63), 2**63 - 1)
KEYS = st.binary(max_size=200).map(lambda key: key.decode("utf-8", "surrogateescape"))
HEADERS = st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=200)), max_size=4)
RECORDS = st.lists(
    st.builds(Record, st.integers(0, 9), INT64, INT64, st.none() | st.binary(), st.none() | st.binary(), HEADERS),
    max_size=8,
)
PLACED = st.none() | st.tuples(st.integers(0, 2**62), st.integers(-1, 2**20 - 2))


def out_record(
    partition: int, time_ms: int, value: bytes, headers: list[tuple[str, bytes | None]], at: object
) -> OutRecord:
    place = None if at is None else (partition, *at)  # type: ignore[misc]
    return OutRecord(partition, time_ms, b"k", value, headers, place)


@given(STRINGS, STRINGS)
def test_spans_are_the_strings_they_are_of(first: list[bytes | None], second: list[bytes | None]) -> None:
    one, other = Spans.of(first), Spans.of(second)
    assert one.tolist() == first
    assert [one.at(row) for row in range(len(one))] == first
    assert one.has_none == (None in first)
    both = Spans.joined([one, other])
    assert both == first + second
    rows = np.arange(len(both))[::-1]
    assert both.take(rows) == (first + second)[::-1]
    assert both.take(rows % 2 == 0).tolist() == [
        s for s, keep in zip(both.tolist(), rows % 2 == 0, strict=True) if keep
    ]
    assert both[1:3] == (first + second)[1:3]


def test_spans_may_lie_anywhere_in_their_buffer() -> None:
    data = np.frombuffer(b"..abcdef", np.uint8)
    spans = Spans(data, np.array([5, 2, 2]), np.array([2, 3, -1]))
    assert spans.tolist() == [b"de", b"abc", None]
    assert spans != [b"de", b"abc", b""]
    assert spans[0] == b"de"


@given(HEADERS)
def test_headers_are_read_as_they_were_written(headers: list[tuple[str, bytes | None]]) -> None:
    assert read_headers(write_headers(headers)) == headers


@given(RECORDS, RECORDS)
def test_record_columns_are_their_records(first: list[Record], second: list[Record]) -> None:
    columns = RecordColumns.joined([RecordColumns.of(first), RecordColumns.of(second)])
    assert columns == first + second
    assert [columns[row] for row in range(len(columns))] == [
        r._replace(headers=list(r.headers)) for r in first + second
    ]
    assert columns[1:] == (first + second)[1:]
    assert RecordColumns.of(columns) is columns


@given(st.lists(st.builds(out_record, st.integers(0, 9), INT64, st.binary(), HEADERS, PLACED), max_size=8))
def test_out_columns_are_their_records(records: list[OutRecord]) -> None:
    columns = OutColumns.of(records)
    assert columns == records
    assert [columns[row] for row in range(len(columns))] == records
    assert columns.take(np.arange(len(columns)) % 2 == 0) == records[::2]


def test_the_empty_are_columns_too() -> None:
    assert RecordColumns.of([]) == []
    assert OutColumns.of([]) == []
    with pytest.raises(IndexError):
        Spans.of([])[0]
