"""The registry: versions only grow, one is the champion, and names and pointers are not trusted."""

import json
import os
import threading
from pathlib import Path

import pytest

from streamrnn.errors import BundleError
from streamrnn.registry import Registry
from streamrnn.registry.pointers import CHAMPION
from tests.registry.marked_models import make_model, mark

BAD_NAMES = ["", ".", "..", "../oil", "/oil", "a/b", "a/", "a\\b", ".hidden", "a\nb", "a\0b", "\x1b[2J", "\udcff",
             "x" * 256, "é" * 128]  # fmt: skip


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models")


def test_versions_count_up_from_one_and_each_keeps_its_weights(registry: Registry) -> None:
    assert registry.versions("oil") == []
    assert [registry.publish(make_model(n / 2)) for n in range(11)] == list(range(1, 12))
    assert registry.versions("oil") == list(range(1, 12))
    for version in (1, 9, 11):
        loaded = registry.load("oil", version)
        assert (loaded.spec.label, mark(loaded)) == (f"oil@{version}", (version - 1) / 2)


def test_names_keep_their_versions_apart(registry: Registry) -> None:
    for name in ("oil", "Pumpe 7, Süd", "x" * 200, "é" * 127):
        assert registry.publish(make_model(name=name)) == 1
        assert registry.load(name, 1).spec.name == name


