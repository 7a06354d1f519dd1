"""Stores: a folder and an object store keep the same promises, and fail in the same words."""

import errno
import itertools
import os
import random
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.errors import ConfigError, NotPlain
from streamrnn.stores import ByteSpan, Store, open_store
from streamrnn.stores.spans import NEAR_BYTES, merge, split
from tests.backends import Backend, NoCredentials, Turns, empty_all, full_at, slow, stand_before

SEAL = "seal"
FILES = {SEAL: b"s", "a": b"aa", "b": b""}

pytestmark = pytest.mark.usefixtures("memory")


@pytest.fixture
def store(root: str) -> Store:
    return open_store(root, SEAL)


def test_a_file_is_read_as_it_was_written_last_wherever_it_is_opened(store: Store, root: str) -> None:
    store.write("x/y", b"old")
    store.write("x/y", b"\0new\xff")
    again = open_store(root, SEAL)
    assert again.read("x/y", 5) == b"\0new\xff"
    assert again.read_start("x/y", 2) == b"\0n"
    assert again.read_start("x/y", 100) == b"\0new\xff"
    assert again.files("x") == {"y": 5}


def test_a_file_is_deleted_alone_and_need_not_be_there(store: Store) -> None:
    store.write("x/y", b"1")
    store.write("x/z", b"2")
    for _ in range(2):
        store.delete("x/y")
        store.delete("absent/y")
        assert store.files("x") == {"z": 1}


def test_ranges_of_several_files_are_read_in_the_order_asked_for(store: Store) -> None:
    data = bytes(range(256)) * 1000
    for key in ("x/a", "x/b"):
        store.write(key, data)
    chance = random.Random(1)
    starts = [(chance.choice(("x/a", "x/b")), chance.randrange(200_000)) for _ in range(200)]
    spans = [ByteSpan(key, start, start + chance.choice((0, 1, 16, 9000))) for key, start in starts]
    assert store.read_spans(spans) == [data[start:end] for _, start, end in spans]
    assert store.read_spans([]) == []
    assert store.read_spans([ByteSpan("x/a", 255_999, 256_005)]) == [b"\xff"]
    with pytest.raises(FileNotFoundError) as absent:
        store.read_spans([ByteSpan("x/none", 0, 1)])
    assert store.place("x") in absent.value.filename


@given(st.lists(st.builds(
    lambda key, start, size: ByteSpan(key, start, start + size),
    st.sampled_from("ab"), st.integers(0, 5 * NEAR_BYTES), st.integers(0, 3 * NEAR_BYTES),
)))  # fmt: skip
def test_merged_ranges_hold_all_the_wanted_ones_and_are_far_apart(spans: list[ByteSpan]) -> None:
    files = {"a": random.Random(1).randbytes(8 * NEAR_BYTES), "b": random.Random(2).randbytes(8 * NEAR_BYTES)}
    merged = merge(spans)
    read = [files[key][start:end] for (key, start, end), _ in merged]
    assert split(merged, read, spans) == [files[key][start:end] for key, start, end in spans]
    for (before, _), (after, _) in itertools.pairwise(merged):
        assert before.key < after.key or after.start - before.end > NEAR_BYTES


