"""Tables of rows grow where they are: no step waits for what is there to be copied."""

import math
import resource

import numpy as np
import pytest
import torch

from streamrnn.engine.rows.key_table import KeyTable, packed
from streamrnn.engine.rows.reserved import Reserved, reserve_addresses
from streamrnn.engine.rows.slab import Slab
from streamrnn.engine.rows.slots import NOBODY, Slots


@pytest.mark.parametrize("width", [None, 3])
def test_an_array_grows_where_it_is_and_what_is_new_is_0(width: int | None) -> None:
    array = Reserved(np.int32, width)
    array.grow(5)
    before = array.rows
    before[:] = 7
    array.grow(100_000)
    before[1] = 8
    assert np.shares_memory(before, array.rows)
    assert array.rows.shape == (100_000,) + (() if width is None else (width,))
    assert (array.rows[:5].reshape(5, -1) == [[7], [8], [7], [7], [7]]).all()
    assert not array.rows[5:].any()
    array.grow(10)
    assert len(array.rows) == 100_000


@pytest.mark.parametrize("has_addresses", [True, False])
def test_beyond_what_is_reserved_an_array_moves_with_all_it_holds(
    has_addresses: bool,
) -> None:
    addresses = reserve_addresses if has_addresses else lambda length: None
    array, moves, due = Reserved(np.int64, 2, reserve=8, addresses=addresses), 0, np.arange(0, 4000, 2)
    for n in range(1, 2001):
        before = array.rows
        array.grow(n)
        array.rows[n - 1] = 2 * (n - 1)
        moves += not np.shares_memory(before, array.rows) and n > 1
    assert (array.rows == due[:, None]).all()
    assert 1 <= moves <= math.log2(2000)


def test_nothing_is_lost_where_a_row_has_no_columns() -> None:
    array = Reserved(np.float32, 0)
    array.grow(3)
    assert array.rows.shape == (3, 0)


def test_what_cannot_be_reserved_is_not() -> None:
    assert reserve_addresses(1 << 70) is None


def test_a_slab_grows_where_it_is_and_new_rows_are_fresh() -> None:
    slab = Slab({"a": torch.tensor([[0.5, 0.25]]), "n": torch.tensor([-1])}, torch.device("cpu"))
    slab.grow(10)
    before = slab.rows
    slab.rows["a"][3, 1] = 9.0
    slab.rows["n"][4] = 4
    for size in (11, 5000, 4000, 70_000):
        slab.grow(size)
    assert slab.rows.floats.data_ptr() == before.floats.data_ptr()
    assert slab.rows.integers.data_ptr() == before.integers.data_ptr()
    assert slab.rows["a"][[3, 4]].tolist() == [[0.5, 9.0], [0.5, 0.25]]
    assert slab.rows["n"][[3, 4]].tolist() == [-1, 4]
    assert (slab.rows["a"][10:] == torch.tensor([0.5, 0.25])).all()
    assert (slab.rows["n"][10:] == -1).all()
    assert 70_000 <= slab.size < 72_000
    assert slab.nbytes == slab.size * (2 * 4 + 8)


def test_slots_grow_where_they_are_and_new_ones_are_nobodys() -> None:
    keys = KeyTable()
    slots = Slots(keys, reserved=1)

    def claim(partition: int, *streams: bytes) -> None:
        numbers = keys.add(np.array([partition], np.int32), packed(streams))
        slots.claim(partition, numbers, 14 + partition)

    claim(3, b"a", b"b")
    used = slots.used
    claim(4, *(b"%d" % i for i in range(10_000)))
    assert np.shares_memory(used, slots.used)
    assert (slots.owner[:4].tolist(), slots.used[:4].tolist()) == ([NOBODY, 3, 3, 4], [0, 17, 17, 18])
    assert (slots.owner[slots.size :] == NOBODY).all()
    assert (slots.marked == NOBODY).all()
    assert len(slots.of(4)) == 10_000


def test_nothing_is_reserved_where_addresses_are_limited() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    assert reserve_addresses(1 << 20) is not None
    resource.setrlimit(resource.RLIMIT_AS, (1 << 45, before[1]))
    try:
        assert reserve_addresses(1 << 20) is None
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
