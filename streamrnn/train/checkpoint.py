"""How far a fit has come, on disk: tensors in one file, all else in JSON. Never pickle; anything off is refused.

The document names the tensors by their digest and is replaced last, so that it is the earlier checkpoint or the
later one, whole, whenever the process ends. Knows not what the tensors mean.
"""

import hashlib
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from streamrnn.errors import DataError
from streamrnn.nn.spec import ModelSpec
from streamrnn.process.scratch import ScratchPath
from streamrnn.train.history import Extent, History, Split
from streamrnn.train.recipe import Epoch, Recipe
from streamrnn.train.team import Team, spread_bytes

FORMAT = 1
DOCUMENT = "checkpoint.json"
TENSORS = ".safetensors"
DRAFT = ".draft"
NUMBERS_AT_ONCE = 1 << 22
"""Numbers of a history in memory while it is digested."""
FREE = ("epochs", "patience", "budget_s", "threads", "device")
"""What of a recipe may be another when a fit goes on. It ends in the same bits if only the time was."""

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Identity = dict[str, str]
"""What a fit is of: dotted names to values as JSON."""


class FitProgress(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """epochs: all so far; best: the number of the best; steps: taken into the running mean; seconds: spent."""

    epochs: list[Epoch]
    best: int
    steps: int
    seconds: float


class Saved(NamedTuple):
    """A fit between two epochs: with the same arguments it goes on from here as if it had never stopped."""

    progress: FitProgress
    tensors: dict[str, Tensor]

    @classmethod
    def of(cls, progress: FitProgress, parts: Mapping[str, Mapping[str, Tensor]]) -> "Saved":
        """Of tensors by the name of their part and their own, brought to the CPU."""
        tensors = {
            f"{part}/{name}": tensor.detach().cpu().contiguous()
            for part, own in parts.items()
            for name, tensor in own.items()
        }
        return cls(progress, tensors)

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of one part."""
        return {key[len(name) + 1 :]: tensor for key, tensor in self.tensors.items() if key.startswith(f"{name}/")}


class Checkpoints(Protocol):
    """Where a fit is kept."""

    def save(self, saved: Saved) -> None:
        """Replace what was kept."""

    def load(self, team: Team) -> Saved | None:
        """What was kept by rank 0, the same in each rank; None if nothing was."""


class Nowhere:
    """Keeps nothing."""

    def save(self, saved: Saved) -> None:
        """Not at all."""

    def load(self, team: Team) -> Saved | None:
        """There is none."""


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    identity: Identity
    progress: FitProgress
    tensors_sha256: Sha256

    @property
    def tensors(self) -> str:
        """The name of their file."""
        return f"{len(self.progress.epochs):06d}-{self.tensors_sha256[:16]}{TENSORS}"


class _Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A document as it is in its file, with the sha256 of its bytes."""

    format: int
    sha256: Sha256
    document: msgspec.Raw


_SEALED, _DOCUMENT = msgspec.json.Decoder(_Sealed), msgspec.json.Decoder(_Document)


class Folder:
    """Keeps the last checkpoint of one fit in a folder, made if it is not there; one process writes to it."""

    def __init__(self, path: Path, identity: Identity) -> None:
        self._path, self._identity = path, identity

    def save(self, saved: Saved) -> None:
        """DataError when it cannot be written; the earlier checkpoint stands."""
        try:
            self._save(saved)
        except OSError as error:
            raise DataError(f"cannot keep a checkpoint in {self._path}: {error.strerror or error}") from error

    def _save(self, saved: Saved) -> None:
        tensors = save_tensors(saved.tensors)
        document = _Document(self._identity, saved.progress, _sha256(tensors))
        raw = msgspec.json.encode(document)
        sealed = msgspec.json.encode(_Sealed(FORMAT, _sha256(raw), msgspec.Raw(raw)))
        self._path.mkdir(parents=True, exist_ok=True)
        # 1. the tensors, under a name that no document has yet
        _replace(self._path / document.tensors, tensors)
        # 2. the document that names them: from here on this is the checkpoint
        _replace(self._path / DOCUMENT, sealed)
        # 3. what no document names goes
        for path in self._path.iterdir():
            if path.name != document.tensors and path.suffix in (TENSORS, DRAFT):
                path.unlink(missing_ok=True)

    def load(self, team: Team) -> Saved | None:
        """DataError when it is damaged, or of another fit."""
        sealed = spread_bytes(team, self._read(DOCUMENT) if team.rank == 0 else None)
        if sealed is None:
            return None
        document = self._opened(sealed)
        self._compare(document.identity)
        raw = spread_bytes(team, self._read(document.tensors) if team.rank == 0 else None)
        return Saved(document.progress, self._checked(raw, document))

    def _read(self, name: str) -> bytes | None:
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError(f"cannot read {self._path / name}: {error.strerror}") from error

    def _opened(self, raw: bytes) -> _Document:
        try:
            sealed = _SEALED.decode(raw)
            if sealed.format != FORMAT:
                raise DataError(f"{self._path / DOCUMENT}: format {sealed.format}, this version reads {FORMAT}")
            if sealed.sha256 != _sha256(bytes(sealed.document)):
                raise self._damaged(DOCUMENT, "it is not what was written")
            return _DOCUMENT.decode(sealed.document)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._damaged(DOCUMENT, str(error)) from error

    def _compare(self, kept: Identity) -> None:
        own = self._identity
        odd = [
            f"{name} was {kept.get(name, 'not there')}, is {own.get(name, 'not there')}"
            for name in sorted(own.keys() | kept.keys())
            if own.get(name) != kept.get(name)
        ]
        if odd:
            raise DataError(f"the checkpoint in {self._path} is of another fit: {'; '.join(odd)}")

    def _checked(self, raw: bytes | None, document: _Document) -> dict[str, Tensor]:
        if raw is None:
            raise self._damaged(document.tensors, "it is not there")
        if _sha256(raw) != document.tensors_sha256:
            raise self._damaged(document.tensors, "it is not what was written")
        try:
            tensors: dict[str, Tensor] = load_tensors(raw)
        except (SafetensorError, ValueError, KeyError) as error:
            raise self._damaged(document.tensors, str(error)) from error
        return tensors

    def _damaged(self, name: str, why: str) -> DataError:
        return DataError(f"{self._path / name} is damaged: {why}; remove the folder to fit from the beginning")


def identify(
    spec: ModelSpec, recipe: Recipe, history: History, split: Split, at_once: int = NUMBERS_AT_ONCE
) -> Identity:
    """All that fixes the bits of a fit but the machine; a model's version number does not.

    at_once: numbers of the history in memory while it is digested, of which the digest is another.
    """
    told: dict[str, dict[str, Any]] = {
        "spec": msgspec.to_builtins(msgspec.structs.replace(spec, version=1)),
        "recipe": {name: value for name, value in asdict(recipe).items() if name not in FREE},
        "history": _describe(history, split, at_once),
    }
    return {
        f"{part}.{name}": msgspec.json.encode(value).decode()
        for part, fields in told.items()
        for name, value in fields.items()
    }


def _describe(history: History, split: Split, at_once: int) -> dict[str, Any]:
    """In numbers and digests."""
    return {
        "features": history.features,
        "ticks": len(history),
        "streams": len(history.streams),
        "starts": _digest(history.starts),
        "split": _digest(_edges(split.train), _edges(split.validation)),
        "digest": _digest_ticks(history, max(1, at_once // len(history.features))),
    }


def _digest_ticks(history: History, each: int) -> str:
    """Of every tick, `each` at once: one that was mended since is enough for other weights. All NaN are alike."""
    digest = hashlib.sha256()
    for start in range(0, len(history), each):
        values = history.values[start : start + each]
        digest.update(history.time_ms[start : start + each].tobytes())
        digest.update(np.where(np.isnan(values), np.float32(np.nan), values).tobytes())
    return digest.hexdigest()[:16]


def _edges(part: Iterable[Extent]) -> NDArray[np.int64]:
    return np.array(list(part), dtype=np.int64)


def _digest(*arrays: NDArray[Any]) -> str:
    """Of shapes and bytes."""
    return _sha256(b"".join(repr(a.shape).encode() + np.ascontiguousarray(a).tobytes() for a in arrays))[:16]


def _sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _replace(path: Path, data: bytes) -> None:
    """All of it or what was there, also after the power went: the disk has the file, then the folder its name."""
    with ScratchPath(path.with_name(path.name + DRAFT)) as draft:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    if sys.platform != "win32":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
