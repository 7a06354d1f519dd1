"""The bytes of a file, unpacked: gzip, zstd, or a zip of one file. Knows nothing of what they say."""

import csv
import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from streamrnn.errors import DataError

PACKED = {".gz": "gzip", ".zst": "zstd"}


class Raw(NamedTuple):
    """An open stream of unpacked bytes, and the part of the file read so far, 0 to 1."""

    stream: Any
    share: Callable[[], float]


class Reader(io.RawIOBase):
    """Makes any stream that has read() one that Python's buffers take, and counts its bytes."""

    def __init__(self, stream: Any) -> None:
        self._stream, self.count = stream, 0

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        data = self._stream.read(len(into))
        into[: len(data)] = data
        self.count += len(data)
        return len(data)


def text_lines(stream: Any, encoding: str) -> Iterator[str]:
    """Yield the lines of a stream of bytes, with their line ends."""
    return iter(io.TextIOWrapper(io.BufferedReader(Reader(stream)), encoding, newline=""))


@contextmanager
def open_raw(path: Path) -> Iterator[Raw]:
    """Open the unpacked bytes of a file for a `with`.

    What fails is a DataError, or an error of pyarrow's or of the system; see packing_errors.
    """
    with ExitStack() as opened:
        file = opened.enter_context(path.open("rb"))
        size = max(os.fstat(file.fileno()).st_size, 1)
        packed = PACKED.get(path.suffix.lower())
        if path.suffix.lower() == ".zip":
            stream: Any = opened.enter_context(_only(path, opened.enter_context(zipfile.ZipFile(file))))
        else:
            stream = opened.enter_context(pa.CompressedInputStream(pa.PythonFile(file), packed)) if packed else file
        yield Raw(stream, lambda: min(file.tell() / size, 1.0))


def _only(path: Path, packed: zipfile.ZipFile) -> Any:
    files = [name for name in packed.namelist() if not name.endswith("/")]
    if len(files) != 1:
        raise DataError(f"{path}: holds {len(files)} files, must be one: unpack it")
    return packed.open(files[0])


def unpacked_name(path: Path) -> str:
    """A file's name without its folder and without the suffix that says how it is packed.

    Of a zip it is the name of the file inside.
    """
    if path.suffix.lower() == ".zip":
        with path.open("rb") as file, zipfile.ZipFile(file) as packed, _only(path, packed) as member:
            return Path(member.name).name
    return path.stem if path.suffix.lower() in PACKED else path.name


@contextmanager
def packing_errors(path: Path) -> Iterator[None]:
    """Make what a damaged or absent file raises a DataError."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: {os.strerror(error.errno) if error.errno else _shown(error)}") from error
    except UnicodeError as error:
        said = _shown(error)
        raise DataError(f"{path}: {said}; --encoding says what it is, such as latin-1 or cp1252") from error
    except (pa.ArrowException, csv.Error, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise DataError(f"{path}: {_shown(error)}") from error


def _shown(error: Exception) -> str:
    """An error's text on one line, so that nothing in it steers the terminal."""
    return repr(" ".join(str(error).split()))[1:-1]
