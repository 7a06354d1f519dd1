"""Versions of models in a folder or at a URL, and which of them is the champion. Knows bundles, not their use.

<root>/<name>/<version>/ is a bundle with its reports; <root>/<name>/champion.json is the champion and those before
it. Torch is imported only where a model is written or read.
"""

import random
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from streamrnn.config import ModelSettings
from streamrnn.errors import BundleError, ConfigError, NotPlain
from streamrnn.nn.manifest import MANIFEST, WEIGHTS, Manifest, Read, read_manifest, read_weights, refusing
from streamrnn.stores import open_store

if TYPE_CHECKING:
    from streamrnn.nn.model import Model

CHAMPION = "champion.json"
LONGEST_NAME_BYTES = 255
LARGEST_POINTER_BYTES = 1000
LARGEST_REPORT_BYTES = 50_000_000
LONGEST_HISTORY = 20
NUMBER = re.compile(r"[1-9][0-9]{0,17}")
MOST_TRIES, LONGEST_PAUSE_S = 200, 1.0
"""Before publishing gives up among others who publish, and between two tries."""

Reports = Callable[[int], Mapping[str, bytes]]
"""Makes a version's reports from its number."""
Version = Annotated[int, msgspec.Meta(ge=1, lt=10**18)]


class Champion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What champion.json holds; history: the champions before it, the last one last."""

    version: Version
    history: tuple[Version, ...] = ()


_CHAMPION = msgspec.json.Decoder(Champion)


class _DamagedVersion(BundleError):
    """A champion pointer that is there and says nothing; another may be set in its place."""


class Registry:
    """Models in a folder or at a URL; names are single path parts. What fails is a BundleError."""

    def __init__(self, root: str | Path, most_tries: int = MOST_TRIES) -> None:
        self._root, self._most_tries = root, most_tries
        with refusing():
            self._store = open_store(root, seal=MANIFEST)

    def check_is_there(self) -> None:
        """BundleError unless the folder is there, or in an object store something in it: a name misspelt has
        no models either."""
        with refusing():
            if not self._store.is_there():
                raise BundleError(f"{self._root}: there is no registry here; see --model.registry")

    def place(self, name: str, version: int | None = None) -> str:
        """Where a model or a version is, for people."""
        return self._store.place(_checked(name) if version is None else f"{_checked(name)}/{version}")

    def names(self) -> list[str]:
        """Models that have a version."""
        with refusing():
            return [name for name in self._store.folders() if is_name(name) and self.versions(name)]

    def versions(self, name: str) -> list[int]:
        """Published versions, ascending; empty for an unknown name."""
        with refusing():
            return _numbers(self._store.whole(_checked(name)))

    def check_has(self, name: str, version: int) -> None:
        """BundleError, with the versions there are, where a version was never published or is gone."""
        versions = self.versions(name)
        if version not in versions:
            raise BundleError(f"{name} has no version {version}; there are {versions or 'none'}")

    def pointer(self, name: str) -> Champion | None:
        """The champion and those before it; None when none was chosen, BundleError when the pointer is damaged."""
        key = f"{_checked(name)}/{CHAMPION}"
        try:
            return _CHAMPION.decode(self._store.read(key, LARGEST_POINTER_BYTES))
        except FileNotFoundError:
            return None
        except NotPlain as error:
            raise _DamagedVersion(f"{error.filename}: {error.strerror}; {self._remedy(name)}") from error
        except OSError as error:
            raise BundleError(f"{error.filename}: {error.strerror}") from error
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            why = f"{self._store.place(key)}: not a champion pointer: {error}"
            raise _DamagedVersion(f"{why}; {self._remedy(name)}") from error

    def champion(self, name: str) -> int:
        """The version that serves; BundleError when none was chosen or the pointer is damaged."""
        pointer = self.pointer(name)
        if pointer is None:
            raise BundleError(f"{self.place(name)}/{CHAMPION}: No such file; {self._remedy(name)}")
        return pointer.version

    def _remedy(self, name: str) -> str:
        versions = self.versions(name)
        if not versions:
            return f"there is no version of {name} yet: streamrnn retrain --name {name} makes one"
        return f"choose one: streamrnn models promote {name}@VERSION; versions there are: {versions}"

    def set_champion(self, name: str, version: int) -> int | None:
        """Point the champion at a published version and return the one before; a damaged pointer is replaced."""
        self.check_has(name, version)
        before = None
        with suppress(_DamagedVersion):
            before = self.pointer(name)
        history = () if before is None else before.history
        if before is not None and before.version != version:
            history = (*history, before.version)[-LONGEST_HISTORY:]
        self._point(name, Champion(version, history))
        return None if before is None else before.version

    def before_champion(self, name: str) -> int:
        """The version to go back to: the last champion before this one that is still there."""
        return self._earlier(name)[-1]

    def _earlier(self, name: str) -> tuple[int, ...]:
        """The history as far as the last version in it that is another and still there."""
        version, pointer = self.champion(name), self.pointer(name)
        history, there = pointer.history if pointer else (), self.versions(name)
        while history and (history[-1] == version or history[-1] not in there):
            history = history[:-1]
        if not history:
            raise BundleError(f"{name} has no champion before {version} that is still there; versions: {there}")
        return history

    def rollback(self, name: str) -> int:
        """Point the champion at the one before it and return that; a second rollback goes further back."""
        *history, version = self._earlier(name)
        self._point(name, Champion(version, tuple(history)))
        return version

    def _point(self, name: str, champion: Champion) -> None:
        with refusing():
            self._store.write(f"{name}/{CHAMPION}", msgspec.json.encode(champion))

    def publish(self, model: "Model", reports: Reports | Mapping[str, bytes] | None = None) -> int:
        """Save as the next version, whatever others publish meanwhile, and return its number.

        reports: files that lie beside the model, by name, or what makes them once the number is known. Either all
        is there afterwards or nothing.
        """
        from streamrnn.nn.bundle import encode_bundle

        name = _checked(model.spec.name)
        for tries in range(self._most_tries):
            version = self._next(name)
            own = reports(version) if callable(reports) else reports
            files = encode_bundle(model, self.place(name, version), version, own)
            with refusing():
                if self._store.add(f"{name}/{version}", files):
                    return version
                if str(version) in self._store.files(name):
                    raise BundleError(f"{self.place(name, version)} exists already, and is no folder")
            time.sleep(random.uniform(0, min(LONGEST_PAUSE_S, 0.005 * 1.5**tries)))
        raise BundleError(f"{self.place(name)}: {self._most_tries} times others were publishing at the same moment")

    def _next(self, name: str) -> int:
        """Above every version that is, is being made, or was champion: a number means one model for ever."""
        named: tuple[int, ...] = ()
        with suppress(_DamagedVersion):
            if pointer := self.pointer(name):
                named = (pointer.version, *pointer.history)
        with refusing():
            return max((*_numbers(self._store.folders(name)), *named), default=0) + 1

    def load(self, name: str, version: int | None = None) -> "Model":
        """A version's model, the champion's when none is named."""
        from streamrnn.nn.bundle import decode_bundle

        chosen = self.champion(name) if version is None else version
        try:
            model = decode_bundle(self._reader(name, chosen), self.place(name, chosen))
        except BundleError as error:
            if version is not None or chosen in self.versions(name):
                raise
            raise BundleError(f"{error}, though it is the champion; {self._remedy(name)}") from error
        self._check_label(name, chosen, (model.spec.name, model.spec.version))
        return model

    def manifest(self, name: str, version: int) -> Manifest:
        """What a version says of itself."""
        manifest = read_manifest(self._reader(name, version), self.place(name, version))
        self._check_label(name, version, (manifest.spec.name, manifest.spec.version))
        return manifest

    def verify(self, name: str, version: int) -> None:
        """BundleError unless the version is there, is the one it says it is, and its weights are whole."""
        self.check_has(name, version)
        read_weights(self._reader(name, version), self.place(name, version), self.manifest(name, version))

    def report(self, name: str, version: int, file: str = "report.json") -> bytes | None:
        """A report that was published with a version; None where there is none."""
        with refusing():
            try:
                return self._reader(name, version)(file, LARGEST_REPORT_BYTES)
            except FileNotFoundError:
                return None

    def weights_start(self, name: str, version: int, count: int) -> bytes:
        """The first bytes of a version's weights: they say what is in the rest."""
        with refusing():
            return self._store.read_start(f"{_checked(name)}/{version}/{WEIGHTS}", count)

    def sizes(self, name: str, version: int) -> dict[str, int]:
        """A version's files and their bytes."""
        with refusing():
            return self._store.files(f"{_checked(name)}/{version}")

    def unfinished(self, name: str) -> list[str]:
        """What is being written, or was when its process ended."""
        with refusing():
            return self._store.unfinished(_checked(name))

    def age_s(self, name: str, entry: int | str) -> float:
        """Seconds since a version, or what is unfinished, was last written to."""
        with refusing():
            return time.time() - self._store.modified_s(f"{_checked(name)}/{entry}")

    def delete(self, name: str, entry: int | str) -> None:
        """Remove a version, or what is unfinished, whatever points at it."""
        with refusing():
            self._store.remove(f"{_checked(name)}/{entry}")

    def _reader(self, name: str, version: int) -> Read:
        return lambda file, limit: self._store.read(f"{_checked(name)}/{version}/{file}", limit)

    def _check_label(self, name: str, version: int, found: tuple[str, int]) -> None:
        if found != (name, version):
            raise BundleError(f"{self.place(name, version)} holds {found[0]}@{found[1]}")


def check_named(settings: ModelSettings) -> None:
    """ConfigError where the settings name no model: neither `path` nor `name` and `registry`."""
    if settings.path is None and not (settings.registry and settings.name):
        raise ConfigError("no model: set model.path, or model.registry and model.name")


def load_model(settings: ModelSettings) -> "Model":
    """The bundle at `path`, or the version of `name` in `registry`; ConfigError if neither is set."""
    check_named(settings)
    if settings.path is not None:
        from streamrnn.nn.bundle import load_bundle

        return load_bundle(settings.path)
    assert settings.registry, "checked"
    assert settings.name, "checked"
    return Registry(settings.registry).load(settings.name, settings.version)


def is_name(name: str) -> bool:
    """Whether a text can be a model's name: one path part, not beginning with a dot."""
    plain = name.isprintable() and Path(name).name == name and "\\" not in name
    return bool(name) and plain and not name.startswith(".") and len(name.encode()) <= LONGEST_NAME_BYTES


def _checked(name: str) -> str:
    if not is_name(name):
        raise BundleError(f"{name!r} is no model name: one path part, not beginning with a dot")
    return name


def _numbers(names: list[str]) -> list[int]:
    return sorted(int(name) for name in names if NUMBER.fullmatch(name))
