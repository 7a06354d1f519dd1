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
    """A root under which files are kept by key: a folder, or a part of an object store."""

    def is_there(self) -> bool:
        """Whether the root is there.

        A folder is there even when it is empty. An object store has no folders: there, the root is where a file is.
        """

    def place(self, key: str) -> str:
        """A key's path or URL, for people."""

    def read(self, key: str, limit: int) -> bytes:
        """Read a whole file of at most `limit` bytes.

        FileNotFoundError where there is none, NotPlain where it is larger or no plain file, or another OSError.
        """

    def read_start(self, key: str, count: int) -> bytes:
        """Read the first `count` bytes of a file, or all of a shorter file."""

    def read_spans(self, spans: Sequence[ByteSpan]) -> list[bytes]:
        """Read ranges of bytes of files, as many at once as the backend can.

        A range is shorter where its file ends before the range does.
        """

    def write(self, key: str, data: bytes | memoryview) -> None:
        """Write a file whole, or replace it. Where that fails, the old file stands."""

    def add(self, folder: str, files: Mapping[str, bytes]) -> bool:
        """Make a folder of these files, the seal among them; False where the folder is taken or may be about to be.

        Of any number of callers at once, at most one hears True. A call that fails leaves nothing behind.
        """

    def whole(self, folder: str) -> list[str]:
        """Names of the folders in `folder` that were added and not removed. There are none in an unknown folder."""

    def folders(self, folder: str = "") -> list[str]:
        """Names of all folders in `folder`. A folder that is being added may be among them."""

    def unfinished(self, folder: str) -> list[str]:
        """Names in `folder` of what is half written or half removed, now or since the process that did so ended."""

    def files(self, folder: str) -> dict[str, int]:
        """The files in `folder`: name to size in bytes."""

    def modified_s(self, folder: str) -> float:
        """When a file in `folder` was last written, in seconds since the epoch."""

    def delete(self, key: str) -> None:
        """Delete a file. Nothing happens where there is none."""

    def remove(self, folder: str) -> None:
        """Remove a folder. The folder is gone at once; its files go after that."""


def open_store(root: str | Path, seal: str) -> Store:
    """Open the store at a folder or URL. Nothing is read yet.

    seal: name of the file that is written last into each folder that is added. ConfigError for a URL that cannot be
    served; the error names the extra that would serve it.
    """
    scheme, is_url, path = str(root).partition("://")
    if not is_url:
        return FolderStore(Path(root))
    if scheme.lower() in ("file", "local"):
        return FolderStore(Path(path).expanduser())
    return ObjectStore(str(root), seal)
