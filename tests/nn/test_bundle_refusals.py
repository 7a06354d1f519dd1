"""Bundles that are damaged, exchanged or hostile: each is refused by name, and neither runs nor costs anything."""

import hashlib
import json
import math
import os
import pickle
import random
import resource
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from streamrnn.errors import BundleError
from streamrnn.nn.bundle import (
    LARGEST_HEADER_BYTES,
    LARGEST_MANIFEST_BYTES,
    LARGEST_WEIGHTS_BYTES,
    MANIFEST,
    WEIGHTS,
    load_bundle,
    save_bundle,
)
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec

SPEC = ModelSpec(
    name="oil", features=("a", "b"), targets=("b",), channels=(Channel("a"),), hidden=4, horizons=(1, 2, 3, 4)
)
DEEP = 100_000


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A good bundle to spoil."""
    save_bundle(Model(SPEC), tmp_path / "bundle")
    return tmp_path / "bundle"


def sign(folder: Path, weights: bytes) -> None:
    """Put other weights in, with a manifest that vouches for them."""
    (folder / WEIGHTS).write_bytes(weights)
    edit(folder, sha256={WEIGHTS: hashlib.sha256(weights).hexdigest()})


def edit(folder: Path, **fields: Any) -> None:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_text(json.dumps(manifest | fields, separators=(",", ":")))


def edit_spec(folder: Path, **fields: Any) -> None:
    edit(folder, spec=json.loads((folder / MANIFEST).read_bytes())["spec"] | fields)


def refusal(folder: Path, file: str) -> str:
    """What is said when a bundle is refused; it must name the file, and memory must not grow."""
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 300_000
    assert str(folder / file) in str(caught.value)
    return str(caught.value)


class Bomb:
    """An object whose unpickling makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return os.mkdir, (self.path,)


def test_a_pickle_in_place_of_the_weights_is_refused_and_runs_nothing(bundle: Path, tmp_path: Path) -> None:
    torch.save(Bomb(tmp_path / "ran"), tmp_path / "torch")
    for raw in (pickle.dumps(Bomb(tmp_path / "ran")), (tmp_path / "torch").read_bytes()):
        sign(bundle, raw)
        refusal(bundle, WEIGHTS)
        assert not (tmp_path / "ran").exists()


def with_header(header: object, data: bytes = b"\0" * 16) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(shape: list[int], end: int, dtype: str = "F32") -> dict[str, object]:
    return {"head.bias": {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x08\0\0",
        struct.pack("<Q", 0),
        struct.pack("<Q", 2**64 - 1) + b"{}",
        struct.pack("<Q", 11_000_000) + b"{" + b" " * 11_000_000,
        struct.pack("<Q", 3) + b"{}",
        with_header(b"[" * DEEP),
        with_header(b'{"a":' * DEEP),
        with_header(b"\xff\xfe{}"),
        with_header([]),
        with_header({}),
        with_header(tensor([2**62, 2**62], 16)),
        with_header(tensor([10**12], 4 * 10**12)),
        with_header(tensor([4], 12)),
        with_header(tensor([4], 16, "F7")),
        with_header(tensor([-1], 16)),
        with_header(tensor([4], 16) | {"head.weight": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}),
    ],
    ids=lambda raw: repr(raw[:30]),
)
def test_weights_that_are_no_sound_safetensors_are_refused(bundle: Path, raw: bytes) -> None:
    sign(bundle, raw)
    refusal(bundle, WEIGHTS)


def test_a_header_may_be_padded_but_not_beyond_its_bound(bundle: Path) -> None:
    raw = (bundle / WEIGHTS).read_bytes()
    end = 8 + int.from_bytes(raw[:8], "little")
    sign(bundle, with_header(raw[8:end].ljust(end), raw[end:]))
    load_bundle(bundle)
    sign(bundle, with_header(raw[8:end].ljust(LARGEST_HEADER_BYTES + 1), raw[end:]))
    assert f"its header claims {LARGEST_HEADER_BYTES + 1} bytes" in refusal(bundle, WEIGHTS)


