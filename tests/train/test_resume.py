"""A fit that was killed goes on to the bits it would have had; a checkpoint that is not its own is refused."""

import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from streamrnn.errors import DataError
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.train import checkpoint as checkpoint_module
from streamrnn.train.checkpoint import DOCUMENT, FitProgress, Folder, Saved, identify
from streamrnn.train.fit import Epoch, Fitted, Recipe, fit
from streamrnn.train.history import History, Split, split_each
from streamrnn.train.team import Solo

from .histories import history_of, ticks_of

SPEC = ModelSpec(
    name="t", features=("x",), targets=("x",), channels=(Channel("x"),), cell="lstm", hidden=5, layers=2, lags=2
)
RECIPE = Recipe(epochs=6, chunk=16, width=4, burn_in=8, warm_up=1, dropout=0.3, patience=9, learning_rate=0.01)


def walk(length: int = 120, last: float = 0.0) -> History:
    """Two streams of random walks, the second with a last value that is off by `last`."""
    values = np.random.default_rng(5).normal(size=(2, length)).cumsum(1)
    values[1, -1] += last
    return history_of(("x",), {f"s{n}": ticks_of(row) for n, row in enumerate(values)})


def parts(history: History) -> Split:
    return split_each(history, (0.7, 0.2, 0.1))


def run(recipe: Recipe = RECIPE, **options: Any) -> Fitted:
    return fit(SPEC, walk(), parts(walk()), recipe, **options)


def bits(fitted: Fitted) -> dict[str, Any]:
    """All that a fit is to have again, but the seconds."""
    weights = {name: tensor.numpy().tobytes() for name, tensor in fitted.model.state_dict().items()}
    return {**weights, "epochs": [replace(epoch, seconds=0.0) for epoch in fitted.epochs], "best": fitted.best}


CHILD = """
import os, signal, sys
from pathlib import Path
from streamrnn.train import checkpoint
from streamrnn.train.chunks import ChunkReader
from tests.train.test_resume import run

folder, place, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
owner, name = {"epoch": (ChunkReader, "read"), "draft": (os, "fsync"), "rename": (os, "replace"),
               "sweep": (Path, "unlink")}[place]
whole, calls = getattr(owner, name), []

def deadly(*given, **named):
    calls.append(given)
    if len(calls) == count:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(*given, **named)

setattr(owner, name, deadly)
run(checkpoint=folder, resume=True)
"""
"""Fits, and is killed when it comes to such a place for the n-th time."""


def test_a_fit_killed_again_and_again_ends_in_the_bits_of_one_that_never_was(tmp_path: Path) -> None:
    """In an epoch (the third), with tensors in a draft, between tensors and document, before the old ones go."""
    root, kept = Path(__file__).parents[2], []
    for place, count in (("epoch", 8), ("draft", 1), ("rename", 4), ("sweep", 1)):
        command = [sys.executable, "-c", CHILD, str(tmp_path), place, str(count)]
        done = subprocess.run(command, cwd=root, capture_output=True, timeout=60)
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
        kept.append(len(document(tmp_path)["document"]["progress"]["epochs"]))
    names = {path.name for path in tmp_path.iterdir()}
    assert kept == [2, 2, 3, 4]
    assert len(names) == 3, "a document, its tensors, and those that were to go"
    assert bits(run(checkpoint=tmp_path, resume=True)) == bits(run())
    assert len(list(tmp_path.iterdir())) == 2


def document(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / DOCUMENT).read_bytes())
    return found


@pytest.mark.parametrize("patience", [1, 9])
def test_a_fit_that_had_ended_gives_what_it_gave_and_fits_no_more(tmp_path: Path, patience: int) -> None:
    recipe, seen = replace(RECIPE, patience=patience), list[Epoch]()
    first = run(recipe, checkpoint=tmp_path)
    again = run(recipe, watch=seen.append, checkpoint=tmp_path, resume=True)
    assert (bits(again), again.epochs, seen) == (bits(first), first.epochs, [])


def test_the_seconds_spent_before_count_and_what_may_change_may(tmp_path: Path) -> None:
    run(replace(RECIPE, budget_s=0.0), checkpoint=tmp_path)
    assert document(tmp_path)["document"]["progress"]["seconds"] > 0
    late = run(replace(RECIPE, budget_s=1e-9), checkpoint=tmp_path, resume=True)
    on = run(replace(RECIPE, epochs=3, patience=5, device="cpu"), checkpoint=tmp_path, resume=True)
    assert (len(late.epochs), len(on.epochs)) == (1, 3)