@pytest.mark.parametrize("kind", ["link", "folder", "fifo"])
def test_ranges_of_what_is_no_plain_file_are_refused_without_waiting(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    make = {"link": lambda p: p.symlink_to(tmp_path / "a"), "folder": Path.mkdir, "fifo": os.mkfifo}
    make[kind](tmp_path / "x")
    with pytest.raises(NotPlain, match="link" if kind == "link" else "not a plain file") as refused:
        open_store(tmp_path, SEAL).read_spans([ByteSpan("x", 0, 1)])
    assert refused.value.filename == str(tmp_path / "x")


def test_ranges_near_each_other_are_asked_for_at_once() -> None:
    store, seen = open_store("fake://r", SEAL), []
    store.write("x", bytes(4 * NEAR_BYTES))
    stand_before(lambda operation, path: seen.append(operation))
    store.read_spans(
        [ByteSpan("x", 0, 8), ByteSpan("x", 3 * NEAR_BYTES, 3 * NEAR_BYTES + 1), ByteSpan("x", 64, 72)]
    )
    assert seen == ["read"] * 2


def test_files_that_come_and_go_disturb_no_listing(tmp_path: Path) -> None:
    store, done = open_store(tmp_path, SEAL), threading.Event()
    store.write("x/stays", b"1")

    def write() -> None:
        while not done.is_set():
            store.write("x/comes", b"22")
            store.delete("x/comes")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        listings = [store.files("x") for _ in range(1000)]
    finally:
        done.set()
        writer.join()
    assert all(listing["stays"] == 1 for listing in listings)


def test_a_folder_is_added_once_listed_and_removed(store: Store) -> None:
    assert store.whole("m") == store.folders("m") == store.folders() == store.unfinished("m") == []
    assert store.add("m/1", FILES)
    assert not store.add("m/1", {SEAL: b"other"})
    assert store.add("m/2", {SEAL: b""})
    assert store.whole("m") == store.folders("m") == ["1", "2"]
    assert store.folders() == ["m"]
    assert store.files("m/1") == {"seal": 1, "a": 2, "b": 0}
    assert store.read("m/1/b", 0) == b""
    store.remove("m/1")
    assert store.whole("m") == ["2"]
    assert store.files("m/1") == {}
    assert store.unfinished("m") == []


def test_what_was_written_just_now_is_young(store: Store) -> None:
    store.add("m/1", FILES)
    assert store.modified_s("m/1") == pytest.approx(time.time(), abs=60)


def test_what_is_absent_or_too_large_is_said_with_its_place(store: Store) -> None:
    store.write("x/y", b"12345")
    with pytest.raises(FileNotFoundError) as absent:
        store.read("x/z", 10)
    assert (absent.value.filename, absent.value.errno) == (store.place("x/z"), errno.ENOENT)
    assert "No such file" in str(absent.value)
    with pytest.raises(NotPlain) as large:
        store.read("x/y", 4)
    assert (large.value.filename, large.value.strerror) == (store.place("x/y"), "5 bytes, at most 4 are read")


def test_names_that_are_no_paths_of_a_url_are_refused_there() -> None:
    store = open_store("memory://r", SEAL)
    for key in ("a?versionId=b/1", "a#1/x"):
        for act in (lambda key=key: store.read(key, 9), lambda key=key: store.add(key, FILES)):
            with pytest.raises(OSError, match="mean something else in a URL") as caught:
                act()
            assert caught.value.filename.startswith("memory://r/a")


@pytest.mark.parametrize(
    ("url", "missing", "said"),
    [
        ("s3://bucket/models", "s3fs", r"pip install 'streamrnn\[s3\]'"),
        ("gs://bucket/models", "gcsfs", r"pip install 'streamrnn\[gcs\]'"),
        ("abfs://c@account/models", "adlfs", "adlfs"),
        ("nope://bucket", "nope", "nope"),
        ("simplecache::s3://bucket", "s3fs", "a chain of URLs"),
    ],
)
def test_a_url_without_its_backend_names_what_to_install(
    url: str, missing: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError, match=said):
        open_store(url, SEAL)


@pytest.mark.parametrize("scheme", ["fake", "sftp", "nope"])
def test_a_password_in_a_url_is_refused_and_not_shown(scheme: str) -> None:
    with pytest.raises(ConfigError, match=rf"{scheme}://me:\*\*\*@host/r: a password has no place") as refused:
        open_store(f"{scheme}://me:hunter2@host/r", SEAL)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("error", [NoCredentials("Unable to locate credentials"), PermissionError("Forbidden")])
def test_whatever_a_backend_raises_is_an_os_error_with_its_reason_and_place(error: Exception) -> None:
    store = open_store("fake://r", SEAL)
    store.add("m/1", FILES)

    def refuse(operation: str, path: str) -> None:
        raise error

    stand_before(refuse)
    acts = (
        lambda: store.read("m/1/a", 9),
        lambda: store.read_start("m/1/a", 9),
        lambda: store.read_spans([ByteSpan("m/1/a", 0, 9)]),
        lambda: store.delete("m/1/a"),
        lambda: store.write("x", b""),
        lambda: store.add("m/2", FILES),
        lambda: store.whole("m"),
        lambda: store.folders("m"),
        lambda: store.files("m/1"),
        lambda: store.modified_s("m/1"),
        lambda: store.remove("m/1"),
    )
    for act in acts:
        with pytest.raises(OSError, match=str(error)) as caught:
            act()
        assert caught.value.filename.startswith("fake://r/")


@pytest.mark.parametrize("write", [1, 2, 3])
def test_a_disk_full_at_any_write_leaves_nothing_in_a_folder(
    write: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, calls = open_store(tmp_path, SEAL), itertools.count(1)

    def fsync(_: int) -> None:
        if next(calls) == write:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left") as caught:
        store.add("m/1", FILES)
    assert caught.value.filename == str(tmp_path / "m" / "1")
    assert list((tmp_path / "m").iterdir()) == []
    assert store.add("m/1", FILES)


@pytest.mark.parametrize("write", [1, 2, 3, 4])
def test_a_disk_full_at_any_write_leaves_nothing_in_an_object_store(write: int) -> None:
    store = open_store("fake://r", SEAL)
    full_at(write)
    with pytest.raises(OSError, match="No space left"):
        store.add("m/1", FILES)
    assert Backend.store == {}
    assert store.add("m/1", FILES)


def test_the_seal_is_written_last_and_removed_first() -> None:
    store, seen = open_store("fake://r", SEAL), []
    stand_before(lambda operation, path: seen.append((operation, path.rsplit("/", 1)[1])))
    store.add("m/1", FILES)
    written = [name for operation, name in seen if operation == "write"]
    assert written[0].startswith("claim-")
    assert written[1:] == ["a", "b", SEAL]
    seen.clear()
    store.remove("m/1")
    assert [name for operation, name in seen if operation == "delete"] == [SEAL, "a", "b"]


def test_what_was_left_behind_is_unfinished_and_no_folder_takes_its_place() -> None:
    store = open_store("memory://r", SEAL)
    store.write("m/1/a", b"")
    store.write("m/2/claim-x", b"")
    assert store.whole("m") == []
    assert store.unfinished("m") == store.folders("m") == ["1", "2"]
    assert not store.add("m/1", FILES)
    assert not store.add("m/2", FILES)
    store.remove("m/1")
    assert store.unfinished("m") == ["2"]


def test_what_was_left_behind_in_a_folder_is_unfinished(tmp_path: Path) -> None:
    store = open_store(tmp_path, SEAL)
    store.add("m/1", FILES)
    (tmp_path / "m" / ".draft-x").mkdir()
    (tmp_path / "m" / ".draft-y").touch()
    assert store.unfinished("m") == [".draft-x", ".draft-y"]
    assert store.folders("m") == ["1"]
    for name in store.unfinished("m"):
        store.remove(f"m/{name}")
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["1"]


def schedules(threads: int, steps: int) -> list[tuple[int, ...]]:
    """Every order of so many steps of each thread; of very many, a fixed sample."""
    turns = [thread for thread in range(threads) for _ in range(steps)]
    if threads == 2:
        return sorted(set(itertools.permutations(turns)))
    chance = random.Random(3)
    return [tuple(chance.sample(turns, len(turns))) for _ in range(300)]


@pytest.mark.parametrize("threads", [2, 3])
def test_in_every_order_of_their_steps_at_most_one_gets_a_folder_and_it_is_whole(threads: int) -> None:
    """Steps of each: claim, list, then withdraw or write on; an object store without exclusive create."""
    winners: dict[int, int] = {}
    for schedule in schedules(threads, 4):
        empty_all()
        won: list[int] = []

        def claim(won: list[int] = won) -> None:
            me = threading.current_thread().name
            if open_store("fake://r", SEAL).add("m/1", {"a": me.encode(), SEAL: me.encode()}):
                won.append(int(me))

        claimants = [threading.Thread(target=claim, name=str(n)) for n in range(threads)]
        turns = Turns(claimants)
        stand_before(turns.wait)
        turns.play(schedule)
        stored = {path.rsplit("/", 1)[1]: file.getvalue() for path, file in Backend.store.items()}
        me = str(won[0]).encode() if won else b""
        assert len(won) <= 1, schedule
        assert stored == ({"a": me, SEAL: me} if won else {}), schedule
        winners[len(won)] = winners.get(len(won), 0) + 1
    assert winners.keys() == {0, 1}


def test_readers_see_a_folder_whole_or_not_at_all(root: str) -> None:
    done, seen = threading.Event(), []
    slow(0.002)

    def write() -> None:
        store = open_store(root, SEAL)
        for n in range(30):
            store.add(f"m/{n}", {SEAL: b"%d" % n, "a": b"%d" % n})
            time.sleep(0.001)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reader = open_store(root, SEAL)
    while not done.is_set():
        for name in reader.whole("m")[-3:]:
            seen.append(name)
            assert reader.read(f"m/{name}/a", 9) == reader.read(f"m/{name}/{SEAL}", 9) == name.encode()
    writer.join()
    assert len(reader.whole("m")) == 30
    assert seen
