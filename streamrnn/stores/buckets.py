"""An object store behind fsspec, which is imported when one is opened. Knows no file system."""

import errno
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from streamrnn.errors import ConfigError, NotPlain
from streamrnn.stores.failures import failing_at
from streamrnn.stores.spans import ByteSpan, merge, split

CLAIM = "claim-"
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""By the scheme of a URL: the extra of this package that brings its backend."""
PASSWORD = re.compile(r"://[^/@:]*:([^/@]+)@")


class ObjectStore:
    """An object store by its URL: a file appears whole, and a listing shows what was written before it."""

    def __init__(self, url: str, seal: str) -> None:
        self._url, self._seal = url.rstrip("/"), seal
        with failing_at(self._url):
            self._fs, root = _backend(self._url)
        self._root = root.rstrip("/")

    def is_there(self) -> bool:
        with failing_at(self._url), suppress(FileNotFoundError):
            return bool(self._now().ls(self._root, detail=False))
        return False

    def place(self, key: str) -> str:
        return f"{self._url}/{key}"

    def read(self, key: str, limit: int) -> bytes:
        with failing_at(self.place(key)):
            size = self._now().info(self._path(key))["size"]
            if size > limit:
                raise NotPlain(errno.EFBIG, f"{size} bytes, at most {limit} are read", self.place(key))
            return bytes(self._fs.cat_file(self._path(key)))

    def read_start(self, key: str, count: int) -> bytes:
        with failing_at(self.place(key)):
            return bytes(self._fs.cat_file(self._path(key), start=0, end=count))

    def read_spans(self, spans: Sequence[ByteSpan]) -> list[bytes]:
        if not spans:
            return []
        merged = merge(spans)
        starts, ends = [each.span.start for each in merged], [each.span.end for each in merged]
        with failing_at(self.place(spans[0].key)):
            paths = [self._path(each.span.key) for each in merged]
            read = self._fs.cat_ranges(paths, starts, ends, on_error="raise")
        return split(merged, [bytes(data) for data in read], spans)

    def write(self, key: str, data: bytes | memoryview) -> None:
        with failing_at(self.place(key)):
            self._fs.pipe_file(self._path(key), bytes(data))

    def add(self, folder: str, files: Mapping[str, bytes]) -> bool:
        """Add a folder, by a claim: see Store.add.

        A writer owns the folder if, after writing its claim file, it lists the folder and sees only that claim. Of
        two writers, the one that lists later sees both claims. So at most one goes on; perhaps neither does. No
        exclusive create is needed: not every backend has one, and none repeats safely after a lost answer.
        """
        order = sorted(files, key=lambda name: name == self._seal)
        claim = f"{CLAIM}{uuid.uuid4().hex}"
        written = [claim]
        try:
            self.write(f"{folder}/{claim}", b"")
            if list(self._sizes(folder)) != [claim]:
                self._discard(folder, [claim])
                return False
            for name in order:
                written.append(name)
                self.write(f"{folder}/{name}", files[name])
        except BaseException:
            self._discard(folder, reversed(written))
            raise
        self._discard(folder, [claim])
        return True

    def _discard(self, folder: str, names: Iterable[str]) -> None:
        """Delete the files that can be deleted. A file that stays makes no folder; it is listed as unfinished."""
        for name in names:
            with suppress(OSError), failing_at(folder):
                self._fs.rm_file(self._path(f"{folder}/{name}"))

    def whole(self, folder: str) -> list[str]:
        return sorted(key.split("/")[0] for key in self._sizes(folder) if key.split("/")[1:] == [self._seal])

    def folders(self, folder: str = "") -> list[str]:
        with failing_at(self.place(folder)), suppress(FileNotFoundError):
            entries = self._now().ls(self._path(folder), detail=True)
            return sorted({e["name"].rstrip("/").split("/")[-1] for e in entries if e["type"] == "directory"})
        return []

    def unfinished(self, folder: str) -> list[str]:
        return sorted(set(self.folders(folder)) - set(self.whole(folder)))

    def files(self, folder: str) -> dict[str, int]:
        return {key: size for key, size in self._sizes(folder).items() if "/" not in key}

    def modified_s(self, folder: str) -> float:
        with failing_at(self.place(folder)):
            paths = self._now().find(self._path(folder))
            return max(float(self._fs.modified(path).timestamp()) for path in paths)

    def delete(self, key: str) -> None:
        with failing_at(self.place(key)), suppress(FileNotFoundError):
            self._fs.rm_file(self._path(key))

    def remove(self, folder: str) -> None:
        for name in sorted(self._sizes(folder), key=lambda name: name != self._seal):
            with failing_at(self.place(f"{folder}/{name}")), suppress(FileNotFoundError):
                self._fs.rm_file(self._path(f"{folder}/{name}"))

    def _sizes(self, folder: str) -> dict[str, int]:
        """The files below `folder`, at any depth: key from there to size in bytes."""
        with failing_at(self.place(folder)):
            path = self._path(folder)
            found = self._now().find(path, detail=True)
            return {name[len(path) :].lstrip("/"): info["size"] or 0 for name, info in found.items()}

    def _now(self) -> Any:
        """The backend, with no listing remembered: other processes write here too."""
        self._fs.invalidate_cache()
        return self._fs

    def _path(self, key: str) -> str:
        if set(key) & set("?#"):
            raise OSError(errno.EINVAL, "? and # mean something else in a URL")
        return f"{self._root}/{key}".rstrip("/")


def _backend(url: str) -> tuple[Any, str]:
    """The backend of a URL, and the root's path in its own words."""
    from fsspec.core import url_to_fs

    scheme = url.partition("://")[0]
    if password := PASSWORD.search(url):
        shown = url.replace(password[1], "***")
        raise ConfigError(f"{shown}: a password has no place in a URL that is shown; see {scheme}'s own settings")
    if "::" in url:
        raise ConfigError(f"{url}: a chain of URLs, which may hold a cache, is not served")
    try:
        backend, root = url_to_fs(url)
    except ImportError as error:
        extra = EXTRAS.get(scheme.lower())
        how = f"pip install 'streamrnn[{extra}]'" if extra else str(error)
        raise ConfigError(f"{url}: {scheme}:// needs a package that is not installed: {how}") from error
    except ValueError as error:
        raise ConfigError(f"{url}: {error}") from error
    return backend, root
