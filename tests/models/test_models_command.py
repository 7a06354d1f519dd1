"""`streamrnn models` on a folder and on an object store: what is shown, moved and refused."""

import calendar
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from streamrnn.cli import main
from streamrnn.models.entry import Summary
from streamrnn.registry import Registry
from streamrnn.registry.pointers import CHAMPION
from streamrnn.train.retrain_report import Verdict
from tests.models.published import REPORT, SPEC, Run, model, report, score

ESCAPE = "\x1b]0;owned\x07\x1b[2J\x9b"


def rows(text: str) -> list[list[str]]:
    """The cells of a table's rows."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]


def test_the_list_shows_every_version_with_its_error_and_marks_the_champion(registry: Registry, run: Run) -> None:
    registry.publish(model("gas"))
    shown = rows(run("list"))
    created = time.strptime(shown[0][2], "%Y-%m-%d %H:%M")
    assert calendar.timegm(created) == pytest.approx(time.time(), abs=120)
    assert [[*row[:2], *row[3:]] for row in shown] == [
        ["gas@1", "", "gru 3 x 1", "", ""],
        ["oil@1", "", "gru 3 x 1", "", ""],
        ["oil@2", "champion", "gru 3 x 1", "0.375", "promoted"],
        ["oil@3", "", "gru 3 x 1", "", ""],
    ]
    assert [row[0] for row in rows(run("list", "gas"))] == ["gas@1"]


def test_the_list_fits_a_terminal_of_80_columns(
    registry: Registry, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert ["oil@2", "champion", "gru 3 x 1", "0.375", "promoted"] in [[*r[:2], *r[3:]] for r in rows(run("list"))]


def test_the_challenger_is_marked_too(registry: Registry, run: Run) -> None:
    registry.stage("oil", 3)
    assert [row[:2] for row in rows(run("list"))] == [["oil@1", ""], ["oil@2", "champion"], ["oil@3", "challenger"]]
    assert [(e["champion"], e["challenger"]) for e in json.loads(run("list", "--json"))][1:] == [
        (True, False),
        (False, True),
    ]
    assert "oil@3, the challenger, created" in run("show", "oil@3")
    registry._store.write("oil/challenger.json", b"{")
    damaged = run("list")
    assert rows(damaged)[1][:2] == ["oil@2", "champion"]
    assert "not a challenger pointer" in damaged


def test_the_list_is_json_where_asked(registry: Registry, run: Run) -> None:
    found = json.loads(run("list", "--json"))
    assert [(e["name"], e["version"], e["champion"], e["test_error"], e["promoted"]) for e in found] == [
        ("oil", 1, False, None, None),
        ("oil", 2, True, 0.375, True),
        ("oil", 3, False, None, None),
    ]


def test_an_empty_registry_lists_nothing_and_an_unknown_name_is_an_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    place = f"--model.registry={tmp_path / 'empty'}"
    assert run("list", place) == "no models\n"
    assert json.loads(run("list", "--json", place)) == []
    assert f"{tmp_path / 'empty'}/oil: no model of this name" in run("list", "oil", place, code=3)


@pytest.mark.parametrize("action", ["list", "show oil", "promote oil@1", "rollback oil", "prune oil --keep=1"])
def test_a_registry_that_is_not_there_is_an_error_and_not_an_empty_list(run: Run, root: str, action: str) -> None:
    assert f"{root}: there is no registry here; see --model.registry" in run(*action.split(), code=3)
    if "://" not in root:
        assert not Path(root).exists()


def test_show_tells_spec_sizes_and_report_of_the_champion_or_of_a_version(registry: Registry, run: Run) -> None:
    shown = run("show", "oil")
    parameters = sum(p.numel() for p in model().parameters())
    weights = registry.sizes("oil", 2)["model.safetensors"]
    for part in ("oil@2, the champion", registry.place("oil", 2), f"{parameters:,} parameters", f"{weights:,}",
                 '"gru"', "persistence", "0.375", "0.75", "from history.csv, trained in 65 s",
                 "promoted (policy if-better): better by 10 %"):  # fmt: skip
        assert part in shown
    assert "oil@3, created" in run("show", "oil@3")


def test_show_is_json_where_asked(registry: Registry, run: Run) -> None:
    found = json.loads(run("show", "oil@2", "--json"))
    assert found["spec"] == json.loads(msgspec.json.encode(msgspec.structs.replace(SPEC, version=2)))
    assert found["report"]["verdict"] == {"promoted": True, "policy": "if-better", "reason": "better by 10 %"}
    assert found["files"] == registry.sizes("oil", 2)
    assert json.loads(run("show", "oil@1", "--json"))["report"] is None


def test_the_number_shown_is_the_one_the_retrain_job_compares_by() -> None:
    seen = msgspec.json.decode(msgspec.json.encode(REPORT), type=Summary)
    assert [each.overall for each in seen.scores] == [each.overall for each in REPORT.scores]
    nothing = msgspec.structs.replace(REPORT, scores=[score("oil", None)])
    assert math.isnan(nothing.scores[0].overall)
    assert msgspec.json.decode(msgspec.json.encode(nothing), type=Summary).test_error is None


def test_promote_and_rollback_say_from_and_to(registry: Registry, run: Run) -> None:
    cuts = "daemons that serve oil will cut each partition over to {0} once {0} is ready there\n"
    assert run("promote", "oil@3") == "oil: champion 2 -> 3\n" + cuts.format(3)
    assert run("promote", "oil@3") == "oil: 3 is the champion already\n"
    assert run("rollback", "oil") == "oil: champion 3 -> 2\n" + cuts.format(2)
    assert run("rollback", "oil") == "oil: champion 2 -> 1\n" + cuts.format(1)
    assert "no champion before 1" in run("rollback", "oil", code=3)
    registry.publish(model("gas"))
    assert run("promote", "gas@1") == "gas: champion none -> 1\n"
    assert registry.champion("oil") == registry.champion("gas") == 1


@pytest.mark.usefixtures("registry")
def test_a_version_that_is_not_there_is_shown_as_those_that_are(run: Run) -> None:
    assert "oil has no version 9; there are [1, 2, 3]\n" in run("show", "oil@9", code=3)


@pytest.mark.parametrize(
    ("label", "code", "said"),
    [("oil", 2, "oil@VERSION"), ("oil@x", 2, "oil@x@VERSION"), ("oil@", 2, "@VERSION"), ("@1", 3, "no model name"),
     ("oil@9", 3, "oil has no version 9; there are [1, 2, 3]"), ("oil@" + "9" * 30, 2, "@VERSION"),
     ("../oil@1", 3, "is no model name"), ("gas@1", 3, "gas has no version 1")],
)  # fmt: skip
def test_what_cannot_be_promoted_is_refused_and_the_champion_stands(
    registry: Registry, run: Run, label: str, code: int, said: str
) -> None:
    assert said in run("promote", label, code=code)
    assert registry.champion("oil") == 2


def test_a_name_may_hold_an_at(root: str, run: Run) -> None:
    Registry(root).publish(model("oil@home"))
    assert run("promote", "oil@home@1") == "oil@home: champion none -> 1\n"
    assert "oil@home@1, the champion" in run("show", "oil@home")


def test_a_damaged_version_is_neither_promoted_nor_gone_back_to(registry: Registry, run: Run) -> None:
    registry._store.write("oil/1/model.safetensors", b"x")
    assert "oil/1/model.safetensors: sha256" in run("promote", "oil@1", code=3)
    assert "oil/1/model.safetensors: sha256" in run("rollback", "oil", code=3)
    assert registry.champion("oil") == 2
    assert "not safetensors" in run("show", "oil@1", code=3)


def test_damage_is_listed_beside_what_is_whole(registry: Registry, run: Run) -> None:
    registry._store.write("oil/1/model.json", b"[" * 10_000)
    registry._store.write("oil/2/report.json", b"{}")
    registry._store.write(f"oil/{CHAMPION}", b"x")
    shown = run("list")
    assert [row[-1] for row in rows(shown)] == ["damaged", "", ""]
    assert "oil@1: " in shown
    assert "oil@2: report.json: " in shown
    assert "streamrnn models promote oil@VERSION" in shown
    assert "streamrnn models promote oil@VERSION" in run("rollback", "oil", code=3)
    assert "streamrnn models promote oil@VERSION" in run("prune", "oil", "--keep", "1", "--min-age-h", "0", code=3)
    assert registry.versions("oil") == [1, 2, 3]
    assert "streamrnn models promote oil@VERSION" in run("show", "oil@3")
    assert run("promote", "oil@2") == "oil: champion none -> 2\n"
    assert "report.json: " in run("show", "oil")


def test_text_from_files_is_shown_and_never_obeyed(registry: Registry, run: Run) -> None:
    hostile = f"[bold]{ESCAPE}\n"
    verdict = Verdict(promoted=False, policy=hostile, reason=hostile, margin=0)
    registry.publish(model(), report(source=hostile, scores=[score(hostile, 1.0)], verdict=verdict))
    assert r"[bold]\x1b]0;owned\x07\x1b[2J\x9b\n" in run("show", "oil@4")
    assert json.loads(run("show", "oil@4", "--json"))["report"]["source"] == hostile
    registry._store.write("oil/4/model.json", json.dumps({"format": 1, hostile: 1}).encode())
    assert r"\x1b]0;owned" in run("list")
    assert r"\x1b]0;owned" in run("show", "oil@4", code=3)
    assert json.loads(run("list", "--json"))[3]["problem"]
    assert r"\x1b]0" in run("show", f"oil{ESCAPE}", code=3)


@pytest.mark.parametrize(
    "arguments",
    [[], ["show"], ["promote"], ["prune", "oil"], ["prune", "oil", "--keep", "0"], ["prune", "oil", "--keep", "x"],
     ["prune", "oil", "--keep", "1", "--min-age-h", "nan"], ["prune", "oil", "--keep", "1", "--min-age-h", "-1"],
     ["drop", "oil"], ["list", "--jsn"], ["list", "--reg", "x"]],
)  # fmt: skip
def test_arguments_that_make_no_sense_end_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["models", *arguments])
    assert end.value.code == 2
    capsys.readouterr()


def test_the_registry_comes_from_the_option_the_environment_or_the_file(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("file", "option"):
        Registry(tmp_path / name).publish(model(name))
    toml = tmp_path / "s.toml"
    toml.write_text(f"[model]\nregistry = {json.dumps(str(tmp_path / 'file'))}\n")
    assert "there is no registry here" in run("list", code=3)
    assert rows(run("list", "--model.registry", str(tmp_path / "option")))[0][0] == "option@1"
    assert rows(run("list", "--registry", str(tmp_path / "option")))[0][0] == "option@1"
    monkeypatch.delenv("STREAMRNN_MODEL__REGISTRY")
    assert rows(run("list", "--config", str(toml)))[0][0] == "file@1"
    assert "give --model.registry, or set model.registry" in run("list", code=2)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert rows(run("list", "--registry", "~/option"))[0][0] == "option@1"


def test_a_backend_that_is_not_installed_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    assert "pip install 'streamrnn[s3]'" in run("list", "--registry", "s3://bucket/models", code=2)


PROBE = """
import os, sys
from streamrnn.cli import main
for arguments in ("list", "show oil", "promote oil@1", "rollback oil", "prune oil --keep=1"):
    assert main(["models", *arguments.split(), "--registry", sys.argv[1]]) == 0
assert not {"torch", "fsspec", "numba", "safetensors"} & set(sys.modules), sorted(sys.modules)
"""


def test_no_action_waits_for_torch(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    for _ in range(2):
        registry.set_champion("oil", registry.publish(model()))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STREAMRNN_")}
    command = [sys.executable, "-c", PROBE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
