"""The versions that were published: which there are, what each holds, how old it is. Knows no pointer to them."""

import time
from pathlib import Path

from streamrnn.errors import BundleError
from streamrnn.nn.manifest import MANIFEST, WEIGHTS, Manifest, Read, read_manifest, read_weights, refusing
from streamrnn.registry.model_names import checked_name, is_name, version_numbers
from streamrnn.registry.worker_reports import WORKERS
from streamrnn.stores import open_store

LARGEST_REPORT_BYTES = 50_000_000


class Published:
    """Versions of models in a folder or at a URL; names are single path parts. What fails is a BundleError."""

    def __init__(self, root: str | Path) -> None:
        self._root = root
        with refusing():
            self._store = open_store(root, seal=MANIFEST)

    def check_is_there(self) -> None:
        """BundleError unless the folder is there, or in an object store something in it.

        A name misspelt has no models either.
        """
        with refusing():
            if not self._store.is_there():
                raise BundleError(f"{self._root}: there is no registry here; see --model.registry")

    def place(self, name: str, version: int | None = None) -> str:
        """Where a model or a version is, for people."""
        return self._store.place(checked_name(name) if version is None else f"{checked_name(name)}/{version}")

    def names(self) -> list[str]:
        """Models that have a version."""
        with refusing():
            return [name for name in self._store.folders() if is_name(name) and self.versions(name)]

    def versions(self, name: str) -> list[int]:
        """Published versions, ascending; empty for an unknown name."""
        with refusing():
            return version_numbers(self._store.whole(checked_name(name)))

    def check_has(self, name: str, version: int) -> None:
        """BundleError, with the versions there are, where a version was never published or is gone."""
        versions = self.versions(name)
        if version not in versions:
            raise BundleError(f"{name} has no version {version}; there are {versions or 'none'}")

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
            return self._store.read_start(f"{checked_name(name)}/{version}/{WEIGHTS}", count)

    def sizes(self, name: str, version: int) -> dict[str, int]:
        """A version's files and their bytes."""
        with refusing():
            return self._store.files(f"{checked_name(name)}/{version}")

    def unfinished(self, name: str) -> list[str]:
        """What is being written, or was when its process ended."""
        with refusing():
            # An object store takes every folder without a seal for half a version.
            return [entry for entry in self._store.unfinished(checked_name(name)) if entry != WORKERS]

    def age_s(self, name: str, entry: int | str) -> float:
        """Seconds since a version, or what is unfinished, was last written to."""
        with refusing():
            return time.time() - self._store.modified_s(f"{checked_name(name)}/{entry}")

    def delete(self, name: str, entry: int | str) -> None:
        """Remove a version, or what is unfinished, whatever points at it."""
        with refusing():
            self._store.remove(f"{checked_name(name)}/{entry}")

    def _reader(self, name: str, version: int) -> Read:
        return lambda file, limit: self._store.read(f"{checked_name(name)}/{version}/{file}", limit)

    def _check_label(self, name: str, version: int, found: tuple[str, int]) -> None:
        if found != (name, version):
            raise BundleError(f"{self.place(name, version)} holds {found[0]}@{found[1]}")
