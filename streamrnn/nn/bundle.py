"""A model on disk: model.json and model.safetensors in one folder. Never pickle; anything off is refused.

Weights are read only after their sha256 matches the manifest, and checked for names, shapes, types and
finite numbers before a model is made of them.
"""

import hashlib
import json
import os
import shutil
import struct
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from streamrnn import __version__
from streamrnn.errors import BundleError
from streamrnn.nn.model import Model
from streamrnn.nn.spec import ModelSpec

FORMAT = 1
MANIFEST, WEIGHTS = "model.json", "model.safetensors"
LARGEST_MANIFEST_BYTES = 1_000_000
LARGEST_WEIGHTS_BYTES = 4_000_000_000
LARGEST_HEADER_BYTES = 10_000_000


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What model.json holds."""

    format: int
    spec: ModelSpec
    sha256: dict[str, str]
    created: int
    streamrnn: str


def save_bundle(model: Model, folder: Path) -> None:
    """Write a bundle that appears whole or not at all; BundleError if `folder` exists or cannot be made."""
    weights = save_tensors({name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()})
    manifest = Manifest(
        format=FORMAT,
        spec=model.spec,
        sha256={WEIGHTS: hashlib.sha256(weights).hexdigest()},
        created=int(time.time()),
        streamrnn=__version__,
    )
    if folder.exists():
        raise BundleError(f"{folder} exists already; bundles are never overwritten")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
    except OSError as error:
        raise BundleError(f"{folder}: {error.strerror}") from error
    try:
        _write(draft / WEIGHTS, weights)
        _write(draft / MANIFEST, json.dumps(msgspec.to_builtins(manifest), indent=2).encode())
        draft.chmod(0o755)
        draft.rename(folder)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise BundleError(f"{folder}: {error.strerror}") from error


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def load_bundle(folder: Path, device: str = "cpu") -> Model:
    """The model of a bundle; BundleError names the file and what is wrong with it."""
    path = folder / MANIFEST
    try:
        manifest = msgspec.json.decode(_read(path, LARGEST_MANIFEST_BYTES), type=Manifest)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BundleError(f"{path}: {error}") from error
    if manifest.format != FORMAT:
        raise BundleError(f"{path}: format {manifest.format}, this version reads {FORMAT}")
    if set(manifest.sha256) != {WEIGHTS}:
        raise BundleError(f"{path}: sha256 must name {WEIGHTS} alone, not {sorted(manifest.sha256)}")
    raw = _read(folder / WEIGHTS, LARGEST_WEIGHTS_BYTES)
    if hashlib.sha256(raw).hexdigest() != manifest.sha256[WEIGHTS]:
        raise BundleError(f"{folder / WEIGHTS}: sha256 is not the one in {MANIFEST}: damaged or exchanged")
    model = Model(manifest.spec)
    _fill(model, _tensors(raw, folder / WEIGHTS), folder / WEIGHTS)
    return model.to(device).eval()


def _read(path: Path, limit: int) -> bytes:
    """A plain file inside its own folder, no larger than `limit` bytes."""
    try:
        if path.is_symlink() and path.resolve().parent != path.parent.resolve():
            raise BundleError(f"{path}: a link that leads out of the bundle")
        size = path.stat().st_size
        if size > limit:
            raise BundleError(f"{path}: {size} bytes, at most {limit} are read")
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}") from error


def _tensors(raw: bytes, path: Path) -> dict[str, torch.Tensor]:
    header_bytes = struct.unpack("<Q", raw[:8])[0] if len(raw) >= 8 else 0
    if not 2 <= header_bytes <= min(LARGEST_HEADER_BYTES, len(raw) - 8):
        raise BundleError(f"{path}: its header claims {header_bytes} bytes")
    try:
        tensors: dict[str, torch.Tensor] = load_tensors(raw)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path}: not safetensors: {error}") from error
    return tensors


def _fill(model: Model, tensors: dict[str, torch.Tensor], path: Path) -> None:
    own: dict[str, Any] = model.state_dict()
    if set(own) != set(tensors):
        odd = sorted(set(own) ^ set(tensors))
        raise BundleError(f"{path}: tensors missing or not of this model: {odd[:5]}")
    for name, tensor in tensors.items():
        if tensor.dtype != own[name].dtype or tensor.shape != own[name].shape:
            raise BundleError(
                f"{path}: {name} is {tensor.dtype} {tuple(tensor.shape)}, "
                f"the spec needs {own[name].dtype} {tuple(own[name].shape)}"
            )
        if not torch.isfinite(tensor).all():
            raise BundleError(f"{path}: {name} holds NaN or Inf")
        if name.endswith("_std") and not (tensor > 0).all():
            raise BundleError(f"{path}: {name} must be above 0")
    model.load_state_dict(tensors)
