"""A model on disk: model.json and model.safetensors in one folder. Never pickle; anything off is refused.

Weights are read only after their sha256 matches the manifest, and checked for names, shapes, types and
finite numbers before a model is made of them.
"""

import hashlib
import os
import shutil
import stat
import struct
import tempfile
import time
from pathlib import Path

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


def save_bundle(model: Model, folder: Path, version: int | None = None) -> None:
    """Write a bundle that appears whole or not at all, under another `version` number if one is given.

    BundleError if `folder` exists, cannot be made, or the model holds NaN or Inf or has a spec that could
    not be read again.
    """
    spec = model.spec if version is None else msgspec.structs.replace(model.spec, version=version)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    for name, tensor in tensors.items():
        _check_numbers(name, tensor, folder)
    weights = save_tensors(tensors)
    digest = {WEIGHTS: hashlib.sha256(weights).hexdigest()}
    manifest = Manifest(format=FORMAT, spec=spec, sha256=digest, created=int(time.time()), streamrnn=__version__)
    described = msgspec.json.format(msgspec.json.encode(manifest))
    _manifest(described, folder / MANIFEST)
    try:
        if folder.exists():
            raise BundleError(f"{folder} exists already; bundles are never overwritten")
        _publish(folder, {WEIGHTS: weights, MANIFEST: described})
    except (OSError, ValueError) as error:
        raise BundleError(f"{folder}: {getattr(error, 'strerror', error)}") from error


def _publish(folder: Path, files: dict[str, bytes]) -> None:
    """Write the files beside `folder`, then rename: readers see all of them or none."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
    try:
        for name, data in files.items():
            write_durably(draft / name, data)
        draft.chmod(0o755)
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def write_durably(path: Path, data: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def load_bundle(folder: Path, device: str = "cpu") -> Model:
    """The model of a bundle; BundleError names the file and what is wrong with it."""
    path = folder / MANIFEST
    manifest = _manifest(read_plain(path, LARGEST_MANIFEST_BYTES), path)
    if manifest.format != FORMAT:
        raise BundleError(f"{path}: format {manifest.format}, this version reads {FORMAT}")
    if set(manifest.sha256) != {WEIGHTS}:
        raise BundleError(f"{path}: sha256 must name {WEIGHTS} alone, not {sorted(manifest.sha256)}")
    raw = read_plain(folder / WEIGHTS, LARGEST_WEIGHTS_BYTES)
    if hashlib.sha256(raw).hexdigest() != manifest.sha256[WEIGHTS]:
        raise BundleError(f"{folder / WEIGHTS}: sha256 is not the one in {MANIFEST}: damaged or exchanged")
    return _assemble(manifest.spec, _tensors(raw, folder / WEIGHTS), folder / WEIGHTS).to(device).eval()


def _manifest(raw: bytes, path: Path) -> Manifest:
    try:
        return msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BundleError(f"{path}: {error}") from error


def read_plain(path: Path, limit: int) -> bytes:
    """A plain file that lies inside its folder, no larger than `limit` bytes; BundleError if it is not."""
    try:
        if not path.resolve().is_relative_to(path.parent.resolve()):
            raise BundleError(f"{path}: a link that leads out of the bundle")
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise BundleError(f"{path}: not a plain file")
        if status.st_size > limit:
            raise BundleError(f"{path}: {status.st_size} bytes, at most {limit} are read")
        with path.open("rb") as file:
            return file.read(limit)
    except (OSError, RuntimeError, ValueError) as error:
        raise BundleError(f"{path}: {getattr(error, 'strerror', error)}") from error


def _tensors(raw: bytes, path: Path) -> dict[str, torch.Tensor]:
    header_bytes = struct.unpack("<Q", raw[:8])[0] if len(raw) >= 8 else 0
    if not 2 <= header_bytes <= min(LARGEST_HEADER_BYTES, len(raw) - 8):
        raise BundleError(f"{path}: its header claims {header_bytes} bytes")
    try:
        return {name: tensor.clone() for name, tensor in load_tensors(raw).items()}
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise BundleError(f"{path}: not safetensors: {error}") from error


def _assemble(spec: ModelSpec, tensors: dict[str, torch.Tensor], path: Path) -> Model:
    """The model, allocated only after the tensors proved to be the ones its spec asks for."""
    if spec.layers > len(tensors):
        raise BundleError(f"{path}: {len(tensors)} tensors for {spec.layers} layers")
    try:
        with torch.device("meta"):
            model = Model(spec)
    except RuntimeError as error:
        raise BundleError(f"{path}: no machine holds what the spec asks for: {error}") from error
    own = model.state_dict()
    if set(own) != set(tensors):
        odd = sorted(set(own) ^ set(tensors))
        raise BundleError(f"{path}: tensors missing or not of this model: {odd[:5]}")
    for name, tensor in tensors.items():
        if tensor.dtype != own[name].dtype or tensor.shape != own[name].shape:
            raise BundleError(
                f"{path}: {name} is {tensor.dtype} {tuple(tensor.shape)}, "
                f"the spec needs {own[name].dtype} {tuple(own[name].shape)}"
            )
        _check_numbers(name, tensor, path)
    model.load_state_dict(tensors, assign=True)
    return model


def _check_numbers(name: str, tensor: torch.Tensor, where: Path) -> None:
    if not torch.isfinite(tensor).all():
        raise BundleError(f"{where}: {name} holds NaN or Inf")
    if name.endswith("_std") and not (tensor > 0).all():
        raise BundleError(f"{where}: {name} must be above 0")
