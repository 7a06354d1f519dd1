"""What every test finds and leaves as it was."""

import logging
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.backends import empty_all

hypothesis.settings.register_profile("streamrnn", deadline=None)
hypothesis.settings.load_profile("streamrnn")
"""How long an example takes says how busy the machine is; a test as a whole has its timeout."""


@pytest.fixture(autouse=True)
def root_logger_as_it_was() -> Iterator[None]:
    """A command run in this process sets where log lines go: to a stream that pytest closes with the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def memory() -> Iterator[None]:
    """Object stores in memory, empty before and after."""
    empty_all()
    yield
    empty_all()


@pytest.fixture(params=["folder", "file://", "memory://", "fake://"])
def root(request: pytest.FixtureRequest, tmp_path: Path, memory: None) -> str:
    """A folder, the same as a URL, and two object stores."""
    kind: str = request.param
    return {"folder": str(tmp_path / "m"), "file://": f"file://{tmp_path}/m"}.get(kind, f"{kind}bucket/m")
