"""A folder on a file system. Durable writes and renames; knows no URLs."""

import errno
import os
import shutil
import stat
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from streamrnn.errors import NotPlain
from streamrnn.process.scratch import ScratchFolder, ScratchPath
from streamrnn.stores.failures import failing_at
from streamrnn.stores.spans import ByteSpan

DRAFT = ".draft-"
"""How the names of what is being written or removed begin."""


def read_plain(path: Path, limit: int) -> bytes:
    """Read a plain file of at most `limit` bytes.

    NotPlain where the file is larger, is a link out of its folder, or is no plain file.
    """
    with failing_at(path), _open_plain(path, limit).open("rb") as file:
        return file.read(limit)


def _open_plain(path: Path, limit: int | None) -> Path:
    if not path.resolve().is_relative_to(path.parent.resolve()):
        raise NotPlain(errno.EINVAL, "a link that leads out of the bundle", str(path))
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise NotPlain(errno.EINVAL, "not a plain file", str(path))
    if limit is not None and status.st_size > limit:
        raise NotPlain(errno.EFBIG, f"{status.st_size} bytes, at most {limit} are read", str(path))
    return path


@contextmanager
def _descriptor(path: Path) -> Iterator[int]:
    """Open the descriptor of a plain file; NotPlain for a link or any other kind.

    The path is not resolved: single rows are read so often that resolving would show.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise NotPlain(errno.EINVAL, "a link", str(path)) from error
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise NotPlain(errno.EINVAL, "not a plain file", str(path))
        yield file
    finally:
        os.close(file)


def add_folder(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Add a folder of files; False where the folder is taken.

    The files are written beside `folder` and renamed together, so readers see all of them or none.
    """
    with failing_at(folder):
        if folder.exists():
            return False
        folder.parent.mkdir(parents=True, exist_ok=True)
        with ScratchFolder(DRAFT, folder.parent) as draft:
            for name, data in files.items():
                _write_durably(draft / name, data)
            draft.chmod(0o755)
            return _renamed(draft, folder)


def _renamed(draft: Path, folder: Path) -> bool:
    """Rename the draft to `folder`; False where another writer came first."""
    try:
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        return False
    return True


def _write_durably(path: Path, data: bytes | memoryview) -> None:
    """Write a file and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


class FolderStore:
    """A folder on a file system that renames at once."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def is_there(self) -> bool:
        return self._root.is_dir()

    def place(self, key: str) -> str:
        return str(self._root / key)

    def read(self, key: str, limit: int) -> bytes:
        return read_plain(self._root / key, limit)

    def read_start(self, key: str, count: int) -> bytes:
        path = self._root / key
        with failing_at(path), _open_plain(path, None).open("rb") as file:
            return file.read(count)

    def read_spans(self, spans: Sequence[ByteSpan]) -> list[bytes]:
        parts: list[bytes] = [b""] * len(spans)
        by_key: dict[str, list[int]] = {}
        for number, span in enumerate(spans):
            by_key.setdefault(span.key, []).append(number)
        for key, numbers in by_key.items():
            path = self._root / key
            with failing_at(path), _descriptor(path) as file:
                for number in numbers:
                    _, start, end = spans[number]
                    parts[number] = os.pread(file, end - start, start)
        return parts

    def write(self, key: str, data: bytes | memoryview) -> None:
        path = self._root / key
        draft = path.with_name(f"{DRAFT}{uuid.uuid4().hex}")
        with failing_at(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with ScratchPath(draft):
                _write_durably(draft, data)
                draft.replace(path)

    def add(self, folder: str, files: Mapping[str, bytes]) -> bool:
        return add_folder(self._root / folder, files)

    def whole(self, folder: str) -> list[str]:
        return self.folders(folder)

    def folders(self, folder: str = "") -> list[str]:
        return [e.name for e in self._entries(folder) if e.is_dir() and not e.name.startswith(DRAFT)]

    def unfinished(self, folder: str) -> list[str]:
        return [entry.name for entry in self._entries(folder) if entry.name.startswith(DRAFT)]

    def files(self, folder: str) -> dict[str, int]:
        with failing_at(self._root / folder):
            sizes: dict[str, int] = {}
            for entry in self._entries(folder):
                with suppress(FileNotFoundError):  # others write and delete here too
                    if entry.is_file():
                        sizes[entry.name] = entry.stat().st_size
            return sizes

    def modified_s(self, folder: str) -> float:
        path = self._root / folder
        with failing_at(path):
            return max(float(p.lstat().st_mtime) for p in (path, *(path.iterdir() if path.is_dir() else ())))

    def delete(self, key: str) -> None:
        with failing_at(self._root / key), suppress(FileNotFoundError, NotADirectoryError):
            (self._root / key).unlink()

    def remove(self, folder: str) -> None:
        path = self._root / folder
        with failing_at(path):
            gone = path.rename(path.with_name(f"{DRAFT}{uuid.uuid4().hex}"))
            if gone.is_dir() and not gone.is_symlink():
                shutil.rmtree(gone)
            else:
                gone.unlink()

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        """The entries of a folder, by name. There are none where there is no folder."""
        path = self._root / folder
        with failing_at(path), suppress(FileNotFoundError, NotADirectoryError), os.scandir(path) as entries:
            return sorted(entries, key=lambda entry: entry.name)
        return []
