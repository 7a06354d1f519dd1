"""The registry in a folder and in object stores: the same answers, the same bits, and nothing lost at once."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import get_args

import pytest

from streamrnn.config import load_settings
from streamrnn.errors import BundleError, ConfigError
from streamrnn.nn.model import Model
from streamrnn.nn.spec import CellKind, Channel, ModelSpec
from streamrnn.registry import Registry, check_named, load_model
from tests.backends import running, slow
from tests.registry.marked_models import make_model, mark

pytestmark = pytest.mark.usefixtures("memory")


def bits(model: Model) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("cell", get_args(CellKind))
def test_a_model_comes_back_with_the_same_bits_from_anywhere(root: str, cell: CellKind) -> None:
    spec = ModelSpec(name="oil", features=("a",), targets=("a",), channels=(Channel("a"),), hidden=5, cell=cell)
    model = Model(spec)
    model.set_stats(channel_mean=[1 / 3], channel_std=[1e-38], gap_mean=[-0.0])
    registry = Registry(root)
    registry.set_champion("oil", registry.publish(model))
    settings = load_settings(overrides={"model.registry": root, "model.name": "oil"})
    for loaded in (registry.load("oil", 1), Registry(root).load("oil"), load_model(settings.model)):
        assert bits(loaded) == bits(model)
        assert loaded.spec == spec


@pytest.mark.parametrize(
    "given", [{"version": "3", "challenger": "3"}, {"path": "m", "challenger": "3"}, {"name": "oil"}, {}]
)
def test_settings_that_name_no_model_or_no_challenger_are_refused(given: dict[str, str]) -> None:
    named = {"registry": "m", "name": "oil"} if "version" in given else {}
    settings = load_settings(overrides={f"model.{key}": value for key, value in (named | given).items()})
    with pytest.raises(ConfigError, match=r"^(no model: set|model\.challenger: needs)"):
        check_named(settings.model)


def test_versions_champion_and_names_are_the_same_everywhere(root: str) -> None:
    registry = Registry(root)
    assert (registry.names(), registry.versions("oil"), registry.pointer("oil")) == ([], [], None)
    assert [registry.publish(make_model(n)) for n in range(12)] == list(range(1, 13))
    assert registry.publish(make_model(name="Pumpe 7, Süd")) == 1
    assert registry.names() == ["Pumpe 7, Süd", "oil"]
    assert registry.versions("oil") == list(range(1, 13))
    assert [registry.set_champion("oil", version) for version in (3, 12, 12)] == [None, 3, 12]
    assert mark(registry.load("oil")) == 11
    assert registry.rollback("oil") == 3
    assert mark(registry.load("oil")) == 2
    for name in ("..", "a/b", ".x"):
        with pytest.raises(BundleError, match="is no model name"):
            registry.load(name)


def test_reports_lie_beside_the_model_and_come_back(root: str) -> None:
    registry = Registry(root)
    registry.publish(make_model(), {"report.json": b"{}", "report.html": b"<p>\0"})
    registry.publish(make_model(1))
    assert registry.report("oil", 1) == b"{}"
    assert registry.report("oil", 1, "report.html") == b"<p>\0"
    assert registry.report("oil", 2) is None
    assert registry.sizes("oil", 1).keys() == {"model.json", "model.safetensors", "report.json", "report.html"}
    assert mark(registry.load("oil", 2)) == 1


@pytest.mark.parametrize("name", ["model.json", "model.safetensors", "../x", "a/b.html", "", ".x", "x", "X.html\n"])
def test_a_report_cannot_take_the_place_of_the_model_or_leave_the_folder(root: str, name: str) -> None:
    registry = Registry(root)
    with pytest.raises(BundleError, match="is no name for a report"):
        registry.publish(make_model(), {name: b""})
    assert registry.versions("oil") == []


def publish_at_once(root: str, publishers: int, each: int) -> None:
    """Threads with a registry each publish marked models; every one must get a version of its own and keep it."""
    got: list[tuple[int, float]] = []
    ready = threading.Barrier(publishers)

    def publish(first: int) -> None:
        registry = Registry(root)
        ready.wait(10)
        for n in range(first, first + each):
            got.append((registry.publish(make_model(n), {"report.json": str(n).encode()}), n))

    with running([threading.Thread(target=publish, args=(n * each,)) for n in range(publishers)]):
        pass
    registry = Registry(root)
    assert sorted(weight for _, weight in got) == list(range(publishers * each))
    assert registry.versions("oil") == sorted(version for version, _ in got)
    assert registry.unfinished("oil") == []
    for version, weight in got:
        assert mark(registry.load("oil", version)) == weight
        assert registry.report("oil", version) == str(weight).encode()
        assert registry.sizes("oil", version).keys() == {"model.json", "model.safetensors", "report.json"}


def test_threads_that_publish_at_once_lose_nothing_anywhere(root: str) -> None:
    publish_at_once(root, publishers=5, each=4)


def test_threads_that_publish_at_once_through_a_slow_store_lose_nothing() -> None:
    slow(0.01)
    publish_at_once("fake://bucket/m", publishers=4, each=3)


PUBLISH = """
import sys, time
from pathlib import Path
from streamrnn.registry import Registry
from tests.registry.marked_models import make_model
root, first, each = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for n in range(first, first + each):
    print(Registry(root).publish(make_model(n)), n)
"""


def test_processes_that_publish_at_once_lose_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PUBLISH, str(tmp_path)]
    here = Path(__file__).parents[2]
    jobs = [
        subprocess.Popen([*command, str(n * 8), "8"], stdin=-1, stdout=-1, stderr=-1, text=True, cwd=here)
        for n in range(3)
    ]
    for job in jobs:
        assert job.stdout is not None
        assert job.stdout.readline() == "ready\n"
    said = [job.communicate("go\n", timeout=60) for job in jobs]
    assert [err for _, err in said] == [""] * 3
    got = [tuple(map(int, line.split())) for out, _ in said for line in out.splitlines()]
    registry = Registry(tmp_path)
    assert sorted(version for version, _ in got) == registry.versions("oil") == list(range(1, 25))
    assert all(mark(registry.load("oil", version)) == weight for version, weight in got)
    assert len(list((tmp_path / "oil").iterdir())) == 24


def test_a_reader_never_finds_half_a_version(root: str) -> None:
    done = threading.Event()
    slow(0.002)

    def publish() -> None:
        for n in range(8):
            Registry(root).publish(make_model(n + 1), {"report.json": b"{}"})
        done.set()

    registry, loaded = Registry(root), 0
    with running([threading.Thread(target=publish)]):
        while not done.is_set() or not loaded:
            for version in registry.versions("oil")[-1:]:
                assert mark(registry.load("oil", version)) == version
                assert registry.report("oil", version) == b"{}"
                loaded += 1
    assert registry.versions("oil") == list(range(1, 9))
