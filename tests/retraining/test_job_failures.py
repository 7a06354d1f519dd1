"""`streamrnn retrain` when something is wrong: one line that names it, and nothing is published."""

import errno
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from streamrnn.registry import Registry
from streamrnn.stores import folder

from .conftest import COLUMNS, STOCKS, Retrain

HEAD = "time,x,y\n"


def rows(count: int, line: str = "{time},{n},{n}") -> str:
    return HEAD + "".join(line.format(time=1_700_000_000 + 60 * n, n=n % 7, s=n) + "\n" for n in range(count))


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (None, [], r"{file}: No such file or directory"),
        ("", [], r"{file}: "),
        (HEAD, ["--features=x"], r"{file}: no rows"),
        (rows(200, "{time},,{n}"), ["--features=x,y"], r"the training part holds no value of \['x'\]"),
        (rows(200, "{time},{n},NaN"), ["--features=x,y", "--targets=y"], r"no value of \['y'\]"),
        (rows(200, "{time},{n},stream{s}"), ["--stream-column=y"], "nothing to judge by: no tick of the test part"),
        (rows(200), ["--since=2999-01-01"], "the history has no ticks"),
        (rows(200), ["--until=2000-01-01"], "the history has no ticks"),
        (rows(200), ["--since=2023-11-14T23:00", "--until=2023-11-14T22:00"], "the history has no ticks"),
        (rows(1), [], "1 ticks leave none for validation"),
        (rows(200), ["--horizons=40"], "nothing to judge by: no tick of the test part has its truths 40 ticks"),
        (rows(200), ["--targets=z"], "'z'"),
        (rows(200), ["--features=x,z"], "{file}: no column 'z'"),
        (rows(200), ["--channels=lvl"], "the model asked for cannot be: .*'lvl'"),
        (rows(200), ["--learning-rate=1e30", "--clip=1e30", "--epochs=3"], "is not finite"),
        (rows(9) + "1700000600,1,warm\n", ["--features=x,y"], r"{file}: row 10 \(line 11\), column 'y': 'warm'"),
        (rows(9) + "soon,1,2\n", ["--features=x,y"], r"{file}: row 10 \(line 11\), column 'time': .*soon"),
        (rows(9) + "1700000600,1e300,2\n", [], r"{file}: row 10 \(line 11\), column 'x': .* infinite"),
    ],
)
def test_a_history_that_is_not_what_it_must_be_is_named(
    text: str | None, options: list[str], said: str, retrain: Retrain, tmp_path: Path
) -> None:
    file = tmp_path / "data.csv"
    if text is not None:
        file.write_text(text)
    err = retrain(file, *options, code=2).err
    assert re.match("streamrnn: .*" + said.replace("{file}", re.escape(str(file))), err), err
    assert retrain.left() == []


def test_the_stocks_are_a_history(retrain: Retrain, tmp_path: Path) -> None:
    """The rows above, with nothing wrong in them, are published."""
    file = tmp_path / "data.csv"
    file.write_text(rows(200))
    retrain(file)
    assert retrain.registry.versions("stocks") == [1]


def test_a_registry_that_cannot_be_written_is_named(retrain: Retrain, tmp_path: Path) -> None:
    retrain.root.write_text("a file is in the way")
    assert f"{retrain.root}" in retrain.stocks(code=3).err
    assert retrain.root.read_text() == "a file is in the way"
    assert f"{retrain.root}" in retrain.stocks(f"--bundle={retrain.root}/model", code=3).err


@pytest.mark.parametrize("where", ["registry", "bundle"])
@pytest.mark.parametrize("full_at", ["model.safetensors", "report.json", "report.html", "model.json"])
def test_a_disk_that_is_full_leaves_nothing_behind(
    where: str, full_at: str, retrain: Retrain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = folder._write_durably

    def full(path: Path, data: bytes) -> None:
        write(path, data[: len(data) // 2] if path.name == full_at else data)
        if path.name == full_at:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(folder, "_write_durably", full)
    made = tmp_path / "bundles" / "model"
    err = retrain.stocks(*([f"--bundle={made}"] if where == "bundle" else ["--promote=always"]), code=3).err
    assert "No space left on device" in err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert retrain.registry.versions("stocks") == []


def test_where_the_pointer_cannot_be_written_the_version_is_there_and_the_old_champion_stays(
    retrain: Retrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    retrain.stocks("--promote=always")
    write = folder._write_durably

    def full(path: Path, data: bytes) -> None:
        if path.parent.name == "stocks":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, data)

    monkeypatch.setattr(folder, "_write_durably", full)
    assert "No space left on device" in retrain.stocks("--promote=always", code=3).err
    assert (retrain.registry.versions("stocks"), retrain.pointer()) == ([1, 2], 1)
    assert retrain.registry.unfinished("stocks") == []


def test_ctrl_c_while_it_publishes_leaves_nothing_behind(retrain: Retrain, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Registry, model: object, reports: Mapping[str, bytes] | None = None) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(Registry, "publish", interrupted)
    options = (str(STOCKS), *COLUMNS, "--epochs=1", f"--model.registry={retrain.root}")
    assert retrain.run("retrain", *options).code == 130
    assert retrain.left() == []


def test_without_a_place_for_the_model_it_does_not_begin(
    retrain: Retrain, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("STREAMRNN_MODEL__REGISTRY", raising=False)
    said = retrain.run("retrain", str(tmp_path / "missing.csv"))
    assert (said.code, said.out) == (2, "")
    assert said.err == "streamrnn: where does the model go? set model.registry, or give --bundle DIR\n"


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden"])
def test_a_name_that_is_no_folder_is_refused_before_anything_is_read(name: str, retrain: Retrain) -> None:
    said = retrain.run("retrain", "missing.csv", f"--model.registry={retrain.root}", f"--name={name}")
    assert (said.code, said.out) == (3, "")
    assert f"{name!r} is no model name" in said.err
