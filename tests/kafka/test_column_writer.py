"""Batches written from columns: byte for byte those of aiokafka's writer, whatever is in them."""

from itertools import count

import numpy as np
import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.kafka.compiled.column_writer import ColumnWriter
from streamrnn.kafka.reading.batches import check, read_header, read_records, unpacked
from streamrnn.kafka.writing.producing import as_run
from streamrnn.ticks import OutColumns, OutRecord

SIZES = st.one_of(st.integers(0, 9), st.integers(60, 70), st.integers(8180, 8200))
FIELDS = st.none() | st.binary(max_size=30) | SIZES.map(lambda size: b"x" * size)
NAMES = st.text(max_size=6) | st.binary(max_size=6).map(lambda name: name.decode("utf-8", "surrogateescape"))
TIMES = st.integers(1_700_000_000_000, 1_700_000_000_300) | st.integers(-(2**63), 2**63 - 1)


CODECS = st.sampled_from(range(5))
LIMITS = st.sampled_from([100, 300, 9_000, 100_000])


def records(names: st.SearchStrategy[str]) -> st.SearchStrategy[list[OutRecord]]:
    headers = st.lists(st.tuples(names, FIELDS), max_size=3)
    return st.lists(
        st.builds(OutRecord, st.just(0), TIMES, FIELDS, FIELDS, headers, st.none()), min_size=1, max_size=20
    )


def theirs(limit: int, compression: int, is_transactional: bool) -> DefaultRecordBatchBuilder:
    facts = {"producer_id": -1, "producer_epoch": -1, "base_sequence": 0, "batch_size": limit}
    return DefaultRecordBatchBuilder(2, compression, is_transactional=is_transactional, **facts)


@settings(deadline=None)
@given(
    records(st.text(max_size=6)),
    LIMITS,
    CODECS,
    st.booleans(),
)
def test_a_batch_is_that_of_the_writer_of_objects(
    given_records: list[OutRecord], limit: int, compression: int, is_transactional: bool
) -> None:
    first = given_records[0].timestamp_ms
    given_records = [r._replace(timestamp_ms=_near(r.timestamp_ms, first)) for r in given_records]
    ours, columns = ColumnWriter(limit, compression, is_transactional), OutColumns.of(given_records)
    other = theirs(limit, compression, is_transactional)
    taken = ours.take(columns, 0)
    fits = (other.append(n, r.timestamp_ms, r.key, r.value, r.headers) for n, r in zip(count(), given_records))
    assert taken == next((n for n, fit in enumerate(fits) if fit is None), len(given_records))
    assert ours.size() == other.size()
    for writer in (ours, other):
        writer.set_producer_state(7, 3, 41)
    mine, data = memoryview(ours.build()), memoryview(bytes(other.build()))
    header, like = read_header(mine), read_header(data)
    check(header, mine)
    assert bytes(unpacked(header, mine, 10**7)) == bytes(unpacked(like, data, 10**7))
    assert header.codec == compression or not header.codec
    plain = {"length": 0, "crc": 0, "attributes": header.attributes & ~7}
    assert header._replace(**plain) == like._replace(**plain)
    if not compression:
        assert bytes(mine) == bytes(data)


def _near(time_ms: int, first_ms: int) -> int:
    """So that the difference is an int64, which aiokafka's writer insists on."""
    return time_ms if -(2**62) < time_ms - first_ms < 2**62 else first_ms


@settings(deadline=None)
@given(records(NAMES), st.lists(st.integers(1, 5), min_size=1, max_size=20))
def test_what_joins_piece_by_piece_is_read_back_in_order(given_records: list[OutRecord], pieces: list[int]) -> None:
    writer, columns, row = ColumnWriter(10_000_000, 0, False), OutColumns.of(given_records), 0
    for size in [*pieces, len(given_records)]:
        if row < len(columns):
            row += writer.take(columns[: row + size], row)
    assert row == writer.count == len(columns)
    data = memoryview(writer.build())
    header = read_header(data)
    check(header, data)
    back = list(read_records(header, unpacked(header, data, 0)))
    assert [(r.timestamp_ms, r.key, r.value) for r in back] == [r[1:4] for r in given_records]
    assert [r.offset for r in back] == list(range(len(back)))
    named = [[(k.decode("utf-8", "surrogateescape"), v) for k, v in r.headers or ()] for r in back]
    assert named == [list(r.headers) for r in given_records]
    assert header.max_ms == max(r.timestamp_ms for r in given_records)


@pytest.mark.parametrize("limit", [1, 61, 62, 1_000])
def test_an_empty_batch_takes_a_record_of_any_size_and_then_no_other(limit: int) -> None:
    writer, large = ColumnWriter(limit, 0, False), OutRecord(0, 1, None, bytes(5_000))
    columns = OutColumns.of([large] * 3)
    assert writer.take(columns, 1) == 1
    assert writer.take(columns, 2) == 0
    assert 5_000 < writer.size() < 5_100


def test_a_batch_grows_in_steps_and_never_beyond_what_it_may_hold() -> None:
    writer, rows = ColumnWriter(50_000, 0, False), OutColumns.of([OutRecord(0, 1, b"k", bytes(90))] * 10)
    row = sum(writer.take(rows, 0) for _ in range(100))
    assert row == writer.count
    assert 49_900 < writer.size() <= 50_000 == len(writer._body)
    assert read_header(memoryview(writer.build())).records == row


def test_columns_may_be_strided() -> None:
    columns = OutColumns.of([OutRecord(0, n, b"%d" % n, b"v") for n in range(10)])
    writer = ColumnWriter(10_000, 0, False)
    assert writer.take(columns.take(np.arange(10) % 2 == 0), 0) == 5
    assert writer.take(columns[::3], 0) == 4
    data = memoryview(writer.build())
    header = read_header(data)
    keys = [r.key for r in read_records(header, unpacked(header, data, 0))]
    assert keys == [b"0", b"2", b"4", b"6", b"8", b"0", b"3", b"6", b"9"]


@given(st.sets(st.integers(0, 12), min_size=1))
def test_rows_as_a_run_are_the_same_rows(numbers: set[int]) -> None:
    rows = np.array(sorted(numbers))
    assert np.arange(13)[as_run(rows)].tolist() == rows.tolist()
    assert isinstance(as_run(rows), slice) == (len(rows) == rows[-1] - rows[0] + 1)
