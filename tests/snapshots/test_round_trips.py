"""Snapshots against a dict: whatever was written, overridden, abandoned and pruned, a restore gives what was."""

import itertools
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from streamrnn.snapshots import Chain, Shelf
from streamrnn.snapshots.shelf import _name
from streamrnn.ticks import StreamRows
from tests.backends import empty_all
from tests.snapshots.shelves import State, fill, load, restore, rows_of, small_shelf, state_of, write

pytestmark = pytest.mark.usefixtures("memory")

FOLDER = "app/ticks/3/oil@7-0123456789abcdef"
KEYS = st.one_of(st.sampled_from([b"", b"a", b"b", b"c", b"\0"]), st.binary(max_size=3))
CHANGES = st.dictionaries(KEYS, st.integers(-(2**15), 2**15), max_size=9)
STEPS = st.lists(
    st.tuples(CHANGES, st.sampled_from(["full", "on top", "on top", "abandoned"]), st.booleans()), max_size=8
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(2, 3))
def test_a_restore_at_any_offset_gives_the_state_of_the_newest_snapshot_below_it(
    steps: list[tuple[State, str, bool]], keep: int
) -> None:
    empty_all()
    shelf, state, dirty = small_shelf("memory://m", keep=keep), State(), State()
    written: dict[int, State] = {}
    base: Chain | None = None
    for offset, (changes, how, is_pruned) in enumerate(steps, 1):
        state, dirty = state | changes, dirty | changes
        is_full = how == "full" or base is None or base.is_due_full
        begun = fill(shelf.draft(3, 0, offset, None if is_full else base), state if is_full else dirty)
        if how == "abandoned":
            begun.abandon()
        else:
            base, dirty, written[offset] = begun.finish(), State(), state
        if is_pruned:
            shelf.prune(3, offset)
            pruned_to = sorted(written)[-keep:]
            written = {offset: written[offset] for offset in pruned_to}
    for at_most in range(len(steps) + 2):
        chain, restored = restore(small_shelf("memory://m"), at_most)
        best = max((offset for offset in written if offset <= at_most), default=None)
        assert (chain.offset if chain else None) == best
        assert restored == (written[best] if best is not None else {})


def test_a_snapshot_is_the_same_from_a_folder_and_from_an_object_store(root: str) -> None:
    shelf = small_shelf(root)
    base = write(shelf, 5, {b"a": 1, b"b": 2, b"c": 3, b"d": 4})
    chain = write(shelf, 9, {b"b": 7, b"e": 5}, base)
    assert restore(small_shelf(root), 100, since=0) == (chain, {b"a": 1, b"b": 7, b"c": 3, b"d": 4, b"e": 5})
    assert restore(small_shelf(root), 8) == (base, {b"a": 1, b"b": 2, b"c": 3, b"d": 4})
    assert (chain.offset, chain.since, chain.rows, chain.base_rows, chain.device) == (9, 0, 6, 4, "cpu")
    assert shelf.place(3).endswith(FOLDER)


def test_parts_are_what_safetensors_reads(tmp_path: Path) -> None:
    chain = write(small_shelf(tmp_path), 5, {b"ab": 1, b"": 2, b"c": 3})
    tensors = load_file(tmp_path / FOLDER / chain.parts[0].name)
    assert tensors["keys"].tobytes() == b"abc"
    assert tensors["ends"].tolist() == [2, 2, 3]
    assert tensors["floats"].tolist() == [[1.25, 1.5], [2.25, 2.5], [3.25, 3.5]]
    assert tensors["integers"].tolist() == [[1, -1, 2**40], [2, -2, 2**41], [3, -3, 3 * 2**40]]


def test_later_parts_come_later_so_a_newer_row_is_never_followed_by_an_older_one() -> None:
    shelf, chain = small_shelf("memory://m"), None
    for offset in range(1, 9):
        chain = write(shelf, offset, {b"a": offset, b"s%d" % offset: 0}, chain)
    assert chain is not None
    seen = [state_of(rows)[b"a"] for rows in shelf.load(chain)]
    assert seen == list(range(1, 9))


def test_rows_of_any_floats_come_back_to_the_bit() -> None:
    bits = np.array([[0x7FC00001, 0x80000000], [0xFF800000, 0x00000001]], np.uint32)
    rows = StreamRows([b"a", b"b"], bits.view(np.float32), np.array([[-(2**63)], [2**63 - 1]]))
    shelf = small_shelf("memory://m")
    begun = shelf.draft(3, 0, 1)
    begun.add(rows)
    (again,) = shelf.load(begun.finish())
    assert again.streams == rows.streams
    assert again.floats.view(np.uint32).tolist() == bits.tolist()
    assert again.integers.tolist() == rows.integers.tolist()