def changed(name: str, value: Tensor | None) -> bytes:
    tensors = {key: t.contiguous() for key, t in Model(SPEC).state_dict().items()} | {name: value}
    raw: bytes = save({key: t for key, t in tensors.items() if t is not None})
    return raw


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("head.bias", torch.zeros(5), "head.bias is torch.float32 (5,)"),
        ("head.bias", torch.zeros(2, 2), "head.bias is torch.float32 (2, 2)"),
        ("head.bias", torch.zeros(4, dtype=torch.float64), "head.bias is torch.float64"),
        ("head.bias", torch.zeros(4, dtype=torch.int32), "head.bias is torch.int32"),
        ("head.bias", None, "head.bias"),
        ("other", torch.zeros(1), "other"),
        ("head.bias", torch.full((4,), math.nan), "head.bias holds NaN or Inf"),
        ("feature_mean", torch.tensor([0.0, math.inf]), "feature_mean holds NaN or Inf"),
        ("channel_std", torch.tensor([0.0]), "channel_std must be above 0"),
        ("gap_std", torch.tensor([-1.0]), "gap_std must be above 0"),
    ],
)
def test_tensors_that_are_not_the_models_or_no_numbers_are_refused(
    bundle: Path, name: str, value: Tensor | None, why: str
) -> None:
    sign(bundle, changed(name, value))
    assert why in refusal(bundle, WEIGHTS)


def test_a_bit_flipped_anywhere_in_the_weights_is_noticed(bundle: Path) -> None:
    raw, chance = (bundle / WEIGHTS).read_bytes(), random.Random(3)
    for place in (0, len(raw) - 1, *(chance.randrange(len(raw)) for _ in range(50))):
        flipped = raw[place] ^ 1 << chance.randrange(8)
        (bundle / WEIGHTS).write_bytes(raw[:place] + bytes([flipped]) + raw[place + 1 :])
        assert "sha256 is not the one" in refusal(bundle, WEIGHTS)


def test_a_byte_changed_in_the_manifest_is_refused_or_changes_no_weight(bundle: Path) -> None:
    """Words that fit are free to change; whatever happens, it is a model with these weights or a BundleError."""
    raw, chance, weights = (bundle / MANIFEST).read_bytes(), random.Random(3), load_bundle(bundle).head.weight
    refused = 0
    for _ in range(300):
        place = chance.randrange(len(raw))
        (bundle / MANIFEST).write_bytes(raw[:place] + bytes([chance.randrange(256)]) + raw[place + 1 :])
        try:
            assert torch.equal(load_bundle(bundle).head.weight, weights)
        except BundleError:
            refused += 1
    assert refused > 150


@pytest.mark.parametrize(
    "raw",
    [b"", b"null", b"[]", b"{}", b'{"format": 1}', b"\xff\xfe", b"[" * DEEP, b'{"x":' * DEEP, b'{"spec":' * DEEP,
     b'{"format": NaN}', b'{"format": "1"}', b'{"spec": {"features": ' + b"[" * DEEP],
    ids=lambda raw: repr(raw[:30]),
)  # fmt: skip
def test_a_manifest_that_is_none_is_refused(bundle: Path, raw: bytes) -> None:
    (bundle / MANIFEST).write_bytes(raw)
    refusal(bundle, MANIFEST)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"format": 2}, "format 2, this version reads 1"),
        ({"code": "import os"}, "unknown field `code`"),
        ({"code": json.loads("[" * 500 + "]" * 500)}, "unknown field `code`"),
        ({"sha256": {}}, "sha256 must name model.safetensors alone"),
        ({"sha256": {"../model.safetensors": "0" * 64}}, "sha256 must name model.safetensors alone"),
        ({"sha256": {WEIGHTS: "0" * 64, "code.py": "0" * 64}}, "sha256 must name model.safetensors alone"),
        ({"spec": None}, "$.spec"),
    ],
)
def test_a_manifest_that_says_more_less_or_other_is_refused(bundle: Path, fields: dict[str, Any], why: str) -> None:
    edit(bundle, **fields)
    assert why in refusal(bundle, MANIFEST)


