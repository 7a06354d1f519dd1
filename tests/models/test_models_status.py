"""`streamrnn models status`: each partition of each worker, the sum of it, and what went wrong; nothing obeyed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streamrnn.registry import Registry
from tests.models.published import Run
from tests.models.reported import part, say

ESCAPE = "\x1b]0;owned\x07\x1b[2J\x9b"


def rows(text: str) -> list[list[str]]:
    """The cells of a table's rows."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]


@pytest.fixture
def reported(registry: Registry) -> Registry:
    """Two workers follow a challenger, one has gone silent, one of another group serves alone."""
    registry.stage("oil", 3)
    follows = {"challenger": "oil@3"}
    states = [part(0, "ready"), part(1, "hydrating", lag=1234567, left_s=95.4)]
    say(registry, "host-1-ab", *states, refused={"oil@4": "feature load is not in the ticks"}, **follows)
    why = "two lines need 3.1 GB, 2.0 GB are free"
    say(registry, "host-2-cd", part(2, "lagging", lag=120), part(3, "failing", reason=why), **follows)
    say(registry, "host-3-ef", part(3), part(4), ago_s=900)
    registry._store.write("oil/workers/bad.json", b"{")
    return registry


def test_it_shows_who_speaks_for_each_partition_and_how_far_the_one_beside_is(
    reported: Registry, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = run("status", "oil")
    first, second, *_ = shown.splitlines()
    assert first.startswith("oil@2 and beside it oil@3, staged 20")
    assert second == "1 of 4 partitions ready for oil@3"
    assert rows(shown) == [
        ["host-1-ab", "0", "2", "3 ready"],
        ["", "1", "2", "3 hydrating, 1,234,567 to go, 95 s left"],
        ["host-2-cd", "2", "2", "3 lagging by 120"],
        ["", "3", "2", "3 failing: two lines need 3.1 GB, 2.0 GB are free"],
        ["host-3-ef", "4", "2", "silent for 15 min"],
    ]
    assert "host-1-ab refused oil@4: feature load is not in the ticks" in shown
    assert "oil/workers/bad.json: not a worker's report" in shown
    monkeypatch.setenv("COLUMNS", "80")
    narrow = run("status", "oil")
    assert max(len(line) for line in narrow.splitlines() if "│" in line) <= 80
    assert rows(narrow)[0] == ["host-1-ab", "0", "2", "3 ready"]


def test_a_cut_over_under_way_shows_both_versions_and_counts_who_speaks(registry: Registry, run: Run) -> None:
    registry.set_champion("oil", 3)
    wants = {"serving": "oil@3"}
    say(registry, "a", part(0, speaker="oil@3"), part(1, "hydrating", left_s=7300.0), **wants)
    shown = run("status", "oil")
    assert shown.splitlines()[:2] == ["oil@3", "1 of 2 partitions cut over to oil@3"]
    assert rows(shown) == [["a", "0", "3", ""], ["", "1", "2", "3 hydrating, 2 h left"]]
    say(registry, "a", part(0, speaker="oil@3"), part(1, speaker="oil@3"), **wants)
    assert "2 of 2 partitions cut over to oil@3" in run("status", "oil")


def test_a_partition_that_moved_is_counted_once_by_its_newest_report(registry: Registry, run: Run) -> None:
    registry.stage("oil", 3)
    say(registry, "old", part(0, "ready"), challenger="oil@3", ago_s=20)
    say(registry, "new", part(0, "hydrating"), challenger="oil@3", ago_s=10)
    found = json.loads(run("status", "oil", "--json"))
    assert (found["ready"], found["owned"]) == (0, 1)
    assert [row["worker"] for row in found["partitions"]] == ["new"]


def test_only_what_follows_the_challenger_of_now_is_ready_for_it(registry: Registry, run: Run) -> None:
    registry.stage("oil", 3)
    say(registry, "a", part(0, "ready"), challenger="oil@1")
    say(registry, "b", part(1, "ready"), challenger="oil@3")
    assert "1 of 2 partitions ready for oil@3" in run("status", "oil")


def test_groups_and_topics_are_told_apart(reported: Registry, run: Run) -> None:
    say(reported, "x", part(0, "ready"), group="another", challenger="oil@3")
    say(reported, "y", part(0, "ready"), topic="others", challenger="oil@3")
    assert json.loads(run("status", "oil", "--json"))["owned"] == 6
    assert json.loads(run("status", "oil", "--json", "--group", "another"))["owned"] == 1


def test_json_has_the_whole_of_it(reported: Registry, run: Run) -> None:
    found = json.loads(run("status", "oil", "--json"))
    assert (found["champion"], found["challenger"], found["ready"], found["owned"]) == ("oil@2", "oil@3", 1, 4)
    row = found["partitions"][1]
    assert row == {
        "worker": "host-1-ab", "group": "g", "topic": "ticks", "partition": 1, "speaker": "oil@2",
        "beside": "oil@3", "state": "hydrating", "lag": 1234567, "left_s": 95.4, "reason": "", "silent_s": None,
    }  # fmt: skip
    assert found["silent"]["host-3-ef"] == pytest.approx(900, abs=5)
    assert found["refusals"][0]["label"] == "oil@4"
    assert len(found["problems"]) == 1


def test_without_workers_or_champion_that_is_said(registry: Registry, run: Run) -> None:
    assert run("status", "oil") == "oil@2\nno worker that owns a partition reports on oil\n"
    assert run("status", "gas") == "gas has no champion\nno worker that owns a partition reports on gas\n"
    registry._store.delete("oil/champion.json")
    say(registry, "a", part(0))
    assert run("status", "oil").splitlines()[:2] == ["oil has no champion", "1 partition, and no champion"]
    registry.remove_report("oil", "a")
    registry.set_champion("oil", 2)
    say(registry, "idle")
    assert run("status", "oil") == "oil@2\nno worker that owns a partition reports on oil\n"


def test_what_workers_report_is_shown_and_not_obeyed(registry: Registry, run: Run) -> None:
    """The command's own check of its output is that of the fixture."""
    registry.stage("oil", 3)
    refused = {f"oil@4{ESCAPE}": f"why{ESCAPE}"}
    states = [part(0, "failing", reason=f"reason{ESCAPE}[bold]"), part(1, "ready", speaker=f"oil@9{ESCAPE}")]
    say(registry, "a", *states, refused=refused, group=ESCAPE, challenger="oil@3")
    shown = run("status", "oil")
    assert "[bold]" in shown
    assert r"why\x1b]0;owned\x07" in shown
    assert "\\u001b" in run("status", "oil", "--json")


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_watching_shows_it_again_and_again_until_it_is_interrupted(
    tmp_path: Path, form: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(tmp_path)
    say(registry, "a", part(0, speaker="oil@2"))
    command = [sys.executable, "-m", "streamrnn", "models", "status", "oil", "--watch", "--every", "0.1", *form]
    job = subprocess.Popen(
        [*command, "--registry", str(tmp_path)], stdout=-1, stderr=-1, text=True, env=os.environ | {"COLUMNS": "80"}
    )
    assert job.stdout is not None
    lines = []
    while sum("oil" in line for line in lines) < 6:
        lines.append(job.stdout.readline())
        assert lines[-1], "it ended"
    job.send_signal(signal.SIGINT)
    _, err = job.communicate(timeout=30)
    assert (job.returncode, err) == (0, "")
    if form:
        assert all(json.loads(line)["name"] == "oil" for line in lines)


def test_watching_outlives_a_registry_that_is_away(tmp_path: Path) -> None:
    (tmp_path / "oil").mkdir()
    (tmp_path / "oil" / "challenger.json").write_bytes(b"{")
    command = [sys.executable, "-m", "streamrnn", "models", "status", "oil", "--watch", "--every", "0.1"]
    job = subprocess.Popen([*command, "--registry", str(tmp_path)], stdout=-1, stderr=-1, text=True)
    assert job.stdout is not None
    assert "not a challenger pointer" in job.stdout.readline()
    (tmp_path / "oil" / "challenger.json").unlink()
    begun_s = time.monotonic()
    while "no champion" not in job.stdout.readline():
        assert time.monotonic() - begun_s < 30
    job.send_signal(signal.SIGINT)
    assert job.wait(30) == 0
    job.communicate()
