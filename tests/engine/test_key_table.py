"""The table of keys against a dict, whatever collides, comes, moves and leaves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streamrnn.engine.rows.key_table import KeyTable, packed
from streamrnn.engine.rows.row_places import ABSENT, UNKNOWN
from streamrnn.ticks.byte_spans import Spans

KEYS = st.one_of(
    st.binary(max_size=5),
    st.builds(lambda head, size: head + bytes(size), st.binary(max_size=2), st.integers(0, 60)),
    st.builds(lambda seed, size: np.random.default_rng(seed).bytes(size), st.integers(0, 5), st.integers(0, 1024)),
)
WITH_PARTITIONS = st.lists(st.tuples(st.integers(0, 2), KEYS), min_size=1, max_size=12)


def split(pairs: list[tuple[int, bytes]]) -> tuple[np.ndarray, Spans]:
    return np.array([p for p, _ in pairs], np.int32), packed([key for _, key in pairs])


class AgainstDict(RuleBasedStateMachine):
    """Keys come with slots that hold them, move, and leave when the last of their slots lets them go."""

    @initialize(bits=st.sampled_from([0, 1, 3, 64]))
    def make(self, bits: int) -> None:
        self.table, self.bits = KeyTable(bits), bits
        self.numbers: dict[tuple[int, bytes], int] = {}
        self.places: dict[tuple[int, bytes], int] = {}
        self.holders: dict[tuple[int, bytes], int] = {}

    @rule(pairs=WITH_PARTITIONS)
    def add(self, pairs: list[tuple[int, bytes]]) -> None:
        numbers = self.table.add(*split(pairs))
        for pair, number in zip(pairs, numbers.tolist(), strict=True):
            assert self.numbers.setdefault(pair, number) == number, "a key has one number"
            self.holders[pair] = self.holders.get(pair, 0) + 1
        self.table.hold(numbers)

    @rule(pairs=WITH_PARTITIONS, data=st.data())
    def put(self, pairs: list[tuple[int, bytes]], data: st.DataObject) -> None:
        held = list(dict.fromkeys(pair for pair in pairs if pair in self.numbers))
        places = [data.draw(st.sampled_from([ABSENT, ~7, -1, 0, 5, 2**30 + 3])) for _ in held]
        before = len(self.places)
        for pair, place in zip(held, places, strict=True):
            self.places[pair] = place
            if place == ABSENT:
                del self.places[pair]
        numbers = np.array([self.numbers[pair] for pair in held], np.int64)
        assert self.table.put(numbers, np.array(places, np.int64)) == len(self.places) - before
        for number, place in zip(numbers.tolist(), places, strict=True):
            assert self.table.place(number) == place
            self.table.move(number, place)

    @rule(pairs=WITH_PARTITIONS)
    def find(self, pairs: list[tuple[int, bytes]]) -> None:
        numbers, places = self.table.find(*split(pairs))
        assert numbers.tolist() == [self.numbers.get(pair, UNKNOWN) for pair in pairs]
        assert places.tolist() == [self.places.get(pair, ABSENT) for pair in pairs]
        assert self.table.places(numbers).tolist() == places.tolist()

    @rule(data=st.data(), count=st.integers(1, 9))
    def release(self, data: st.DataObject, count: int) -> None:
        if not self.holders:
            return
        pairs = data.draw(st.lists(st.sampled_from(sorted(self.holders)), min_size=1, max_size=count, unique=True))
        numbers = np.array([self.numbers[pair] for pair in pairs])
        lives = self.table.lives(numbers)
        self.table.release(numbers)
        gone = self.table.lives(numbers) != lives
        for pair, is_gone in zip(pairs, gone.tolist(), strict=True):
            self.holders[pair] -= 1
            assert is_gone == (not self.holders[pair])
            if is_gone:
                del self.holders[pair], self.numbers[pair]
                self.places.pop(pair, None)

    @invariant()
    def every_key_is_as_it_was_written(self) -> None:
        assert len(self.table) == len(self.numbers) == len(set(self.numbers.values()))
        numbers = np.array(list(self.numbers.values()), np.int64)
        assert list(self.table.names(numbers)) == [key for _, key in self.numbers]


AgainstDict.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestAgainstDict = AgainstDict.TestCase


def some(table: KeyTable, first: int, stop: int) -> np.ndarray:
    return table.add(np.zeros(1, np.int32), packed([b"stream-%08d" % n for n in range(first, stop)]))


@pytest.mark.parametrize("hash_bits", [10, 64])
def test_segments_grow_and_shed_without_losing_a_key(hash_bits: int) -> None:
    table, count = KeyTable(hash_bits), 3_000 if hash_bits == 10 else 150_000
    numbers = some(table, 0, count)
    table.hold(numbers)
    assert table.put(numbers, np.arange(count)) == count
    table.release(numbers[::2])
    keys = packed([b"stream-%08d" % n for n in range(count)])
    found, places = table.find(np.zeros(1, np.int32), keys)
    assert (found[::2] == UNKNOWN).all()
    assert (places[1::2] == np.arange(count)[1::2]).all()
    assert len(table) == count // 2


def test_what_is_kept_is_bounded_by_the_keys_that_are_held_however_many_come_and_go() -> None:
    table, sizes = KeyTable(), []
    for turn in range(30):
        numbers = some(table, 5_000 * turn, 5_000 * (turn + 1))
        table.hold(numbers)
        table.release(numbers)
        sizes.append(table.nbytes)
    assert len(set(sizes)) == 1
    assert len(table) == 0


def test_a_key_costs_less_than_half_of_what_an_object_in_a_dict_would() -> None:
    table = KeyTable()
    empty = table.nbytes
    some(table, 0, 200_000)
    assert (table.nbytes - empty) / 200_000 < 90


@given(WITH_PARTITIONS)
def test_spans_are_read_where_they_lie_whatever_their_columns_are_like(pairs: list[tuple[int, bytes]]) -> None:
    table = KeyTable()
    partitions, keys = split(pairs)
    table.hold(numbers := table.add(partitions, keys))
    data = np.concatenate(([np.uint8(7)], keys.data, [np.uint8(9)])).astype(np.uint8)
    strided = np.stack((keys.starts + 1, keys.sizes), axis=1)
    fixed = keys.sizes.copy()
    fixed.flags.writeable = False
    data.flags.writeable = False
    assert table.find(partitions, Spans(data, strided[:, 0], fixed))[0].tolist() == numbers.tolist()
