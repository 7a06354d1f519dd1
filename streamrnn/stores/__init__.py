"""Files by key in a folder or an object store, each there whole or not at all. The only home of fsspec.

A key is path parts with / between them. A folder of files that belong together appears at once: on a file system
by a rename; in an object store, which has none, its seal (one file of it, named by the caller) is written last and
a folder without it does not exist. What fails is an OSError whose filename says where. Knows no models.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from streamrnn.stores.buckets import ObjectStore
from streamrnn.stores.folder import FolderStore, add_folder, read_plain
from streamrnn.stores.spans import ByteSpan

__all__ = ["ByteSpan", "Store", "add_folder", "open_store", "read_plain"]


class Store(Protocol):
    """What a folder and an object store both can."""

    def is_there(self) -> bool:
        """Whether the root is: a folder, even an empty one; in an object store, which has none, any file in it."""

    def place(self, key: str) -> str:
        """A key's path or URL, for people."""

    def read(self, key: str, limit: int) -> bytes:
        """A file of at most `limit` bytes; FileNotFoundError, NotPlain, or another OSError."""

    def read_start(self, key: str, count: int) -> bytes:
        """The first `count` bytes of a file, or all of a shorter one."""

    def read_spans(self, spans: Sequence[ByteSpan]) -> list[bytes]:
        """Ranges of bytes of files, as many at once as the backend can; shorter where a file ends before."""

    def write(self, key: str, data: bytes | memoryview) -> None:
        """Write or replace a file whole; on failure the old one stands."""

    def add(self, folder: str, files: Mapping[str, bytes]) -> bool:
        """Make a folder of these files, the seal among them; False where something is or may be about to be.

        Of any number of callers at once at most one hears True; on failure nothing is left behind.
        """

    def whole(self, folder: str) -> list[str]:
        """Names of the folders in `folder` that were added and not removed; empty for an unknown one."""

    def folders(self, folder: str = "") -> list[str]:
        """Names of all folders in `folder`, also of those somebody is adding now where they have one."""

    def unfinished(self, folder: str) -> list[str]:
        """Names in `folder` of what is being written or removed, or was when its process ended."""

    def files(self, folder: str) -> dict[str, int]:
        """Names of the files in `folder`, and their bytes."""

    def modified_s(self, folder: str) -> float:
        """When a file in `folder` was last written, in seconds since the epoch."""

    def delete(self, key: str) -> None:
        """Delete a file; nothing where there is none."""

    def remove(self, folder: str) -> None:
        """Remove a folder; it is gone at once, then its files go."""


def open_store(root: str | Path, seal: str) -> Store:
    """The store at a folder or URL; ConfigError for a URL that cannot be served, naming the extra it needs."""
    scheme, is_url, path = str(root).partition("://")
    if not is_url:
        return FolderStore(Path(root))
    if scheme.lower() in ("file", "local"):
        return FolderStore(Path(path).expanduser())
    return ObjectStore(str(root), seal)
