"""Versions of models in a folder, and which of them is the champion. Knows bundles, not their use.

<root>/<name>/<version>/ is a bundle; <root>/<name>/champion.json is {"version": n}.
"""

import json
import os
import tempfile
from pathlib import Path

import msgspec

from streamrnn.errors import BundleError
from streamrnn.nn.bundle import load_bundle, save_bundle
from streamrnn.nn.model import Model

CHAMPION = "champion.json"


class Registry:
    """A folder of models; names are single path parts."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def _folder(self, name: str) -> Path:
        if not name or name.startswith(".") or Path(name).name != name:
            raise BundleError(f"{name!r} is no model name: one path part, not beginning with a dot")
        return self._root / name

    def versions(self, name: str) -> list[int]:
        """Published versions, ascending; empty for an unknown name."""
        folder = self._folder(name)
        if not folder.is_dir():
            return []
        return sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal())

    def champion(self, name: str) -> int:
        """The version that serves; BundleError when none was chosen or the pointer is damaged."""
        path = self._folder(name) / CHAMPION
        try:
            version = msgspec.json.decode(path.read_bytes(), type=dict[str, int])["version"]
        except OSError as error:
            raise BundleError(f"{path}: {error.strerror}; versions there are: {self.versions(name)}") from error
        except (msgspec.DecodeError, KeyError) as error:
            raise BundleError(f"{path}: not a champion pointer: {error}") from error
        return version

    def set_champion(self, name: str, version: int) -> None:
        """Point the champion at a published version; the pointer is replaced whole."""
        if version not in self.versions(name):
            raise BundleError(f"{name} has no version {version}; there are {self.versions(name)}")
        folder = self._folder(name)
        handle, draft = tempfile.mkstemp(prefix=".champion-", dir=folder)
        with os.fdopen(handle, "w") as file:
            json.dump({"version": version}, file)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(folder / CHAMPION)

    def publish(self, model: Model) -> int:
        """Save as the next version, whatever others publish meanwhile, and return its number."""
        name = model.spec.name
        while True:
            version = max(self.versions(name), default=0) + 1
            numbered = Model(msgspec.structs.replace(model.spec, version=version))
            numbered.load_state_dict(model.state_dict())
            try:
                save_bundle(numbered, self._folder(name) / str(version))
            except BundleError:
                if version not in self.versions(name):
                    raise
            else:
                return version

    def load(self, name: str, version: int | None = None) -> Model:
        """A version's model, the champion's when none is named."""
        version = self.champion(name) if version is None else version
        model = load_bundle(self._folder(name) / str(version))
        if (model.spec.name, model.spec.version) != (name, version):
            raise BundleError(f"{self._folder(name) / str(version)} holds {model.spec.label}")
        return model