def test_a_gap_is_not_filled_and_only_numbered_folders_are_versions(registry: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "oil"
    for name in ("4", "07", "-9", "8.0", "٩", "+9", ".draft-9", "nine", "0", "9" * 19):
        (folder / name).mkdir(parents=True)
    (folder / "6").touch()
    assert registry.versions("oil") == [4]
    assert registry.publish(make_model()) == 5


def test_a_file_in_the_place_of_the_next_version_is_an_error_and_no_endless_loop(
    registry: Registry, tmp_path: Path
) -> None:
    registry.publish(make_model())
    (tmp_path / "models" / "oil" / "2").touch()
    with pytest.raises(BundleError, match="oil/2 exists already"):
        registry.publish(make_model())


def test_the_champion_is_the_one_chosen_last_whatever_is_published(registry: Registry) -> None:
    for n in range(3):
        registry.publish(make_model(n))
    registry.set_champion("oil", 3)
    registry.set_champion("oil", 2)
    registry.publish(make_model(9))
    assert registry.champion("oil") == 2
    assert mark(registry.load("oil")) == 1
    assert mark(registry.load("oil", 4)) == 9


def test_without_a_champion_the_versions_there_are_get_named(registry: Registry) -> None:
    registry.publish(make_model())
    for act in (registry.champion, registry.load):
        with pytest.raises(BundleError, match=rf"oil/{CHAMPION}: No such file.*versions there are: \[1\]"):
            act("oil")


@pytest.mark.parametrize("version", [0, -1, 2])
def test_what_was_not_published_cannot_be_champion_or_be_loaded(registry: Registry, version: int) -> None:
    registry.publish(make_model())
    registry.set_champion("oil", 1)
    with pytest.raises(BundleError, match=rf"oil has no version {version}; there are \[1\]"):
        registry.set_champion("oil", version)
    with pytest.raises(BundleError, match=f"oil/{version}/model.json"):
        registry.load("oil", version)
    assert registry.champion("oil") == 1


def test_a_pointer_is_replaced_whole_or_not_at_all(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(2):
        registry.publish(make_model(n))
    registry.set_champion("oil", 1)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BundleError, match=f"{CHAMPION}: No space left on device"):
        registry.set_champion("oil", 2)
    assert registry.champion("oil") == 1
    assert {path.name for path in (tmp_path / "models" / "oil").iterdir()} == {"1", "2", CHAMPION}


@pytest.mark.parametrize(
    "raw",
    [b"", b"1", b"null", b"[]", b"{}", b'{"version": "1"}', b'{"version": null}', b'{"version": 1.5}',
     b'{"version": 0}', b'{"version": -1}', b'{"version": 1, "code": 1}', b'{"version": 1', b"\xff\xfe",
     b'{"version": "../../secret"}', b"[" * 100_000, b'{"version": ' + b"[" * 100_000,
     b'{"version": ' + b"9" * 5_000 + b"}", b'{"version": 1}' + b" " * 2_000_000],
    ids=lambda raw: repr(raw[:30]),
)  # fmt: skip
def test_a_damaged_pointer_is_refused_by_name_and_can_be_set_anew(
    registry: Registry, tmp_path: Path, raw: bytes
) -> None:
    registry.publish(make_model(5))
    pointer = tmp_path / "models" / "oil" / CHAMPION
    pointer.write_bytes(raw)
    for act in (registry.champion, registry.load):
        with pytest.raises(BundleError, match=str(pointer)):
            act("oil")
    registry.set_champion("oil", 1)
    assert mark(registry.load("oil")) == 5


def test_a_pointer_to_a_version_that_is_gone_names_the_version(registry: Registry, tmp_path: Path) -> None:
    registry.publish(make_model())
    (tmp_path / "models" / "oil" / CHAMPION).write_text('{"version": 7}')
    with pytest.raises(BundleError, match=r"oil/7/model\.json: No such file"):
        registry.load("oil")


def test_a_pointer_that_is_a_link_out_of_the_registry_is_not_followed(registry: Registry, tmp_path: Path) -> None:
    registry.publish(make_model())
    (tmp_path / "secret.json").write_text('{"version": 1}')
    (tmp_path / "models" / "oil" / CHAMPION).symlink_to(tmp_path / "secret.json")
    with pytest.raises(BundleError, match=CHAMPION):
        registry.champion("oil")


def test_a_bundle_put_in_the_place_of_another_is_refused(registry: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    registry.publish(make_model())
    registry.publish(make_model(name="gas"))
    (folder / "oil" / "1").rename(folder / "oil" / "3")
    (folder / "gas" / "1").rename(folder / "oil" / "1")
    for version, label in ((3, "oil@1"), (1, "gas@1")):
        with pytest.raises(BundleError, match=f"oil/{version} holds {label}"):
            registry.load("oil", version)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_is_no_single_plain_path_part_is_refused_everywhere(
    registry: Registry, tmp_path: Path, name: str
) -> None:
    calls = (
        lambda: registry.versions(name),
        lambda: registry.champion(name),
        lambda: registry.set_champion(name, 1),
        lambda: registry.load(name),
        lambda: registry.load(name, 1),
        lambda: registry.publish(make_model(name=name)),
    )
    for call in calls:
        with pytest.raises(BundleError, match="is no model name"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_publishers_at_the_same_moment_get_a_version_each_and_none_is_lost(tmp_path: Path) -> None:
    """Each has its own registry on one folder, as separate retrain jobs would."""
    threads, each, ready = 6, 5, threading.Barrier(6)
    got: list[tuple[int, float]] = []

    def publish(thread: int) -> None:
        registry = Registry(tmp_path)
        ready.wait()
        for n in range(each):
            weight = float(thread * each + n)
            got.append((registry.publish(make_model(weight)), weight))

    running = [threading.Thread(target=publish, args=(n,)) for n in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert sorted(version for version, _ in got) == list(range(1, threads * each + 1))
    assert sorted(weight for _, weight in got) == list(range(threads * each))
    for version, weight in got:
        assert mark(Registry(tmp_path).load("oil", version)) == weight
    assert {path.name for path in (tmp_path / "oil").iterdir()} == {str(version) for version, _ in got}


def test_the_pointer_is_always_one_of_those_set_while_it_is_being_read(registry: Registry) -> None:
    for n in range(2):
        registry.publish(make_model(n))
    registry.set_champion("oil", 1)
    done = threading.Event()
    seen: set[int] = set()

    def read() -> None:
        while not done.is_set():
            seen.add(registry.champion("oil"))

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(100):
        registry.set_champion("oil", n % 2 + 1)
    done.set()
    reader.join()
    assert seen == {1, 2}


def test_a_pointer_is_plain_json(registry: Registry, tmp_path: Path) -> None:
    registry.publish(make_model())
    registry.set_champion("oil", 1)
    assert json.loads((tmp_path / "models" / "oil" / CHAMPION).read_bytes()) == {"version": 1}
