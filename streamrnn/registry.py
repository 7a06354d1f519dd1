"""Versions of models in a folder, and which of them is the champion. Knows bundles, not their use.

<root>/<name>/<version>/ is a bundle; <root>/<name>/champion.json is {"version": n}.
"""

import re
import uuid
from pathlib import Path
from typing import Annotated

import msgspec

from streamrnn.errors import BundleError
from streamrnn.nn.bundle import load_bundle, read_plain, save_bundle, write_durably
from streamrnn.nn.model import Model

CHAMPION = "champion.json"
LONGEST_NAME_BYTES = 255
LARGEST_POINTER_BYTES = 1000
NUMBER = re.compile(r"[1-9][0-9]{0,17}")


class Champion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What champion.json holds."""

    version: Annotated[int, msgspec.Meta(ge=1)]


class Registry:
    """A folder of models; names are single path parts."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def _folder(self, name: str) -> Path:
        plain = name.isprintable() and Path(name).name == name and "\\" not in name
        if not name or not plain or name.startswith(".") or len(name.encode()) > LONGEST_NAME_BYTES:
            raise BundleError(f"{name!r} is no model name: one path part, not beginning with a dot")
        return self._root / name

    def versions(self, name: str) -> list[int]:
        """Published versions, ascending; empty for an unknown name."""
        folder = self._folder(name)
        if not folder.is_dir():
            return []
        found = [entry.name for entry in folder.iterdir() if entry.is_dir()]
        return sorted(int(name) for name in found if NUMBER.fullmatch(name))

    def champion(self, name: str) -> int:
        """The version that serves; BundleError when none was chosen or the pointer is damaged."""
        path = self._folder(name) / CHAMPION
        try:
            return msgspec.json.decode(read_plain(path, LARGEST_POINTER_BYTES), type=Champion).version
        except BundleError as error:
            raise BundleError(f"{error}; versions there are: {self.versions(name)}") from error
        except (msgspec.DecodeError, ValueError) as error:
            raise BundleError(f"{path}: not a champion pointer: {error}") from error

    def set_champion(self, name: str, version: int) -> None:
        """Point the champion at a published version; the pointer is replaced whole."""
        if version not in self.versions(name):
            raise BundleError(f"{name} has no version {version}; there are {self.versions(name)}")
        draft = self._folder(name) / f".champion-{uuid.uuid4().hex}"
        try:
            write_durably(draft, msgspec.json.encode(Champion(version)))
            draft.replace(draft.with_name(CHAMPION))
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise BundleError(f"{draft.with_name(CHAMPION)}: {error.strerror}") from error

    def publish(self, model: Model) -> int:
        """Save as the next version, whatever others publish meanwhile, and return its number."""
        name = model.spec.name
        while True:
            version = max(self.versions(name), default=0) + 1
            try:
                save_bundle(model, self._folder(name) / str(version), version)
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
