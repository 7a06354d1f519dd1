import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.engine.slots import SCRATCH, SlotTable
from streamrnn.errors import StaleHandle


def place(table: SlotTable, *streams: bytes, partition: int = 0):
    return table.place(np.full(len(streams), partition, dtype=np.int32), list(streams))


def test_a_stream_keeps_its_slot_and_no_stream_gets_the_scratch_slot():
    table = SlotTable(10)
    first = place(table, b"a", b"b", b"a")
    assert first.slots.tolist() == [1, 2, 1]
    assert first.fresh.tolist() == [True, True, False]
    assert SCRATCH not in first.slots
    assert place(table, b"b").slots.tolist() == [2]


def test_a_full_partition_evicts_the_stream_whose_last_tick_is_oldest_even_within_a_batch():
    table = SlotTable(2)
    placed = place(table, b"a", b"b", b"a", b"c", b"b")
    assert placed.evicted == 2
    assert placed.fresh.tolist() == [True, True, False, True, True]
    assert [s for _, s, _ in table.streams()] == [b"c", b"b"]


def test_partitions_are_capped_apart_so_that_assignment_does_not_change_eviction():
    table = SlotTable(1)
    placed = table.place(np.array([0, 1, 0], dtype=np.int32), [b"a", b"a", b"a"])
    assert placed.evicted == 0
    assert table.resident == 2
    assert table.partitions_of(b"a") == [0, 1]


def test_a_handle_is_refused_once_its_slot_went_to_another_stream():
    table = SlotTable(1)
    place(table, b"a")
    handle = table.handle(0, b"a")
    assert handle is not None
    assert table.row(handle) == 1
    place(table, b"b")
    with pytest.raises(StaleHandle, match="slot 1"):
        table.row(handle)


def test_a_dropped_partition_frees_its_slots_under_a_new_generation():
    table = SlotTable(4)
    place(table, b"a", b"b")
    old = table.handle(0, b"a")
    table.drop(0)
    assert table.resident == 0
    assert table.handle(0, b"a") is None
    place(table, b"x", b"y")
    assert table.size == 3
    with pytest.raises(StaleHandle):
        table.row(old)


@given(st.lists(st.integers(0, 6), max_size=60), st.integers(1, 4), st.lists(st.integers(1, 7), max_size=20))
def test_who_is_evicted_does_not_depend_on_how_the_input_was_cut_into_batches(keys, cap, cuts):
    streams = [b"%d" % k for k in keys]
    whole, parts = SlotTable(cap), SlotTable(cap)
    expected = place(whole, *streams)
    fresh, at = [], 0
    for cut in [*cuts, len(streams)]:
        fresh += place(parts, *streams[at : at + cut]).fresh.tolist()
        at += cut
    assert fresh == expected.fresh.tolist()
    assert [s for _, s, _ in parts.streams()] == [s for _, s, _ in whole.streams()]
