"""Rows of columns are taken alike however they are named: a slice, their numbers, or which they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.ticks import Endings, Record, RowChoice, StreamRows, TickBatch, as_record

N = 12


def batch(has_lists: bool) -> TickBatch:
    at = np.arange(N)
    index = at.astype(np.int32) % 3 if has_lists else None
    streams, values = [b"s%d" % i for i in at], np.outer(at, [1.0, 2.0])
    columns = (at.astype(np.int32) % 2, at * 7, at * 11, at * 13, streams, values)
    endings = Endings(np.array([1]), np.array([0], np.int32), [b"s1"])
    return TickBatch(*columns, at * 17, endings, 3, index, np.array([1, 2]))


def rows_named(kind: str, numbers: list[int]) -> tuple[RowChoice, list[int]]:
    """Some of N rows, named so, and their numbers in order."""
    if kind == "numbers":
        return np.array(numbers, np.intp), numbers
    if kind == "slice":
        start, stop = min(numbers, default=0), max(numbers, default=0)
        return slice(start, stop), list(range(start, stop))
    chosen = np.zeros(N, np.bool_)
    chosen[numbers] = True
    return chosen, sorted(set(numbers))


@pytest.mark.parametrize("has_lists", [True, False])
@pytest.mark.parametrize("kind", ["numbers", "slice", "flags"])
@given(numbers=st.lists(st.integers(0, N - 1)))
def test_ticks_are_taken_with_all_their_columns_and_nothing_that_lies_between(kind, has_lists, numbers):
    whole = batch(has_lists)
    rows, wanted = rows_named(kind, numbers)
    taken = whole.take(rows)
    assert len(taken) == len(wanted)
    for to, of in enumerate(wanted):
        row, index = np.array([of]), np.array([to])
        assert taken.places(index) == whole.places(row)
        assert (taken.time_ms[to], taken.arrival_ms[to]) == (whole.time_ms[of], whole.arrival_ms[of])
        assert (taken.order[to], taken.streams[to]) == (whole.order[of], whole.streams[of])
        assert taken.values[to].tolist() == whole.values[of].tolist()
    assert (taken.endings, taken.skipped, taken.outliers) == (None, 0, None)


@pytest.mark.parametrize("kind", ["numbers", "slice", "flags"])
@given(numbers=st.lists(st.integers(0, N - 1)))
def test_rows_of_streams_are_taken_with_keys_floats_and_integers(kind, numbers):
    at = np.arange(N)
    whole = StreamRows([b"s%d" % i for i in at], np.outer(at, [1, 2]).astype(np.float32), at[:, None])
    rows, wanted = rows_named(kind, numbers)
    taken = whole.take(rows)
    assert taken.streams == [whole.streams[row] for row in wanted]
    assert taken.floats.tolist() == whole.floats[wanted].tolist()
    assert taken.integers.tolist() == whole.integers[wanted].tolist()


def test_a_record_from_a_tuple_is_the_record_by_name():
    fields = {"partition": 1, "offset": 2, "timestamp_ms": 3, "key": b"k", "value": None, "headers": ()}
    made = as_record(tuple(fields.values()))
    assert made == Record(**fields)
    assert type(made) is Record
