"""CSV and Parquet files as pyarrow's record batches, in bounded memory; its errors with the row's place.

Knows neither streams nor times.
"""

import csv
import gzip
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from streamrnn.errors import DataError

BATCH_TICKS = 65_536
BLOCK_BYTES = 1 << 20
"""Of a CSV file read at once; the types of its columns are taken from the first such block."""
_NO_NUMBER = re.compile(r".*to float: invalid value (.*)", re.DOTALL)
_LOCATED = re.compile(r"(?:In CSV column #(\d+): )?(?:CSV parse error: )?Row #(\d+): (.*)", re.DOTALL)


class File(Protocol):
    """What a format must do; `share` is the part of the file read so far, 0 to 1."""

    path: Path
    schema: Any
    share: float

    def batches(self, numbers: tuple[str, ...], texts: list[str]) -> Iterator[Any]:
        """Record batches with these columns, in file order."""

    def line(self, row: int) -> int | None:
        """The line of a row, where a row has one."""


@contextmanager
def reading_errors(file: File) -> Iterator[None]:
    """pyarrow's errors as DataError."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        located = _LOCATED.match(str(error))
        if located is None:
            number = error.errno if isinstance(error, OSError) else None
            raise DataError(f"{file.path}: {os.strerror(number) if number else error}") from error
        column, row, said = located.groups()
        name = file.schema.names[int(column)] if column else None
        reason = _NO_NUMBER.sub(r"\1 is not a number; does it mean a missing one?", repr(said)[1:-1])
        raise DataError(where(file, int(row) - 1, name) + reason) from error


class Csv:
    """A CSV file, perhaps gzipped; comma between, names in the first line, UTF-8."""

    def __init__(self, path: Path, missing: tuple[str, ...]) -> None:
        self.path, self.share, self.schema = path, 0.0, pa.schema([])
        self._is_gzip = path.name.lower().endswith(".gz")
        self._missing = [*pyarrow.csv.ConvertOptions().null_values, *missing]
        with reading_errors(self), self._stream() as stream:
            self.schema = self._parse(stream).schema

    def batches(self, numbers: tuple[str, ...], texts: list[str]) -> Iterator[Any]:
        kinds = dict.fromkeys(numbers, pa.float32()) | dict.fromkeys(texts, pa.string())
        with reading_errors(self), self._stream() as stream:
            blocks = self._parse(stream, column_types=kinds, include_columns=list(kinds))
            for number, batch in enumerate(blocks, 1):
                self.share = min(number * BLOCK_BYTES / max(self._size(), 1), 1.0)
                yield batch

    def line(self, row: int) -> int | None:
        """Found by reading again: quoted fields and empty lines move it."""
        opener: Callable[..., IO[str]] = gzip.open if self._is_gzip else open
        with opener(self.path, "rt", encoding="latin-1", newline="") as text:
            reader = csv.reader(text)
            rows = (reader.line_num for fields in reader if fields)
            return next((line for number, line in enumerate(rows) if number == row), None)

    def _size(self) -> int:
        """Bytes of text, as far as gzip tells: the last four bytes, for one member below 4 GiB."""
        with self.path.open("rb") as raw:
            raw.seek(-4 if self._is_gzip else 0, os.SEEK_END)
            return max(int.from_bytes(raw.read(), "little"), raw.tell())

    @contextmanager
    def _stream(self) -> Iterator[Any]:
        with pa.OSFile(str(self.path)) as raw:
            yield pa.CompressedInputStream(raw, "gzip") if self._is_gzip else raw

    def _parse(self, stream: Any, **taken: Any) -> Any:
        # Without threads the rows in its errors have numbers.
        reading = pyarrow.csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False)
        converting = pyarrow.csv.ConvertOptions(null_values=self._missing, **taken)
        return pyarrow.csv.open_csv(stream, read_options=reading, convert_options=converting)


class Parquet:
    """A Parquet file."""

    def __init__(self, path: Path) -> None:
        self.path, self.share, self.schema = path, 0.0, pa.schema([])
        with reading_errors(self), pyarrow.parquet.ParquetFile(path) as file:
            self.schema = file.schema_arrow

    def batches(self, numbers: tuple[str, ...], texts: list[str]) -> Iterator[Any]:
        self._refuse_text(numbers)
        done = 0
        columns = list(dict.fromkeys([*numbers, *texts]))
        # A row group may be as large as the file: its columns are read a block at a time, nothing ahead.
        reading = {"pre_buffer": False, "buffer_size": BLOCK_BYTES}
        with reading_errors(self), pyarrow.parquet.ParquetFile(self.path, **reading) as file:
            for batch in file.iter_batches(BATCH_TICKS, columns=columns, use_threads=False):
                done += batch.num_rows
                self.share = done / file.metadata.num_rows
                yield batch

    def line(self, row: int) -> int | None:
        return None

    def _refuse_text(self, numbers: tuple[str, ...]) -> None:
        for name in numbers:
            kind = self.schema.field(name).type
            if not is_number(kind) and not pa.types.is_boolean(kind):
                raise DataError(f"{self.path}: row 1, column {name!r}: {kind}, not numbers")


def is_number(kind: Any) -> bool:
    """A column with nothing in it yet is one too: a sensor that starts later."""
    is_ = pa.types
    return bool(is_.is_integer(kind) or is_.is_floating(kind) or is_.is_decimal(kind) or is_.is_null(kind))


def where(file: File, row: int, column: str | None) -> str:
    line = file.line(row)
    at = f"row {row}" if line is None else f"row {row} (line {line})"
    return f"{file.path}: {at}, " + (f"column {column!r}: " if column is not None else "")
