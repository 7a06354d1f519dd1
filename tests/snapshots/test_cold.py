"""The cold tier against a dict: rows of streams that memory let go, with hashes that collide on purpose."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamrnn.errors import Damaged
from streamrnn.snapshots import Chain, ColdRows, Shelf
from streamrnn.snapshots.index import Index, hash_keys
from streamrnn.ticks import StreamRows
from tests.backends import empty_all
from tests.snapshots.shelves import (
    ENDED,
    State,
    fill,
    has_ended,
    load,
    names,
    restore,
    rows_of,
    small_shelf,
    state_of,
    write,
)

pytestmark = pytest.mark.usefixtures("memory")


def colliding(streams: Collection[bytes]) -> NDArray[np.int64]:
    return np.array([len(stream) % 2 - 1 for stream in streams], np.int64)


def cold_of(shelf: Shelf, hashed: Any = hash_keys) -> ColdRows:
    return ColdRows(shelf._drawer(3), hashed, has_ended)


def living(rows: StreamRows) -> State:
    return state_of(rows.take(~has_ended(rows)))


class Memory:
    """What an engine does: rows in memory, which are dirty, and a cold tier for those it let go."""

    def __init__(self, shelf: Shelf, cold: ColdRows) -> None:
        self.shelf, self.cold = shelf, cold
        self.rows, self.dirty, self.ended, self.base = State(), set[bytes](), set[bytes](), None

    base: Chain | None

    def tick(self, stream: bytes) -> int:
        """A stream counts its ticks."""
        if stream not in self.rows and stream not in self.ended and self.cold.holds([stream])[0]:
            self.rows |= living(self.cold.find([stream]))
        self.ended.discard(stream)
        self.rows[stream] = self.rows.get(stream, 0) + 1
        self.dirty.add(stream)
        return self.rows[stream]

    def let_go(self, stream: bytes) -> None:
        """Only what is clean."""
        if stream not in self.dirty:
            self.rows.pop(stream, None)

    def end(self, stream: bytes) -> None:
        """Its state ends; what snapshots hold of it is void."""
        self.rows.pop(stream, None)
        self.dirty.discard(stream)
        self.ended.add(stream)

    def snapshot(self, offset: int, is_full: bool, is_abandoned: bool) -> None:
        is_full = is_full or self.base is None
        begun = self.shelf.draft(3, 0, offset, None if is_full else self.base, self.cold)
        fill(begun, self.rows if is_full else {stream: self.rows[stream] for stream in self.dirty})
        fill(begun, dict.fromkeys(self.ended, ENDED))
        if is_abandoned:
            begun.abandon()
            self.base = None  # and what is dirty stays dirty
        else:
            self.base, self.dirty, self.ended = begun.finish(), set(), set()

    def restart(self, cold: ColdRows) -> None:
        self.cold, self.rows, self.dirty, self.ended = cold, State(), set(), set()
        if self.base is not None:
            load(self.shelf, self.base, cold)


STREAMS = st.sampled_from([b"", b"a", b"b", b"c", b"aa", b"bb", b"cc", b"aaa"])
KINDS = ("tick", "tick", "tick", "let go", "end", "write", "full", "abandon", "restart")
ACTS = st.lists(st.tuples(st.sampled_from(KINDS), STREAMS), max_size=50)


@pytest.mark.parametrize("hashed", [colliding, hash_keys])
@pytest.mark.parametrize("url", ["memory://m", "fake://m"])
@settings(max_examples=60, deadline=None)
@given(acts=ACTS)
def test_a_stream_that_was_let_go_comes_back_as_it_was(
    url: str, hashed: Any, acts: list[tuple[str, bytes]]
) -> None:
    empty_all()
    shelf, told = small_shelf(url, has_ended=has_ended), State()
    memory = Memory(shelf, cold_of(shelf, hashed))
    kept = State()
    for offset, (act, stream) in enumerate(acts):
        if act == "tick":
            told[stream] = told.get(stream, 0) + 1
            assert memory.tick(stream) == told[stream]
        elif act == "let go":
            memory.let_go(stream)
        elif act == "end":
            memory.end(stream)
            told.pop(stream, None)
        elif act == "restart" and memory.base is not None:
            memory.restart(cold_of(shelf, hashed))
            told = dict(kept)
        elif act in ("write", "full", "abandon"):
            memory.snapshot(offset, act == "full", act == "abandon")
            kept = dict(told)
            if act != "abandon":
                chain, state = restore(shelf, offset)
                assert (chain, {s: n for s, n in state.items() if n != ENDED}) == (memory.base, told)
                assert chain is not None
                assert chain.rows == len(told) or chain.base < len(chain.parts)
    for stream, count in told.items():
        assert memory.tick(stream) == count + 1


@given(st.lists(st.dictionaries(st.binary(max_size=2), st.integers(0, 99), max_size=9), max_size=5), st.data())
@settings(max_examples=100, deadline=None)
def test_what_is_found_is_the_newest_row_of_each_and_in_the_order_asked_for(
    writes: list[State], data: st.DataObject
) -> None:
    empty_all()
    shelf, state, base = small_shelf("memory://m"), State(), None
    cold = cold_of(shelf, colliding)
    for offset, changes in enumerate(writes):
        base, state = write(shelf, offset, changes, base, cold), state | changes
    keys = st.sampled_from(sorted(state)) if state else st.nothing()
    asked = data.draw(st.lists(keys | st.binary(max_size=2), unique=True, max_size=20))
    found = cold.find(asked)
    assert found.streams == [stream for stream in asked if stream in state]
    assert state_of(found) == {stream: state[stream] for stream in found.streams}
    assert not set(asked) & set(state) - {s for s, held in zip(asked, cold.holds(asked), strict=True) if held}
    gathered = [state_of(rows) for rows in cold.gather(without=set(asked))]
    assert sum(map(len, gathered)) == len({s for rows in gathered for s in rows})
    others = {stream: value for stream, value in state.items() if stream not in asked}
    assert {stream: value for rows in gathered for stream, value in rows.items()} == others


@pytest.mark.parametrize("hashed", [colliding, hash_keys])
def test_rows_are_found_wherever_the_parts_lie(root: str, hashed: Any) -> None:
    shelf = small_shelf(root)
    state = dict(zip(names(range(50)), range(50), strict=True))
    base = write(shelf, 1, state)
    chain = write(shelf, 2, {b"s7": -7, b"new": 1}, base)
    cold = cold_of(shelf, hashed)
    load(shelf, chain, cold)
    found = state_of(cold.find([b"s49", b"s7", b"none", b"s0", b"new"]))
    assert found == {b"s49": 49, b"s7": -7, b"s0": 0, b"new": 1}
    assert cold.holds([b"s49", b"new"]).tolist() == [True, True]
    assert cold.parts == chain.parts


def test_what_is_not_held_is_known_without_looking_into_a_part() -> None:
    shelf = small_shelf("memory://m")
    cold = shelf.cold(3)
    assert cold.holds([b"a"]).tolist() == [False]
    assert cold.find([b"a"]).streams == cold.find([]).streams == []
    write(shelf, 1, {b"a": 1, b"b": 2}, None, cold)
    empty_all()
    assert cold.holds([b"b", b"c", b"a"]).tolist() == [True, False, True]
    assert cold.find([b"c"]).streams == []


def test_an_index_goes_back_through_the_rows_of_one_hash_and_no_further() -> None:
    first = [(0, np.array([5, 7, 5])), (1, np.array([7, 4]))]
    index = Index.empty().with_parts(first).with_parts([(2, np.array([5]))])
    (entry,) = index.newest(np.array([5]))
    assert index.newest(np.array([6])).tolist() == [-1]
    went = []
    while entry >= 0:
        went.append((index.parts[entry], index.rows[entry]))
        (entry,) = index.before(np.array([entry]))
    assert went == [(2, 0), (0, 2), (0, 0)]


def test_an_index_takes_sixteen_bytes_a_row() -> None:
    index = Index.empty().with_parts([(0, np.arange(1000)), (1, np.arange(500))])
    assert sum(column.nbytes for column in index) == 16 * 1500


def test_a_full_snapshot_takes_over_what_is_cold_and_drops_what_is_overridden() -> None:
    shelf = small_shelf("memory://m")
    cold = cold_of(shelf, colliding)
    base = write(shelf, 1, {b"a": 1, b"b": 2, b"c": 3, b"d": 4}, None, cold)
    base = write(shelf, 2, {b"a": 5, b"e": 6}, base, cold)
    full = write(shelf, 3, {b"b": 7}, None, cold)
    assert load(shelf, full) == {b"a": 5, b"b": 7, b"c": 3, b"d": 4, b"e": 6}
    assert (full.rows, full.base_rows, cold.parts) == (5, 5, full.parts)
    assert not set(full.parts) & set(base.parts)


def test_a_full_snapshot_says_nothing_of_streams_that_have_ended_and_brings_none_of_their_rows_back() -> None:
    shelf = small_shelf("memory://m", has_ended=has_ended)
    cold = cold_of(shelf)
    base = write(shelf, 1, {b"a": 1, b"b": 2, b"c": 3, b"d": 4}, None, cold)
    base = write(shelf, 2, {b"a": ENDED, b"e": 6}, base, cold)
    assert load(shelf, base) == {b"a": ENDED, b"b": 2, b"c": 3, b"d": 4, b"e": 6}
    full = write(shelf, 3, {b"c": ENDED}, None, cold)
    assert load(shelf, full) == {b"b": 2, b"d": 4, b"e": 6}
    assert cold.holds([b"a", b"b", b"c"]).tolist() == [False, True, False]
    assert full.rows == 3


def test_an_abandoned_draft_changes_nothing_in_the_cold_tier() -> None:
    shelf = small_shelf("memory://m")
    cold = shelf.cold(3)
    base = write(shelf, 1, {b"a": 1}, None, cold)
    for on in (None, base):
        fill(shelf.draft(3, 0, 2, on, cold), {b"a": 2, b"b": 2, b"c": 2, b"d": 2}).abandon()
    assert state_of(cold.find([b"a", b"b"])) == {b"a": 1}


def test_a_cold_tier_of_another_chain_is_refused() -> None:
    shelf = small_shelf("memory://m")
    base = write(shelf, 1, {b"a": 1})
    cold = shelf.cold(3)
    with pytest.raises(ValueError, match=f"not of {base.name}"):
        shelf.draft(3, 0, 2, base, cold)
    load(shelf, base, cold)
    shelf.draft(3, 0, 2, base, cold)
    with pytest.raises(ValueError, match="rows since 0 for a snapshot since 1: clear it"):
        shelf.draft(3, 1, 2, None, cold)
    cold.clear()
    assert cold.find([b"a"]).streams == []
    assert load(shelf, write(shelf, 2, {}, None, cold, since=1)) == {}


def test_loading_an_older_snapshot_leaves_nothing_of_the_newer_one() -> None:
    shelf = small_shelf("memory://m")
    cold = shelf.cold(3)
    old = write(shelf, 1, {b"a": 1}, None, cold)
    write(shelf, 2, {b"a": 2, b"b": 2}, None, cold)
    load(shelf, old, cold)
    assert state_of(cold.find([b"a", b"b"])) == {b"a": 1}


@pytest.mark.parametrize("damage", ["missing", "truncated", "header", "ends"])
def test_a_part_that_is_gone_or_wrong_is_said_to_be(damage: str, tmp_path: Path) -> None:
    shelf = small_shelf(tmp_path)
    cold = shelf.cold(3)
    chain = write(shelf, 1, {b"a": 1, b"b": 2}, None, cold)
    path = Path(shelf.place(3)) / chain.parts[0].name
    raw = path.read_bytes()
    data_at = 8 + int.from_bytes(raw[:8], "little")  # ends, which come first
    wrong = {
        "truncated": raw[:-1],
        "header": bytes(8) + raw[8:],
        "ends": raw[:data_at] + b"\xff" * 16 + raw[data_at + 16 :],
    }
    path.unlink() if damage == "missing" else path.write_bytes(wrong[damage])
    for act in (lambda: cold.find([b"b"]), lambda: list(cold.gather(without=()))):
        with pytest.raises(Damaged, match=str(path)):
            act()
    with pytest.raises(Damaged):
        write(shelf, 2, {}, None, cold)
    assert {path.name for path in Path(shelf.place(3)).iterdir()} <= {chain.name, path.name}


def test_a_search_whose_parts_are_superseded_meanwhile_goes_on_in_the_new_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shelf = small_shelf("memory://m", keep=2)
    cold = shelf.cold(3)
    write(shelf, 1, {b"a": 1, b"b": 2}, None, cold)
    read, turned = ColdRows._read, []

    def turn_first(self: ColdRows, *args: Any) -> Any:
        if not turned:
            turned.append(True)
            for offset in (2, 3):
                write(shelf, offset, {b"b": 2}, None, cold)
            shelf.prune(3, 3)
        return read(self, *args)

    monkeypatch.setattr(ColdRows, "_read", turn_first)
    assert state_of(cold.find([b"a"])) == {b"a": 1}


def test_rows_are_those_of_the_moment_a_draft_was_given_them() -> None:
    """What comes back from the cold while a full draft is written is in it as it was when it was cold."""
    shelf = small_shelf("memory://m")
    cold = shelf.cold(3)
    write(shelf, 1, {b"a": 1, b"b": 2}, None, cold)
    begun = shelf.draft(3, 0, 2, None, cold)
    begun.add(rows_of({b"a": 5}))
    assert state_of(cold.find([b"b"])) == {b"b": 2}
    assert load(shelf, begun.finish()) == {b"a": 5, b"b": 2}
