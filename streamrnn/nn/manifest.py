"""What `model.json` says of a bundle: its format, spec, checksum and age. Knows no tensors."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from streamrnn.errors import BundleError
from streamrnn.nn.spec import ModelSpec

FORMAT = 1
MANIFEST, WEIGHTS = "model.json", "model.safetensors"
LARGEST_MANIFEST_BYTES = 1_000_000
LARGEST_WEIGHTS_BYTES = 4_000_000_000
LARGEST_HEADER_BYTES = 10_000_000

Read = Callable[[str, int], bytes]
"""Reads a file of a bundle by its name, no larger than so many bytes; OSError with the place if it cannot."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What model.json holds; created is in seconds since the epoch."""

    format: int
    spec: ModelSpec
    sha256: dict[str, str]
    created: int
    streamrnn: str


_MANIFEST = msgspec.json.Decoder(Manifest)


@contextmanager
def refusing() -> Iterator[None]:
    """A file that cannot be read or written is a BundleError that names it."""
    try:
        yield
    except OSError as error:
        raise BundleError(f"{error.filename}: {error.strerror}") from error


def decode_manifest(raw: bytes, place: str) -> Manifest:
    """The manifest in these bytes; BundleError names `place` and what is wrong."""
    try:
        manifest = _MANIFEST.decode(raw)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BundleError(f"{place}: {error}") from error
    if manifest.format != FORMAT:
        raise BundleError(f"{place}: format {manifest.format}, this version reads {FORMAT}")
    if set(manifest.sha256) != {WEIGHTS}:
        raise BundleError(f"{place}: sha256 must name {WEIGHTS} alone, not {sorted(manifest.sha256)}")
    return manifest


def read_manifest(read: Read, folder: str) -> Manifest:
    """The manifest of the bundle at `folder`, which `read` reads."""
    with refusing():
        return decode_manifest(read(MANIFEST, LARGEST_MANIFEST_BYTES), f"{folder}/{MANIFEST}")


def read_weights(read: Read, folder: str, manifest: Manifest) -> bytes:
    """The weights as the file holds them, after their sha256 proved to be the manifest's."""
    with refusing():
        raw = read(WEIGHTS, LARGEST_WEIGHTS_BYTES)
    if hashlib.sha256(raw).hexdigest() != manifest.sha256[WEIGHTS]:
        raise BundleError(f"{folder}/{WEIGHTS}: sha256 is not the one in {MANIFEST}: damaged or exchanged")
    return raw
