import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.engine.rows.key_table import KeyTable, packed
from streamrnn.engine.rows.slots import NOBODY, Slots


class Named:
    """Slots whose streams are told by name."""

    def __init__(self, reserved: int = 0) -> None:
        self.keys = KeyTable()
        self.slots = Slots(self.keys, reserved)

    def claim(self, *streams: bytes, partition: int = 0) -> list[int]:
        numbers = self.keys.add(np.array([partition], np.int32), packed(streams))
        return self.slots.claim(partition, numbers, np.arange(len(streams))).tolist()

    def name(self, slot: int) -> bytes:
        return self.keys.name(self.slots.numbers[slot])


def test_nobody_is_ever_given_a_reserved_slot():
    named = Named(reserved=1)
    slots = named.slots
    assert named.claim(b"a", b"b") == [1, 2]
    assert slots.of(0).tolist() == [1, 2]
    assert (slots.size, slots.live, slots.owner[0]) == (3, 2, NOBODY)


def test_a_slot_given_up_keeps_its_name_and_goes_to_no_other_stream_before_it_is_free():
    named = Named()
    slots = named.slots
    named.claim(b"a", b"b")
    slots.give_up(np.array([0]))
    assert (slots.live, named.name(0), slots.of(0).tolist()) == (1, b"a", [1])
    assert named.claim(b"c") == [2]
    slots.give_back(0, np.array([0]))
    assert (slots.live, slots.of(0).tolist()) == (3, [0, 1, 2])
    slots.give_up(np.array([0]))
    slots.free(np.array([0]))
    assert named.claim(b"d") == [0]
    assert slots.size == 3


def test_a_claimed_slot_tells_nothing_of_its_last_owner():
    named = Named()
    slots = named.slots
    named.claim(b"a", partition=3)
    slots.origin[0], slots.marked[0] = 2, 3
    slots.give_up(np.array([0]))
    slots.free(np.array([0]))
    named.claim(b"b", partition=4)
    assert (slots.owner[0], slots.origin[0], slots.marked[0], named.name(0)) == (4, 0, NOBODY, b"b")


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 9)), max_size=60))
def test_no_slot_has_two_owners_and_free_ones_are_used_before_new_ones(steps):
    named, owned, most = Named(), {}, 0
    slots = named.slots
    for number, (comes, count) in enumerate(steps):
        if comes:
            streams = [b"%d-%d" % (number, n) for n in range(count)]
            given_out = named.claim(*streams)
            assert not set(given_out) & owned.keys()
            owned |= dict(zip(given_out, streams, strict=True))
        else:
            gone = np.array(list(owned)[:count], np.int64)
            slots.give_up(gone)
            slots.free(gone)
            owned = {slot: stream for slot, stream in owned.items() if slot not in gone}
        most = max(most, len(owned))
        assert {slot: named.name(slot) for slot in slots.of(0).tolist()} == owned
        assert (slots.live, slots.size) == (len(owned), most)