@pytest.mark.parametrize(("width", "integer_width"), [(0, 2), (2, 0), (0, 0)])
def test_rows_may_lack_floats_or_integers(width: int, integer_width: int) -> None:
    rows = StreamRows([b"a", b"b"], np.ones((2, width), np.float32), np.ones((2, integer_width), np.int64))
    shelf = small_shelf("memory://m")
    cold = shelf.cold(3)
    begun = shelf.draft(3, 0, 1, None, cold)
    begun.add(rows)
    for again in (*shelf.load(begun.finish(), cold), cold.find([b"a", b"b"])):
        assert again.streams == rows.streams
        assert (again.floats.shape, again.integers.shape) == ((2, width), (2, integer_width))


def test_a_partition_without_streams_has_snapshots_too() -> None:
    shelf = small_shelf("memory://m")
    base = write(shelf, 5, {})
    assert restore(shelf, 9) == (base, {})
    assert not base.is_due_full
    chain = write(shelf, 6, {b"a": 1}, base)
    assert restore(shelf, 9) == (chain, {b"a": 1})
    assert chain.is_due_full


def test_a_full_snapshot_is_due_when_new_rows_outweigh_the_base_or_make_many_parts() -> None:
    shelf = small_shelf("memory://m")
    base = write(shelf, 1, {b"a": 1, b"b": 1, b"c": 1})
    equal = write(shelf, 2, {b"a": 2, b"b": 2, b"c": 2}, base)
    assert not equal.is_due_full
    assert write(shelf, 3, {b"a": 3}, equal).is_due_full
    large = write(shelf, 4, {b"%d" % n: n for n in range(200)})
    assert len(large.parts) > 32
    assert not large.is_due_full
    due = []
    for offset in range(5, 39):
        large = write(shelf, offset, {b"0": offset}, large)
        due.append(large.is_due_full)
    assert due == [False] * 32 + [True] * 2


def test_parts_are_written_as_they_fill_and_bounded_in_rows_and_bytes() -> None:
    shelf = small_shelf("memory://m")
    begun = shelf.draft(3, 0, 1)
    for n in range(0, 10, 5):
        begun.add(rows_of({b"%d" % row: row for row in range(n, n + 5)}))
    assert [part.streams for part in begun._parts] == [3, 3, 3]
    assert [part.streams for part in begun.finish().parts] == [3, 3, 3, 1]
    shelf = small_shelf("memory://m", bytes=100)
    chain = write(shelf, 2, {b"a" * 30: 1, b"b" * 29: 2, b"c" * 900: 3, b"d": 4, b"e": 5, b"f": 6})
    assert [part.streams for part in chain.parts] == [1, 1, 1, 2, 1]
    assert load(shelf, chain)[b"c" * 900] == 3


def test_a_draft_is_closed_once_finished_or_abandoned_and_then_cannot_remove_what_it_made() -> None:
    shelf = small_shelf("memory://m")
    begun = fill(shelf.draft(3, 0, 1), {b"a": 1})
    chain = begun.finish()
    begun.abandon()
    assert restore(shelf, 1) == (chain, {b"a": 1})
    gone = fill(shelf.draft(3, 0, 2), {b"a": 1})
    gone.abandon()
    for closed, act in itertools.product((begun, gone), ("finish", "add")):
        with pytest.raises(ValueError, match="takes no more"):
            closed.finish() if act == "finish" else closed.add(rows_of({b"a": 1}))
    assert restore(shelf, 2) == (chain, {b"a": 1})


def test_a_base_of_another_state_is_refused() -> None:
    shelf = small_shelf("memory://m")
    base = write(shelf, 5, {b"a": 1}, since=2)
    for partition, since, offset in ((4, 2, 6), (3, 1, 6), (3, 2, 4)):
        with pytest.raises(ValueError, match="on top of"):
            shelf.draft(partition, since, offset, base)


def test_a_load_that_is_left_early_leaves_no_thread_behind() -> None:
    shelf = small_shelf("memory://m")
    chain = write(shelf, 1, {b"%d" % n: n for n in range(30)})
    before = threading.active_count()
    rows = shelf.load(chain)
    next(rows)
    assert threading.active_count() > before
    rows.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


NAMES = ["a", "a/b", "a b", "ü", "..", ".", ".a", "%2E.", "a%2Fb", "?", "#", "", "%", "x" * 300, "x" * 301, "oil@7"]


def test_any_group_topic_and_model_is_one_part_of_a_path_of_its_own() -> None:
    parts = [_name(text) for text in NAMES]
    assert len(set(parts)) == len(NAMES)
    for part in parts:
        assert part
        assert len(part) <= 150
        assert not part.startswith(".")
        assert not set(part) & set("/\\?# ")


@pytest.mark.parametrize("name", NAMES)
def test_snapshots_are_found_again_whatever_the_group_is_called(name: str, root: str) -> None:
    def shelf() -> Shelf:
        return Shelf(root, name, "ticks", "oil@7", "f" * 64, "", "cpu")

    chain = write(shelf(), 1, {b"a": 1})
    assert restore(shelf(), 1) == (chain, {b"a": 1})
