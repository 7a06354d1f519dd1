"""A registry in a folder and in an object store, and the command on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamrnn.cli import main
from streamrnn.registry import Registry
from tests.backends import empty_all
from tests.models.published import Run, model, report


@pytest.fixture(params=["folder", "memory://"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A registry of each kind, empty."""
    empty_all()
    yield str(tmp_path / "models") if request.param == "folder" else "memory://bucket/models"
    empty_all()


@pytest.fixture
def registry(root: str) -> Registry:
    """Three versions of oil, the second the champion; the second has a report."""
    registry = Registry(root)
    for reports in (None, report(), None):
        registry.publish(model(), reports)
    registry.set_champion("oil", 1)
    registry.set_champion("oil", 2)
    return registry


@pytest.fixture
def run(root: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `streamrnn models`, expect an exit code, give what was said; nothing in it obeys.

    says: whether something is said before it fails.
    """
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("STREAMRNN_MODEL__REGISTRY", root)

    def command(*arguments: str, code: int = 0, says: bool = False) -> str:
        assert main(["models", *arguments]) == code
        out, err = capsys.readouterr()
        assert all(c.isprintable() or c == "\n" for c in out + err)
        assert (out == "") == (code != 0 and not says)
        assert err.count("\n") == (code != 0)
        return err if code else out

    return command
