"""Several writers and failing stores: what was whole stays whole, whatever others write and remove meanwhile."""

import errno
import itertools
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.errors import Damaged
from streamrnn.snapshots import Chain, Shelf
from tests.backends import Backend, Turns, empty_all, full_at, stand_before
from tests.snapshots.shelves import State, fill, load, reasons, restore, small_shelf, write

pytestmark = pytest.mark.usefixtures("memory")

OLD, NEW = {b"%d" % n: n for n in range(4)}, {b"%d" % n: -n for n in range(3, 10)}


@pytest.fixture(autouse=True)
def nothing_before() -> Iterator[None]:
    yield
    stand_before(lambda operation, path: None)


def files() -> set[str]:
    return {path.rsplit("/", 1)[1] for path in Backend.store}


@pytest.mark.parametrize("is_full", [True, False])
def test_a_store_full_at_any_write_leaves_nothing_and_the_older_snapshot_stands(is_full: bool) -> None:
    for at in itertools.count(1):
        empty_all()
        shelf = small_shelf("fake://m")
        old = write(shelf, 5, OLD)
        before = files()
        full_at(at)
        failed: list[OSError] = []
        try:
            write(shelf, 6, NEW, None if is_full else old)
        except OSError as error:
            failed.append(error)
        if not failed:
            break
        assert failed[0].errno == errno.ENOSPC
        assert failed[0].filename.startswith(shelf.place(3))
        assert files() == before
        assert restore(shelf, 9) == (old, OLD)
        stand_before(lambda operation, path: None)
        assert restore(shelf, 9)[0] == old != write(shelf, 6, NEW, old)
    assert at == 5  # three parts and the manifest


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_disk_full_at_any_write_leaves_nothing_in_a_folder(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf, calls = small_shelf(tmp_path), itertools.count(1)
    old = write(shelf, 5, OLD)
    before = set(os.listdir(shelf.place(3)))

    def fsync(_: int) -> None:
        if next(calls) == at:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left") as caught:
        write(shelf, 6, NEW, old)
    assert caught.value.filename.startswith(shelf.place(3))
    assert set(os.listdir(shelf.place(3))) == before
    assert restore(shelf, 9) == (old, OLD)


@pytest.mark.parametrize(("at", "is_whole"), [(1, False), (2, False), (3, False), (4, True)])
def test_a_draft_given_up_while_a_thread_writes_it_leaves_a_whole_snapshot_or_nothing(
    at: int, is_whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While each of its files is written: three parts, then the manifest, with which the snapshot is there."""
    shelf, calls = small_shelf(tmp_path), itertools.count(1)
    draft = shelf.draft(3, 0, 6)

    def fsync(_: int) -> None:
        if next(calls) == at:
            draft.abandon()

    monkeypatch.setattr(os, "fsync", fsync)
    with nullcontext() if is_whole else pytest.raises(ValueError, match="abandoned"):
        fill(draft, NEW).finish()
    assert restore(shelf, 9)[1] == (NEW if is_whole else {})
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == (4 if is_whole else 0)
    assert reasons(shelf, 9) == []


def test_a_store_that_went_away_for_good_hides_no_error_and_what_it_keeps_is_no_snapshot() -> None:
    shelf = small_shelf("fake://m")
    old = write(shelf, 5, OLD)
    begun = shelf.draft(3, 0, 6)
    fill(begun, OLD)

    def refuse(operation: str, path: str) -> None:
        raise TimeoutError("the store is away")

    stand_before(refuse)
    with pytest.raises(OSError, match="the store is away"):
        begun.finish()
    begun.abandon()
    stand_before(lambda operation, path: None)
    assert restore(shelf, 9) == (old, OLD)
    for offset in (7, 8, 9):
        write(shelf, offset, OLD)
    shelf.prune(3, 9)
    assert {name[:20] for name in files()} == {f"{8:020d}", f"{9:020d}"}


def test_a_manifest_whose_answer_was_lost_is_taken_back() -> None:
    """It was written, and the writer was told that it was not: with its parts removed it must not stay."""
    shelf = small_shelf("fake://m")
    old = write(shelf, 5, OLD)
    begun = fill(shelf.draft(3, 0, 6), OLD)
    write_file = Backend.pipe_file

    def lose(self: Backend, path: str, value: bytes, **kwargs: object) -> None:
        write_file(self, path, value)
        if path.endswith(".json"):
            raise TimeoutError("no answer")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Backend, "pipe_file", lose)
        with pytest.raises(OSError, match="no answer"):
            begun.finish()
    assert all(name.startswith(f"{5:020d}") for name in files())
    assert shelf.find(3, 9) == (old, [])


@pytest.mark.parametrize("gone", ["base", "own"])
def test_a_draft_whose_parts_are_gone_is_not_finished(gone: str, tmp_path: Path) -> None:
    shelf = small_shelf(tmp_path)
    base = write(shelf, 5, OLD)
    begun = fill(shelf.draft(3, 0, 6, base), OLD)
    name = base.parts[0].name if gone == "base" else begun._parts[0].name
    (Path(shelf.place(3)) / name).unlink()
    with pytest.raises(Damaged, match=f"{shelf.place(3)}: a snapshot cannot be .*: its part {name} is missing"):
        begun.finish()
    assert restore(shelf, 9)[1] == ({} if gone == "base" else OLD)
    assert write(shelf, 6, OLD).base == 2


def test_two_writers_at_one_offset_overwrite_nothing_of_each_other() -> None:
    first, second = small_shelf("memory://m"), small_shelf("memory://m")
    chains = [write(first, 5, OLD), write(second, 5, OLD)]
    for chain in chains:
        assert load(first, chain) == OLD
    assert restore(first, 5)[0] in chains
    for shelf, chain in zip((first, second), chains, strict=True):
        assert load(second, write(shelf, 6, {b"9": 9}, chain)) == OLD | {b"9": 9}


def history(ticks: int) -> Callable[[int], State]:
    """The one right state at each offset, of ticks that touch streams at random."""
    chance = random.Random(5)
    streams = [b"%d" % chance.randrange(8) for _ in range(ticks)]

    def state(offset: int) -> State:
        reached: State = {}
        for stream in streams[:offset]:
            reached[stream] = reached.get(stream, 0) * 3 % 1009 + 1
        return reached

    return state


class Writer:
    """One worker: rows in memory at a position, and its chain; whether it is still the owner it cannot know."""

    def __init__(self, state: Callable[[int], State]) -> None:
        self.shelf, self._state = small_shelf("memory://m"), state
        self.position = self.known = 0
        self.base: Chain | None = None

    def take(self, committed: int) -> None:
        """Restore at the committed offset, as the newest snapshot and the ticks since then say."""
        self.base, restored = restore(self.shelf, committed)
        assert restored == self._state(self.base.offset if self.base else 0)
        self.position = self.known = committed

    def write(self, is_full: bool) -> None:
        base, state = None if is_full else self.base, self._state(self.position)
        before = self._state(base.offset) if base else {}
        try:
            changed = {stream: value for stream, value in state.items() if before.get(stream) != value}
            self.base = write(self.shelf, self.position, changed, base)
        except Damaged:
            assert base is not None
            self.base = write(self.shelf, self.position, state)


EVENTS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from(["go", "full", "write", "prune", "take"]), st.integers(1, 5)),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(EVENTS)
def test_whatever_an_owner_and_a_zombie_do_the_newest_committed_snapshots_are_found_and_right(
    events: list[tuple[int, str, int]],
) -> None:
    empty_all()
    state = history(300)
    writers = [Writer(state), Writer(state)]
    owner = committed = 0
    finished: set[int] = set()
    for who, what, count in events:
        writer = writers[who]
        if what == "take":
            owner = who
            writer.take(committed)
        elif what == "go":
            writer.position += count
            if who == owner:
                committed = writer.known = writer.position
        elif what == "prune":
            writer.shelf.prune(3, writer.known)
        else:
            writer.write(what == "full")
            finished.add(writer.position)
        newest = max((offset for offset in finished if offset <= committed), default=None)
        chain, restored = restore(small_shelf("memory://m"), committed)
        assert (chain.offset if chain else None) == newest
        assert restored == (state(newest) if newest is not None else {})


def test_in_any_order_of_their_steps_a_zombies_prune_spares_the_owners_snapshot_and_draft() -> None:
    """The owner drafts at 20 on its snapshot at 12 and prunes; the zombie, which knows of 10, does so at 14."""
    chance, turns = random.Random(7), [0] * 12 + [1] * 12
    for _ in range(150):
        empty_all()
        owner, zombie = small_shelf("fake://m"), small_shelf("fake://m")
        chains = [write(owner, offset, OLD) for offset in (6, 8, 10, 12)]
        done: dict[str, Chain] = {}

        def act(done: dict[str, Chain], shelf: Shelf, offset: int, committed: int, base: Chain) -> None:
            me = threading.current_thread().name
            done[me] = write(shelf, offset, NEW, base)
            shelf.prune(3, committed)
            done[f"{me} pruned"] = done[me]

        threads = [
            threading.Thread(target=act, args=(done, owner, 20, 20, chains[3]), name="0"),
            threading.Thread(target=act, args=(done, zombie, 14, 10, chains[2]), name="1"),
        ]
        order = Turns(threads)
        stand_before(order.wait)
        order.play(tuple(chance.sample(turns, len(turns))))
        stand_before(lambda operation, path: None)
        assert restore(owner, 20) == (done["0"], OLD | NEW)
        assert "0 pruned" in done
        assert ("1" in done) == ("1 pruned" in done)  # neither where the owner's prune took its base or parts


def test_a_zombie_that_looks_at_every_moment_removes_nothing_that_the_owner_needs() -> None:
    """Between any two steps of the owner's draft and prune the zombie prunes."""
    owner, zombie = small_shelf("fake://m"), small_shelf("fake://m")
    chains = [write(owner, offset, OLD) for offset in (6, 8, 10, 12)]
    inside = False

    def prune(operation: str, path: str) -> None:
        nonlocal inside
        if not inside:
            inside = True
            zombie.prune(3, 11)
            inside = False

    stand_before(prune)
    chain = write(owner, 20, NEW, chains[3])
    owner.prune(3, 20)
    stand_before(lambda operation, path: None)
    assert restore(owner, 20) == (chain, OLD | NEW)
    assert restore(owner, 19) == (chains[3], OLD)