@pytest.mark.parametrize(
    "fields",
    [
        {"code": 1}, {"channels": [{"feature": "a", "code": 1}]}, {"name": ""}, {"name": "x" * 201}, {"version": 0},
        {"features": []}, {"features": ["a", "a"]}, {"targets": ["c"]}, {"channels": []}, {"cell": "rwkv"},
        {"hidden": 0}, {"hidden": 2**63}, {"hidden": 65537}, {"layers": -1}, {"layers": 65537}, {"horizons": []},
        {"horizons": [2, 1]}, {"horizons": [1, 2, 3, 2**40]}, {"quantiles": [0.9, 0.1]}, {"quantiles": [1.0]},
    ],
    ids=repr,
)  # fmt: skip
def test_a_spec_that_cannot_be_is_refused(bundle: Path, fields: dict[str, Any]) -> None:
    edit_spec(bundle, **fields)
    refusal(bundle, MANIFEST)


@pytest.mark.parametrize(
    "fields",
    [
        {"hidden": 5}, {"hidden": 65536}, {"layers": 2}, {"layers": 65536}, {"layers": 10, "hidden": 65536},
        {"cell": "lstm"}, {"horizons": [1, 2]}, {"horizons": list(range(1, 65536)), "hidden": 2000},
        {"quantiles": [0.1, 0.9]}, {"missing": "mask"}, {"time_features": ["log_gap"] * 90_000},
        {"features": (names := [f"{n:x}" for n in range(13_000)]), "targets": names, "channels": [{"feature": "0"}],
         "hidden": 65536, "horizons": list(range(1, 60_000)), "quantiles": [n / 1e5 for n in range(1, 100_000, 2)]},
    ],
    ids=lambda fields: repr(fields)[:30],
)  # fmt: skip
def test_a_spec_of_another_model_or_one_too_large_for_any_machine_is_refused(
    bundle: Path, fields: dict[str, Any]
) -> None:
    edit_spec(bundle, **fields)
    refusal(bundle, WEIGHTS)


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS])
def test_a_link_is_followed_inside_the_bundle_and_not_out_of_it(bundle: Path, tmp_path: Path, name: str) -> None:
    (bundle / name).rename(bundle / "inside")
    (bundle / name).symlink_to("inside")
    load_bundle(bundle)
    (bundle / "inside").rename(tmp_path / "outside")
    for target in ("../outside", tmp_path / "outside", "/dev/zero", "..", "/proc/self/mem"):
        (bundle / name).unlink()
        (bundle / name).symlink_to(target)
        assert "a link that leads out of the bundle" in refusal(bundle, name)


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS])
def test_what_is_no_plain_file_is_refused_without_waiting_for_it(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    assert "No such file" in refusal(bundle, name)
    (bundle / name).symlink_to(name)
    refusal(bundle, name)
    (bundle / name).unlink()
    os.mkfifo(bundle / name)
    assert "not a plain file" in refusal(bundle, name)
    (bundle / name).unlink()
    (bundle / name).mkdir()
    assert "not a plain file" in refusal(bundle, name)


@pytest.mark.parametrize(("name", "limit"), [(MANIFEST, LARGEST_MANIFEST_BYTES), (WEIGHTS, LARGEST_WEIGHTS_BYTES)])
def test_a_file_too_large_is_refused_unread(bundle: Path, name: str, limit: int) -> None:
    os.truncate(bundle / name, limit + 1)
    assert f"{limit + 1} bytes, at most {limit} are read" in refusal(bundle, name)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "absent", tmp_path / "file", tmp_path / ("x" * 300), Path("a\0b")):
        refusal(folder, MANIFEST)
