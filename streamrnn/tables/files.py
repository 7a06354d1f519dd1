"""What every format gives: record batches in bounded memory; and Parquet's. Knows neither streams nor times."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pyarrow as pa
import pyarrow.parquet

from streamrnn.tables.raw import packing_errors

BATCH_TICKS = 65_536
BLOCK_BYTES = 1 << 20
"""Of a file read at once."""


class File(Protocol):
    """What a format must do.

    names: of its columns. share: the part of the file read so far, 0 to 1. sample: its first rows as a batch, all
    of them if is_sample_all. is_text: its cells are texts, not typed. said: what was found out of its form.
    groups: columns that tell its series apart, where the format says so. decimal: its point or comma.
    """

    is_text: ClassVar[bool]
    path: Path
    share: float
    names: tuple[str, ...]
    said: tuple[str, ...]
    groups: tuple[str, ...]

    @property
    def decimal(self) -> str: ...

    @property
    def sample(self) -> Any: ...

    @property
    def is_sample_all(self) -> bool: ...

    def batches(self, columns: list[str]) -> Iterator[Any]:
        """Record batches with these columns, in file order."""

    def line(self, row: int) -> int | None:
        """The line of a row in the file, None in a format without lines."""

    def raw_row(self, row: int) -> str:
        """A row as the text has it; empty where the file is no text."""


class Parquet:
    """A Parquet file."""

    is_text: ClassVar[bool] = False
    decimal: ClassVar[str] = "."

    def __init__(self, path: Path) -> None:
        self.path, self.share = path, 0.0
        self.said: tuple[str, ...] = ()
        self.groups: tuple[str, ...] = ()
        with packing_errors(path), pyarrow.parquet.ParquetFile(path) as file:
            self._schema, self._rows = file.schema_arrow, file.metadata.num_rows
        self.names: tuple[str, ...] = tuple(self._schema.names)

    @property
    def sample(self) -> Any:
        """The file's first rows as a batch.

        A name that two columns bear names neither, so such columns are left out.
        """
        names = [name for name in self.names if self.names.count(name) == 1]
        with packing_errors(self.path), self._open() as file:
            empty = pa.RecordBatch.from_pylist([], pa.schema([self._schema.field(name) for name in names]))
            return next(file.iter_batches(1024, columns=names, use_threads=False), empty)

    @property
    def is_sample_all(self) -> bool:
        """Whether the sample is the whole file."""
        return bool(self._rows <= 1024)

    def batches(self, columns: list[str]) -> Iterator[Any]:
        """Record batches with these columns, in file order."""
        done = 0
        with packing_errors(self.path), self._open() as file:
            for batch in file.iter_batches(BATCH_TICKS, columns=columns, use_threads=False):
                done += batch.num_rows
                self.share = done / self._rows
                yield batch

    def line(self, row: int) -> int | None:
        """None: a Parquet file has no lines."""
        return None

    def raw_row(self, row: int) -> str:
        """Empty: a Parquet file is no text."""
        return ""

    def _open(self) -> Any:
        # A row group may be as large as the file: its columns are read a block at a time, nothing ahead.
        return pyarrow.parquet.ParquetFile(self.path, pre_buffer=False, buffer_size=BLOCK_BYTES)


def where(file: File, row: int, column: str | None) -> str:
    """The place of a row for the beginning of an error. Rows are counted from 1."""
    line = file.line(row)
    at = f"row {row}" if line is None else f"row {row} (line {line})"
    return f"{file.path}: {at}, " + (f"column {column!r}: " if column is not None else "")
