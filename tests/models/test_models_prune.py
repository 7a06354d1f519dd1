"""`streamrnn models prune`: what goes, what stays, and what another job does meanwhile."""

import time
from pathlib import Path

import pytest

from streamrnn.errors import BundleError
from streamrnn.models import pruning
from streamrnn.models.pruning import superfluous
from streamrnn.registry import Registry, WorkerReport
from tests.models.published import Run, model


def aged(monkeypatch: pytest.MonkeyPatch, hours: float) -> None:
    """Let so many hours pass."""
    now = time.time() + hours * 3600
    monkeypatch.setattr(time, "time", lambda: now)


def test_prune_keeps_the_newest_the_champion_and_the_one_before_it(
    registry: Registry, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        registry.publish(model())
    registry.set_champion("oil", 3)
    stay = "the champion, the one before it, the challenger, and what is younger than 1 h stay"
    nothing = ["oil: 0 deleted, versions now: [1, 2, 3, 4, 5, 6, 7]", stay]
    assert run("prune", "oil", "--keep", "2").splitlines() == nothing
    aged(monkeypatch, 1.1)
    assert run("prune", "oil", "--keep", "2", "--min-age-h", "2").startswith("oil: 0 deleted")
    said = run("prune", "oil", "--keep", "2")
    assert said.splitlines() == [
        "deleted oil@1",
        "deleted oil@4",
        "deleted oil@5",
        "oil: 3 deleted, versions now: [2, 3, 6, 7]",
        stay,
    ]
    assert registry.rollback("oil") == 2
    assert registry.publish(model()) == 8


def test_prune_clears_away_what_was_never_finished_a_day_later(
    registry: Registry, root: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "://" in root:
        registry._store.write("oil/4/model.safetensors", b"x")
    else:
        (Path(root) / "oil" / ".draft-x").mkdir()
    aged(monkeypatch, 23)
    assert run("prune", "oil", "--keep", "9").startswith("oil: 0 deleted")
    aged(monkeypatch, 25)
    assert "which was never finished" in run("prune", "oil", "--keep", "9")
    assert registry.unfinished("oil") == []
    assert registry.versions("oil") == [1, 2, 3]


def test_a_version_promoted_while_prune_is_at_work_stays(
    registry: Registry, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        registry.publish(model())
    steps = pruning.prune(registry, "oil", 1, 0)
    assert next(steps) == "oil@3"
    Registry(root).set_champion("oil", 4)
    assert list(steps) == ["oil@5"]
    assert registry.versions("oil") == [1, 2, 4, 6]


def test_what_workers_said_a_day_ago_goes(registry: Registry, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.write_report(
        "oil", WorkerReport(worker="h-1", group="g", topic="t", at_ms=int(time.time() * 1000), serving="oil@2")
    )
    aged(monkeypatch, 23)
    assert run("prune", "oil", "--keep", "9").startswith("oil: 0 deleted")
    aged(monkeypatch, 25)
    assert "deleted what a worker last said of oil: h-1.json\n" in run("prune", "oil", "--keep", "9")
    assert registry.reports("oil").heard == ()


def test_the_challenger_stays_and_a_damaged_one_lets_nothing_go(registry: Registry, root: str) -> None:
    for _ in range(2):
        registry.publish(model())
    registry.stage("oil", 3)
    assert list(pruning.prune(registry, "oil", 1, 0)) == ["oil@4"]
    assert registry.versions("oil") == [1, 2, 3, 5]
    registry._store.write("oil/challenger.json", b"{")
    with pytest.raises(BundleError, match=r"oil/challenger\.json: not a challenger pointer"):
        list(pruning.prune(registry, "oil", 1, 0))
    assert registry.versions("oil") == [1, 2, 3, 5]


@pytest.mark.parametrize(("versions", "keep", "gone"), [((), 1, []), ((7,), 1, []), ((1, 10, 9, 2), 2, [1, 2])])
def test_what_is_superfluous_is_all_but_the_newest(versions: tuple[int, ...], keep: int, gone: list[int]) -> None:
    assert superfluous(versions, keep) == gone
