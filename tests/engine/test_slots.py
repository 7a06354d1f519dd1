import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.engine.rows.slots import NOBODY, Slots


def claim(slots: Slots, *streams: bytes, partition: int = 0) -> list[int]:
    return slots.claim(partition, list(streams), np.arange(len(streams))).tolist()


def test_nobody_is_ever_given_a_reserved_slot():
    slots = Slots(reserved=1)
    assert claim(slots, b"a", b"b") == [1, 2]
    assert slots.of(0).tolist() == [1, 2]
    assert (slots.size, slots.live, slots.owner[0]) == (3, 2, NOBODY)


def test_a_slot_given_up_keeps_its_name_and_goes_to_no_other_stream_before_it_is_free():
    slots = Slots()
    claim(slots, b"a", b"b")
    slots.give_up(np.array([0]))
    assert (slots.live, slots.names[0], slots.of(0).tolist()) == (1, b"a", [1])
    assert claim(slots, b"c") == [2]
    slots.give_back(0, np.array([0]))
    assert (slots.live, slots.of(0).tolist()) == (3, [0, 1, 2])
    slots.give_up(np.array([0]))
    slots.free(np.array([0]))
    assert claim(slots, b"d") == [0]
    assert slots.size == 3


def test_a_claimed_slot_tells_nothing_of_its_last_owner():
    slots = Slots()
    claim(slots, b"a", partition=3)
    slots.origin[0], slots.marked[0] = 2, 3
    slots.give_up(np.array([0]))
    slots.free(np.array([0]))
    claim(slots, b"b", partition=4)
    assert (slots.owner[0], slots.origin[0], slots.marked[0], slots.names[0]) == (4, 0, NOBODY, b"b")


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 9)), max_size=60))
def test_no_slot_has_two_owners_and_free_ones_are_used_before_new_ones(steps):
    slots, owned, most = Slots(), {}, 0
    for number, (comes, count) in enumerate(steps):
        if comes:
            streams = [b"%d-%d" % (number, n) for n in range(count)]
            given_out = claim(slots, *streams)
            assert not set(given_out) & owned.keys()
            owned |= dict(zip(given_out, streams, strict=True))
        else:
            gone = np.array(list(owned)[:count], np.int64)
            slots.give_up(gone)
            slots.free(gone)
            owned = {slot: stream for slot, stream in owned.items() if slot not in gone}
        most = max(most, len(owned))
        assert {slot: slots.names[slot] for slot in slots.of(0).tolist()} == owned
        assert (slots.live, slots.size) == (len(owned), most)
