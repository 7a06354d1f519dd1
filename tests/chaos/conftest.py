"""A broker for all quick faults, a model, scenes; and that faults of minutes are left out unless asked for."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from streamrnn.nn.bundle import save_bundle
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec
from tests.chaos.broker import Broker, one_broker
from tests.chaos.scene import Scene, make_scene

SceneFactory = Callable[..., Awaitable[Scene]]
_left_out = pytest.StashKey[int]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Faults of minutes run with -m chaos."""
    if "chaos" in config.option.markexpr:
        return
    long = [item for item in items if item.get_closest_marker("chaos")]
    items[:] = [item for item in items if item not in long]
    config.stash[_left_out] = len(long)
    config.hook.pytest_deselected(items=long)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say what did not run."""
    if left_out := config.stash.get(_left_out, 0):
        terminalreporter.write_line(f"left out: {left_out} tests of longer faults; they run with -m chaos")


@pytest.fixture(scope="session")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One Apache Kafka with two proxies, for every test that leaves it as it was."""
    with one_broker(tmp_path_factory.mktemp("chaos") / "cluster") as broker:
        yield broker


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model on disk that carries its state far."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("models") / "toy"
    spec = ModelSpec(name="toy", features=("x",), targets=("x",), channels=(Channel("x"),), hidden=8)
    model = Model(spec)
    torch.nn.init.normal_(model.head.weight, std=0.5)
    save_bundle(model, folder)
    return folder


@pytest.fixture
async def scene(shared_broker: Broker, bundle: Path, tmp_path: Path) -> AsyncIterator[SceneFactory]:
    """Make scenes on the shared broker; each is over with the test."""
    numbers = count()
    async with AsyncExitStack() as stack:

        async def make(**given: Any) -> Scene:
            folder = tmp_path / f"scene-{next(numbers)}"
            folder.mkdir()
            model = given.pop("bundle", bundle)
            return await stack.enter_async_context(make_scene(shared_broker, model, folder, **given))

        yield make