def test_a_fit_that_does_not_resume_begins_anew_and_leaves_its_own_checkpoint(tmp_path: Path) -> None:
    """Though the folder held one of another recipe; and where there is none, resuming is beginning."""
    run(replace(RECIPE, seed=4), checkpoint=tmp_path)
    run(replace(RECIPE, epochs=2), checkpoint=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert document(tmp_path)["document"]["identity"]["recipe.seed"] == "1"
    assert bits(run(checkpoint=tmp_path / "new" / "deep", resume=True)) == bits(run())


@pytest.mark.parametrize(
    ("changes", "history", "said"),
    [
        ({"chunk": 8, "seed": 3}, walk(), "recipe.chunk was 16, is 8; recipe.seed was 1, is 3$"),
        ({}, walk(130), "history.digest was .*history.split was .*history.starts was .*history.ticks was 240, is"),
        ({}, walk(last=1.0), 'fit: history.digest was "[0-9a-f]+", is "[0-9a-f]+"$'),
    ],
)
def test_a_checkpoint_of_another_fit_is_refused_by_what_differs(
    tmp_path: Path, changes: dict[str, Any], history: History, said: str
) -> None:
    run(replace(RECIPE, epochs=1), checkpoint=tmp_path)
    with pytest.raises(DataError, match=rf"of another fit: {said}" if not said.startswith("fit") else said):
        fit(SPEC, history, parts(history), replace(RECIPE, **changes), checkpoint=tmp_path, resume=True)


def test_one_changed_tick_among_many_is_another_fit() -> None:
    """Wherever it is, also at the edges of the parts that are digested at once."""
    told, numbers = [], np.random.default_rng(1).normal(size=10_000)
    for at in (None, 0, 1, 4_999, 5_000, 9_998, 9_999):
        values = numbers.copy()
        if at is not None:
            values[at] += 1
        history = history_of(("x",), {"s": ticks_of(values)})
        told.append(identify(SPEC, RECIPE, history, parts(history), at_once=1_000)["history.digest"])
    assert len(set(told)) == len(told)


def test_another_spec_or_split_is_another_fit_and_another_version_number_is_not() -> None:
    history = walk()

    def told(spec: ModelSpec = SPEC, split: Split | None = None) -> dict[str, str]:
        return identify(spec, RECIPE, history, split or parts(history))

    def of(**changes: Any) -> ModelSpec:
        return msgspec.structs.replace(SPEC, **changes)

    differing = {name for name, value in told(of(hidden=6, cell="gru")).items() if value != told()[name]}
    assert differing == {"spec.hidden", "spec.cell"}
    assert told(of(version=9)) == told()
    assert told(split=split_each(history, (0.6, 0.3, 0.1)))["history.split"] != told()["history.split"]


@pytest.mark.parametrize("where", ["document", "tensors"])
def test_no_changed_bit_is_taken_for_a_checkpoint(tmp_path: Path, where: str) -> None:
    run(replace(RECIPE, epochs=1), checkpoint=tmp_path)
    [path] = tmp_path.glob(DOCUMENT if where == "document" else "*.safetensors")
    whole, rng = path.read_bytes(), np.random.default_rng(1)
    folder, accepted = Folder(tmp_path, identify(SPEC, RECIPE, walk(), parts(walk()))), []
    for at in rng.choice(len(whole), 200).tolist():
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << int(rng.integers(8))]) + whole[at + 1 :])
        try:
            accepted.append(folder.load(Solo()))
        except DataError as error:
            assert f"{path} is damaged" in str(error) or "this version reads" in str(error)  # noqa: PT017
    assert accepted == []


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        (DOCUMENT, lambda raw: b"", "Input data was truncated"),
        (DOCUMENT, lambda raw: raw[:100], "Input data was truncated"),
        (DOCUMENT, lambda raw: b"[1]", "Expected `object`"),
        (DOCUMENT, lambda raw: raw.replace(b'"format":1', b'"format":2'), "format 2, this version reads 1"),
        ("*.safetensors", lambda raw: raw[:-1], "is damaged: it is not what was written; remove the folder"),
        ("*.safetensors", None, "is damaged: it is not there"),
    ],
)
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, name: str, change: Any, why: str) -> None:
    run(replace(RECIPE, epochs=1), checkpoint=tmp_path)
    [path] = tmp_path.glob(name)
    raw = path.read_bytes()
    path.unlink()
    if change is not None:
        path.write_bytes(change(raw))
    with pytest.raises(DataError, match=rf"{path}.*{why}"):
        run(checkpoint=tmp_path, resume=True)


def test_a_model_that_has_other_weights_by_now_is_refused(tmp_path: Path) -> None:
    identity = identify(SPEC, RECIPE, walk(), parts(walk()))
    progress = FitProgress(epochs=[Epoch(1, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)], best=1, steps=1, seconds=1.0)
    Folder(tmp_path, identity).save(Saved(progress, {"weights/old": torch.ones(1)}))
    with pytest.raises(DataError, match="the checkpoint is of another version of this program"):
        run(checkpoint=tmp_path, resume=True)


@pytest.mark.parametrize("limit", [100, 4000])
def test_on_a_full_disk_the_fit_ends_and_the_earlier_checkpoint_stands(tmp_path: Path, limit: int) -> None:
    """The system refuses to write more than so many bytes of a file: some of the tensors, or all but some."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    run(replace(RECIPE, epochs=2), checkpoint=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(DataError, match=f"cannot keep a checkpoint in {tmp_path}: File too large"):
            run(checkpoint=tmp_path, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert bits(run(checkpoint=tmp_path, resume=True)) == bits(run())


def test_a_folder_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot keep a checkpoint in .*file: "):
        run(checkpoint=tmp_path / "file")
    (tmp_path / DOCUMENT).mkdir()
    with pytest.raises(DataError, match=rf"cannot read .*{DOCUMENT}: Is a directory"):
        run(checkpoint=tmp_path, resume=True)


def test_the_disk_has_the_tensors_before_the_document_that_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is waited for before it has its name, and its name before the next."""
    steps: list[str] = []
    fsync, rename = os.fsync, os.replace

    def synced(handle: int) -> None:
        steps.append("sync " + ("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file"))
        fsync(handle)

    def renamed(source: Path, target: Path) -> None:
        steps.append("rename " + Path(target).suffix)
        rename(source, target)

    monkeypatch.setattr(checkpoint_module.os, "fsync", synced)
    monkeypatch.setattr(checkpoint_module.os, "replace", renamed)
    run(replace(RECIPE, epochs=1), checkpoint=tmp_path)
    whole = ["sync file", "rename .safetensors", "sync folder", "sync file", "rename .json", "sync folder"]
    assert steps == whole
