"""A model on disk: model.json and model.safetensors in one folder. Never pickle; anything off is refused.

Weights are read only after their sha256 matches the manifest, and checked for names, shapes, types and
finite numbers before a model is made of them. Reports may lie beside them; they are nobody's to load.
"""

import hashlib
import re
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from streamrnn import __version__
from streamrnn.errors import BundleError
from streamrnn.nn.manifest import (
    FORMAT,
    LARGEST_HEADER_BYTES,
    LARGEST_MANIFEST_BYTES,
    LARGEST_WEIGHTS_BYTES,
    MANIFEST,
    WEIGHTS,
    Manifest,
    Read,
    decode_manifest,
    read_manifest,
    read_weights,
    refusing,
)
from streamrnn.nn.model import POSITIVE, Model
from streamrnn.nn.spec import ModelSpec
from streamrnn.stores import add_folder, read_plain
from streamrnn.stores.tensor_header import LENGTH_BYTES, header_length

__all__ = [
    "LARGEST_HEADER_BYTES",
    "LARGEST_MANIFEST_BYTES",
    "LARGEST_WEIGHTS_BYTES",
    "MANIFEST",
    "WEIGHTS",
    "decode_bundle",
    "encode_bundle",
    "load_bundle",
    "save_bundle",
]

REPORT_NAME = re.compile(r"[a-z0-9_-]+\.[a-z0-9]+")


def save_bundle(model: Model, folder: Path, version: int | None = None) -> None:
    """Write a bundle that appears whole or not at all, under another `version` number if one is given.

    BundleError if `folder` exists, cannot be made, or the model holds NaN or Inf or has a spec that could
    not be read again.
    """
    files = encode_bundle(model, str(folder), version)
    with refusing():
        if not add_folder(folder, files):
            raise BundleError(f"{folder} exists already; bundles are never overwritten")


def encode_bundle(
    model: Model, folder: str, version: int | None = None, reports: Mapping[str, bytes] | None = None
) -> dict[str, bytes]:
    """The files of a bundle, the manifest last; `folder` is for people. BundleError as save_bundle says."""
    spec = model.spec if version is None else msgspec.structs.replace(model.spec, version=version)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    for name, tensor in tensors.items():
        _check_numbers(name, tensor, folder)
    weights = save_tensors(tensors)
    digest = {WEIGHTS: hashlib.sha256(weights).hexdigest()}
    manifest = Manifest(format=FORMAT, spec=spec, sha256=digest, created=int(time.time()), streamrnn=__version__)
    described = msgspec.json.format(msgspec.json.encode(manifest))
    decode_manifest(described, f"{folder}/{MANIFEST}")
    for name in reports or {}:
        if name in (MANIFEST, WEIGHTS) or not REPORT_NAME.fullmatch(name):
            raise BundleError(f"{folder}: {name!r} is no name for a report")
    return {WEIGHTS: weights, **(reports or {}), MANIFEST: described}


def load_bundle(folder: Path, device: str = "cpu") -> Model:
    """The model of a bundle; BundleError names the file and what is wrong with it."""
    return decode_bundle(lambda name, limit: read_plain(folder / name, limit), str(folder), device)


def decode_bundle(read: Read, folder: str, device: str = "cpu") -> Model:
    """The model of the bundle whose files `read` reads; `folder` is for people."""
    manifest = read_manifest(read, folder)
    raw, place = read_weights(read, folder, manifest), f"{folder}/{WEIGHTS}"
    return _assemble(manifest.spec, _tensors(raw, place), place).to(device).eval()


def _tensors(raw: bytes, path: str) -> dict[str, torch.Tensor]:
    try:
        header_length(raw, min(LARGEST_HEADER_BYTES, len(raw) - LENGTH_BYTES))
    except ValueError as error:
        raise BundleError(f"{path}: {error}") from error
    try:
        return {name: tensor.clone() for name, tensor in load_tensors(raw).items()}
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise BundleError(f"{path}: not safetensors: {error}") from error


def _assemble(spec: ModelSpec, tensors: dict[str, torch.Tensor], path: str) -> Model:
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


def _check_numbers(name: str, tensor: torch.Tensor, where: str) -> None:
    if not torch.isfinite(tensor).all():
        raise BundleError(f"{where}: {name} holds NaN or Inf")
    if name.endswith(POSITIVE) and not (tensor > 0).all():
        raise BundleError(f"{where}: {name} must be above 0")
