"""Places without rows: who is on the device, who is parked, who is forgotten."""

from collections import OrderedDict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.engine.rows.looking import FromCold, look
from streamrnn.engine.rows.placing import place_ticks
from streamrnn.engine.rows.slots import SCRATCH
from streamrnn.engine.rows.table import Moves, SlotTable
from streamrnn.ticks import TickBatch

from .places import all_places


class Placed:
    """A table whose batches are placed, parked and freed as a warm step of the engine does."""

    def __init__(self, max_streams: int, max_parked: int = 0) -> None:
        self.table, self.offset, self.forgotten = SlotTable(max_streams, max_parked), 0, 0

    def __call__(self, *streams: bytes, partition: list[int] | int = 0, offset: np.ndarray | None = None):
        n, moves = len(streams), []
        partitions = np.broadcast_to(np.array(partition, np.int32), n)
        offset = np.arange(self.offset, self.offset + n) if offset is None else offset
        values = np.zeros((n, 1), np.float32)
        ticks = TickBatch(partitions, offset, offset, offset, list(streams), values, offset)
        groups = look(self.table, ticks)
        placed = place_ticks(self.table, ticks, groups, [FromCold() for _ in groups], moves)
        self.offset += n
        self.table.memory.device.used[placed.slots] = offset  # what a step does
        for moved in moves:
            if len(surplus := self.table.surplus(moved.partition)):
                self.table.park(moved.partition, surplus, moved)
            for places in moved.left:
                for slots, _, chosen in self.table.memory.split(places):
                    slots.free(chosen)
            self.forgotten += moved.forgotten
        return placed

    def on_device(self, partition: int = 0) -> set[bytes]:
        return {s for p, s, place in all_places(self.table) if p == partition and place >= 0}

    def held(self, partition: int = 0) -> set[bytes]:
        return {s for p, s, _ in all_places(self.table) if p == partition}


def test_a_stream_keeps_its_slot_and_no_stream_gets_the_scratch_slot():
    place = Placed(10)
    first = place(b"a", b"b", b"a")
    assert first.slots.tolist() == [1, 2, 1]
    assert first.fresh.tolist() == [True, True, False]
    assert SCRATCH not in first.slots
    assert place(b"b").slots.tolist() == [2]


def test_the_stream_whose_last_tick_is_oldest_leaves_even_within_a_batch_and_comes_back_fresh_to_another_slot():
    place = Placed(2)
    placed = place(b"a", b"b", b"a", b"c", b"b")
    assert placed.fresh.tolist() == [True, True, False, True, True]
    assert len(set(placed.slots.tolist())) == 4
    assert (place.held(), place.forgotten) == ({b"c", b"b"}, 2)


def test_a_parked_stream_is_not_fresh_when_it_comes_back_and_only_beyond_the_parked_is_one_forgotten():
    place = Placed(1, 1)
    place(b"a")
    place(b"b")
    assert (place.on_device(), place.held(), place.forgotten) == ({b"b"}, {b"a", b"b"}, 0)
    assert place(b"a").fresh.tolist() == [False]
    assert (place.on_device(), place.held()) == ({b"a"}, {b"a", b"b"})
    place(b"c")
    assert (place.held(), place.forgotten) == ({b"a", b"c"}, 1)


def test_partitions_are_capped_apart_whether_their_ticks_come_in_runs_or_in_turns():
    for partition in ([0, 0, 1, 1], [0, 1, 0, 1]):
        place = Placed(1)
        placed = place(b"a", b"a", b"a", b"a", partition=partition)
        assert (place.forgotten, placed.fresh.sum()) == (0, 2)
        assert len(set(zip(partition, placed.slots.tolist(), strict=True))) == 2
        assert place.table.partitions_of(b"a") == [0, 1]


def test_a_stream_that_is_parked_or_dropped_leaves_its_slot():
    place = Placed(1, 1)
    place(b"a")
    assert all_places(place.table) == [(0, b"a", 1)]
    place(b"b")
    assert all_places(place.table) == [(0, b"a", ~0), (0, b"b", 2)]
    place.table.drop(0)
    assert (place.table.find(0, b"b"), place.held()) == (None, set())


@given(
    st.lists(st.integers(0, 8), max_size=80),
    st.integers(1, 3),
    st.integers(0, 3),
    st.lists(st.integers(1, 7), max_size=20),
)
def test_who_is_fresh_and_who_is_held_is_what_an_ordered_dict_of_all_rooms_says_however_the_input_is_cut(
    keys, cap, parked, cuts
):
    place, fresh, at = Placed(cap, parked), [], 0
    rows: OrderedDict[int, None] = OrderedDict()
    expected = []
    for key in keys:
        expected.append(key not in rows)
        if key not in rows and len(rows) == cap + parked:
            rows.popitem(last=False)
        rows[key] = None
        rows.move_to_end(key)
    for cut in [*cuts, len(keys) + 1]:
        if streams := [b"%d" % key for key in keys[at : at + cut]]:
            fresh += place(*streams).fresh.tolist()
        at += cut
        assert len(place.on_device()) <= cap
    assert fresh == expected
    assert place.held() == {b"%d" % key for key in rows}
    assert place.on_device() >= {b"%d" % key for key in list(rows)[max(0, len(rows) - 1) :]}


@given(
    st.lists(st.lists(st.integers(0, 8), min_size=1, max_size=4), max_size=30),
    st.integers(1, 3),
    st.integers(0, 3),
    st.lists(st.integers(1, 7), max_size=20),
)
def test_of_streams_whose_last_ticks_came_in_one_list_the_first_by_name_leaves_however_the_input_is_cut(
    lists, cap, parked, cuts
):
    place, fresh, at = Placed(cap, parked), [], 0
    last: dict[bytes, int] = {}
    expected = []
    for offset, keys in enumerate(lists):
        for stream in [b"%d" % key for key in keys]:
            expected.append(stream not in last)
            if stream not in last and len(last) == cap + parked:
                del last[min(last, key=lambda s: (last[s], s))]
            last[stream] = offset
    for cut in [*cuts, len(lists) + 1]:
        if part := [(offset, key) for offset in range(at, min(at + cut, len(lists))) for key in lists[offset]]:
            fresh += place(*[b"%d" % k for _, k in part], offset=np.array([o for o, _ in part])).fresh.tolist()
        at += cut
    assert fresh == expected
    assert place.held() == set(last)


@given(st.permutations(range(12)), st.integers(1, 5), st.integers(0, 4), st.integers(1, 5))
def test_whatever_order_rows_are_admitted_in_the_last_ticked_are_on_the_device_and_the_oldest_are_gone(
    offsets, cap, parked, at_once
):
    table = SlotTable(cap, parked)
    for start in range(0, len(offsets), at_once):
        used = np.array(offsets[start : start + at_once])
        moved = Moves(0)
        table.admit(0, [b"%d" % offset for offset in used.tolist()], used, moved)
        if len(surplus := table.surplus(0)):
            table.park(0, surplus, moved)
        table.trim(0, moved)
    held = {int(stream): place for _, stream, place in all_places(table)}
    assert set(held) == set(range(12 - min(12, cap + parked), 12))
    assert {offset for offset, place in held.items() if place >= 0} == set(range(12 - cap, 12))
