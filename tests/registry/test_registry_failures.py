"""The registry when something fails: disks, stores, pointers, publishers. The old champion stands."""

import itertools
import os
import time
from pathlib import Path

import pytest

from streamrnn.errors import BundleError
from streamrnn.registry import Champion, Registry
from streamrnn.registry.pointers import CHAMPION, LARGEST_POINTER_BYTES, LONGEST_HISTORY
from tests.backends import Backend, NoCredentials, full_at, stand_before
from tests.registry.marked_models import make_model, mark

pytestmark = pytest.mark.usefixtures("memory")


@pytest.mark.parametrize("write", [1, 2, 3, 4, 5])
def test_a_disk_full_at_any_write_publishes_nothing_and_the_champion_stands(
    write: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports, calls = {"report.json": b"{}", "report.html": b""}, itertools.count(1)

    def fsync(_: int) -> None:
        if next(calls) == write:
            raise OSError(28, "No space left on device")

    for root in (str(tmp_path), "fake://bucket/m"):
        registry = Registry(root)
        registry.set_champion("oil", registry.publish(make_model(5)))
    full_at(write)
    with pytest.raises(BundleError, match=r"oil/2.*: No space left on device"):
        registry.publish(make_model(), reports)
    assert (registry.versions("oil"), registry.unfinished("oil"), mark(registry.load("oil"))) == ([1], [], 5)
    if write < 5:  # a folder has no claim
        registry = Registry(tmp_path)
        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(BundleError, match="oil/2: No space left on device"):
            registry.publish(make_model(), reports)
        assert {path.name for path in (tmp_path / "oil").iterdir()} == {"1", CHAMPION}
        assert mark(registry.load("oil")) == 5


def test_a_pointer_that_cannot_be_written_leaves_the_old_one_in_an_object_store() -> None:
    registry = Registry("fake://bucket/m")
    for n in range(2):
        registry.publish(make_model(n))
    registry.set_champion("oil", 1)
    full_at(1)
    with pytest.raises(BundleError, match=f"{CHAMPION}: No space left on device"):
        registry.set_champion("oil", 2)
    assert registry.pointer("oil") == Champion(1)


def test_a_registry_that_cannot_be_written_or_reached_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    def refuse(operation: str, path: str) -> None:
        raise NoCredentials("Unable to locate credentials")

    stand_before(refuse)
    for root, why in ((tmp_path / "file", "Not a directory"), ("fake://b", "Unable to locate credentials")):
        registry = Registry(root)
        with pytest.raises(BundleError, match=f"{root}/oil.*{why}"):
            registry.publish(make_model())
        with pytest.raises(BundleError, match=f"{root}/oil"):
            registry.load("oil")


def test_a_pointer_that_could_not_be_asked_is_not_taken_for_a_damaged_one() -> None:
    """Else its history would be thrown away."""
    registry = Registry("fake://bucket/m")
    for n in range(3):
        registry.set_champion("oil", registry.publish(make_model(n)))

    def refuse(operation: str, path: str) -> None:
        if operation == "read":
            raise TimeoutError("the store is away")

    stand_before(refuse)
    with pytest.raises(BundleError, match="the store is away"):
        registry.set_champion("oil", 1)
    stand_before(lambda operation, path: None)
    assert registry.pointer("oil") == Champion(3, (1, 2))


def test_the_history_is_bounded_and_the_pointer_stays_readable(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(root)
    large = [10**17 + n for n in range(2 * LONGEST_HISTORY)]
    monkeypatch.setattr(Registry, "versions", lambda self, name: large)
    for version in large:
        registry.set_champion("oil", version)
    assert registry.pointer("oil") == Champion(large[-1], tuple(large[-LONGEST_HISTORY - 1 : -1]))
    assert registry._store.read(f"oil/{CHAMPION}", LARGEST_POINTER_BYTES)


def test_rollback_goes_back_step_by_step_past_what_is_gone(root: str) -> None:
    registry = Registry(root)
    for n in range(4):
        registry.set_champion("oil", registry.publish(make_model(n)))
    registry.delete("oil", 3)
    assert registry.before_champion("oil") == 2
    assert [registry.rollback("oil"), registry.rollback("oil")] == [2, 1]
    with pytest.raises(BundleError, match="oil has no champion before 1 that is still there"):
        registry.rollback("oil")
    assert registry.champion("oil") == 1
    registry.set_champion("oil", 4)
    assert registry.rollback("oil") == 1


def test_a_pointer_written_before_there_was_a_history_is_read(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    for n in range(2):
        registry.publish(make_model(n))
    (tmp_path / "oil" / CHAMPION).write_text('{"version": 1}')
    assert registry.set_champion("oil", 2) == 1
    assert registry.rollback("oil") == 1


@pytest.mark.parametrize("raw", [b'{"version":1,"history":[0]}', b'{"version":1,"history":3}', b"x" * 2000, b""])
def test_a_damaged_pointer_says_how_to_mend_it_and_a_rollback_refuses(root: str, raw: bytes) -> None:
    registry = Registry(root)
    registry.publish(make_model(5))
    registry._store.write(f"oil/{CHAMPION}", raw)
    for act in (registry.load, registry.rollback, registry.champion):
        with pytest.raises(BundleError, match=r"streamrnn models promote oil@VERSION; versions there are: \[1\]"):
            act("oil")
    assert registry.publish(make_model(6)) == 2
    assert registry.set_champion("oil", 1) is None
    assert mark(registry.load("oil")) == 5


def test_a_champion_that_was_deleted_is_named_and_its_number_is_never_given_again(root: str) -> None:
    registry = Registry(root)
    for n in range(3):
        registry.publish(make_model(n))
    registry.set_champion("oil", 3)
    registry.delete("oil", 3)
    with pytest.raises(BundleError, match=r"oil/3/model\.json: No such.*champion.*promote.*\[1, 2\]"):
        registry.load("oil")
    assert registry.publish(make_model(9)) == 4
    with pytest.raises(BundleError, match="oil/3/model"):
        registry.load("oil")


def test_what_a_dead_publisher_left_in_an_object_store_is_no_version_and_in_nobodys_way() -> None:
    registry = Registry("memory://m")
    registry.publish(make_model())
    registry._store.write("oil/2/model.safetensors", b"half")
    assert (registry.versions("oil"), registry.unfinished("oil")) == ([1], ["2"])
    assert registry.publish(make_model()) == 3
    with pytest.raises(BundleError, match=r"oil/2/model\.json: No such file"):
        registry.load("oil", 2)
    with pytest.raises(BundleError, match="oil has no version 2"):
        registry.set_champion("oil", 2)


def test_publishing_gives_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(Registry, "_next", lambda self, name: 1)
    registry = Registry("fake://m", most_tries=3)
    registry.publish(make_model())
    with pytest.raises(BundleError, match="3 times others were publishing"):
        registry.publish(make_model())
    assert len(Backend.store) == 2


@pytest.mark.parametrize("spoilt", ["model.safetensors", "model.json"])
def test_a_version_is_verified_without_loading_it(root: str, spoilt: str) -> None:
    registry = Registry(root)
    registry.publish(make_model())
    registry.verify("oil", 1)
    with pytest.raises(BundleError, match="oil has no version 2"):
        registry.verify("oil", 2)
    registry._store.write(f"oil/1/{spoilt}", b"{}")
    with pytest.raises(BundleError, match=f"oil/1/{spoilt}"):
        registry.verify("oil", 1)
