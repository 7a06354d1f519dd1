"""A bundle comes back bit for bit, and appears whole or not at all."""

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import torch
from torch import Tensor, nn

from streamrnn.errors import BundleError
from streamrnn.nn.bundle import MANIFEST, WEIGHTS, load_bundle, save_bundle
from streamrnn.nn.model import Model
from streamrnn.nn.spec import CellKind, Channel, ModelSpec

SPEC = ModelSpec(
    name="oil",
    features=("a", "b"),
    targets=("b",),
    channels=(Channel("a"), Channel("b", "difference")),
    time_features=("hour", "log_gap"),
    missing="mask",
    hidden=6,
    layers=2,
    horizons=(1, 3),
    quantiles=(0.1, 0.9),
)


def make_model(spec: ModelSpec = SPEC) -> Model:
    torch.manual_seed(7)
    model = Model(spec)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    for name, buffer in model.named_buffers():
        buffer.copy_(torch.rand_like(buffer) + 0.5 if name.endswith("_std") else torch.randn_like(buffer))
    return model


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle on disk."""
    save_bundle(make_model(), tmp_path / "bundle")
    return tmp_path / "bundle"


def bits(tensor: Tensor) -> bytes:
    return bytes(tensor.numpy().tobytes())


@pytest.mark.parametrize("cell", get_args(CellKind))
def test_a_bundle_comes_back_with_every_bit_of_weights_and_statistics(tmp_path: Path, cell: CellKind) -> None:
    model = make_model(msgspec.structs.replace(SPEC, cell=cell))
    odd = torch.tensor([-0.0, 1e-45, -3e38, 3.4028235e38, 1 / 3, 1.1754942e-38])
    with torch.no_grad():
        model.head.weight[0] = odd
    save_bundle(model, tmp_path / "deep" / "er" / "b")
    loaded = load_bundle(tmp_path / "deep" / "er" / "b")
    mine, theirs = model.state_dict(), loaded.state_dict()
    assert loaded.spec == model.spec
    assert not loaded.training
    assert {name: (t.dtype, t.shape, bits(t)) for name, t in mine.items()} == {
        name: (t.dtype, t.shape, bits(t)) for name, t in theirs.items()
    }


def test_a_bundle_holds_two_files_and_no_pickle(bundle: Path) -> None:
    assert {path.name for path in bundle.iterdir()} == {MANIFEST, WEIGHTS}
    manifest = json.loads((bundle / MANIFEST).read_bytes())
    raw = (bundle / WEIGHTS).read_bytes()
    assert manifest["sha256"] == {WEIGHTS: hashlib.sha256(raw).hexdigest()}
    assert json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")]).keys() >= {"head.weight", "gap_std"}


def test_a_version_given_to_save_is_the_one_in_the_bundle(tmp_path: Path) -> None:
    save_bundle(make_model(), tmp_path / "b", version=12)
    assert load_bundle(tmp_path / "b").spec == msgspec.structs.replace(SPEC, version=12)


@pytest.mark.parametrize("crash_at", [1, 2, 3])
def test_a_crash_while_saving_leaves_nothing_under_the_final_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash_at: int
) -> None:
    class Killed(BaseException):
        """kill -9: nothing is cleaned up."""

    calls = 0

    def reach(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == crash_at:
            raise Killed

    monkeypatch.setattr(os, "fsync", reach)
    monkeypatch.setattr(Path, "rename", reach)
    monkeypatch.setattr("streamrnn.process.scratch._remove", lambda _: None)
    with pytest.raises(Killed):
        save_bundle(make_model(), tmp_path / "b")
    assert calls == crash_at
    assert not (tmp_path / "b").exists()
    assert [path.name[0] for path in tmp_path.iterdir()] == ["."]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_save_that_fails_cleans_up_behind_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(_: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises((BundleError, KeyboardInterrupt), match=r"b: No space left on device|^$"):
        save_bundle(make_model(), tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_is_never_written_over_another(bundle: Path) -> None:
    before = (bundle / MANIFEST).read_bytes()
    with pytest.raises(BundleError, match="exists already"):
        save_bundle(make_model(), bundle)
    assert (bundle / MANIFEST).read_bytes() == before


@pytest.mark.parametrize("name", ["bundle/model.json/x", "x" * 300, "a\0b"])
def test_a_folder_that_cannot_be_made_is_named(bundle: Path, name: str) -> None:
    with pytest.raises(BundleError, match=name[:9]):
        save_bundle(make_model(), bundle.parent / name)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_model_with_a_weight_that_is_no_number_is_not_saved(tmp_path: Path, wrong: float) -> None:
    model = make_model()
    with torch.no_grad():
        model.head.weight[0, 0] = wrong
    with pytest.raises(BundleError, match=r"head\.weight holds NaN or Inf"):
        save_bundle(model, tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fields", [{"name": "x" * 201}, {"version": 0}, {"hidden": 0}, {"horizons": (70_000,)}])
def test_a_spec_that_could_not_be_read_again_is_not_saved(tmp_path: Path, fields: dict[str, Any]) -> None:
    model = make_model()
    model.spec = msgspec.structs.replace(SPEC)
    for name, value in fields.items():
        msgspec.structs.force_setattr(model.spec, name, value)
    with pytest.raises(BundleError, match=MANIFEST):
        save_bundle(model, tmp_path / "b")
    assert list(tmp_path.iterdir()) == []
