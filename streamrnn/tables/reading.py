"""Owns the reading of tables: files as ticks in columns, batch by batch.

Knows no model and no Kafka. What a file leaves open is refused, not guessed: a DataError names the file, the row
(1 is the first below the names), its line, the column and the option that helps.
Shapes: n ticks, R rows, F features.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from streamrnn.codecs.times import LARGEST_TIME_MS
from streamrnn.errors import DataError
from streamrnn.process.terminal import counted
from streamrnn.tables.description import TableColumns
from streamrnn.tables.files import BATCH_TICKS, BLOCK_BYTES, File, Parquet, where
from streamrnn.tables.lines import LineProtocol
from streamrnn.tables.naming import find_empty, is_number, name_columns, no_number, some
from streamrnn.tables.numbers import Bad, NumberReader
from streamrnn.tables.raw import packing_errors, unpacked_name
from streamrnn.tables.text import Text
from streamrnn.tables.timestamps import joined, times_ms

T = TypeVar("T")
WIDE_FEATURE = "value"
TEXTS = (".csv", ".tsv", ".txt")
PARQUETS = (".parquet", ".pq")
LINES = (".lp", ".line")
_KNOWN = re.compile(r"(?i)(?<=.)\.(csv|tsv|txt|parquet|pq|lp|line|zip)(\.(gz|zst))?$")


class TableBatch(NamedTuple):
    """n ticks in file order.

    streams: n names. time_ms: (n,) int64. values: (n, F) float64, NaN for a missing value.
    """

    streams: list[str]
    time_ms: NDArray[np.int64]
    values: NDArray[np.float64]


class Table:
    """A file's ticks; each iteration reads it anew, in memory for some batches whatever its size.

    features: F names. numbers: the columns they are in, `wide` makes each a stream, named with `prefix` before.
    whole: which features are integers. ticks_per_row: 1, or the number of these. stream, time: the columns taken,
    none where there are none. unused: all others. used: how often each of columns.missing was met.
    """

    def __init__(self, file: File, columns: TableColumns, prefix: str = "") -> None:
        self._file, self._columns, self.prefix = file, columns, prefix
        self.path, self.stem = file.path, stem(file.path)
        read = self._numbers()
        naming = name_columns(file, columns, read)
        empty = find_empty(file, naming.numbers, read) if columns.features is None else ()
        self.time, self.stream, self.said = naming.time, naming.streams, [*file.said, *naming.said]
        self.numbers = tuple(name for name in naming.numbers if name not in empty)
        if empty:
            self.said.append(f"nothing in {some(empty)}: left out")
        if not self.numbers:
            raise DataError(f"{self.path}: no column has a number in it")
        self.features = (WIDE_FEATURE,) if columns.wide else self.numbers
        whole = tuple(name in naming.whole for name in self.numbers)
        self.whole = (all(whole),) if columns.wide else whole
        self._is_whole = dict(zip(self.numbers, whole, strict=True))
        self.ticks_per_row = len(self.numbers) if columns.wide else 1
        used = {*self.numbers, *self.stream, *self.time}
        self.unused = tuple(name for name in file.names if name not in used)
        self.used: Counter[str] = Counter()

    @property
    def share(self) -> float:
        """The part of the file read by the current iteration, 0 to 1."""
        return self._file.share

    def words(self) -> str:
        """What was understood of the file, and what of it is not used."""
        timed = f"{_columns(self.time)}" if self.time else f"{self._columns.every_ms} ms between rows"
        said = [f"{self.path}: time: {timed}"]
        if self._columns.wide:
            named = some(tuple(f"{self.prefix}{name}" for name in self.numbers))
            said.append(f"{counted(len(self.numbers), 'stream')}, feature 'value' each: {named}")
        else:
            one = "the file" if self._columns.one_stream is None else repr(self._columns.one_stream)
            said += [f"stream: {_columns(self.stream) if self.stream else one}"]
            said += [f"features: {some(self.numbers)}"]
        if self.unused:
            said.append(f"not used: {some(self.unused)}")
        return "; ".join([*said, *self.said])

    def place(self, tick: int) -> str:
        """Where a tick (from 0) is in the file, for the beginning of an error."""
        return where(self._file, tick // self.ticks_per_row + 1, ",".join(self.time) or None)

    def __iter__(self) -> Iterator[TableBatch]:
        """Yield the ticks in file order; DataError at the first row that cannot be read, or where there is none."""
        self._refuse_text()
        most, done, read = max(1, BATCH_TICKS // self.ticks_per_row), 0, self._numbers()
        taken = list(dict.fromkeys([*self.numbers, *self.stream, *self.time]))
        self.used = read.used
        for batch in self._file.batches(taken):
            for start in range(0, batch.num_rows, most):
                rows = batch.slice(start, most)
                yield self._ticks(rows, done, read)
                done += rows.num_rows
        if not done:
            raise DataError(f"{self.path}: no rows")

    def _numbers(self) -> NumberReader:
        columns = self._columns
        has_switches = columns.features is not None
        return NumberReader(columns.missing, self._file.decimal, columns.form.thousands, has_switches)

    def _ticks(self, rows: Any, first: int, read: NumberReader) -> TableBatch:
        values = np.stack([self._values(rows, first, name, read) for name in self.numbers], axis=1)
        times = self._times(rows, first)
        if self._columns.wide:
            streams = [f"{self.prefix}{name}" for name in self.numbers] * rows.num_rows
            return TableBatch(streams, times.repeat(self.ticks_per_row), values.reshape(-1, 1))
        if not self.stream:
            return TableBatch([self._columns.one_stream or self.stem] * rows.num_rows, times, values)
        return TableBatch(self._streams(rows, first), times, values)

    def _values(self, rows: Any, first: int, name: str, read: NumberReader) -> NDArray[np.float64]:
        return self._read(rows, first, (name,), lambda column: read.read(column, self._is_whole[name]))

    def _streams(self, rows: Any, first: int) -> list[str]:
        parts = [self._read(rows, first, (name,), _streams) for name in self.stream]
        return parts[0] if len(parts) == 1 else ["/".join(names) for names in zip(*parts, strict=True)]

    def _times(self, rows: Any, first: int) -> NDArray[np.int64]:
        columns = self._columns
        if columns.every_ms is not None:
            last = first + rows.num_rows
            if abs(columns.start_ms + columns.every_ms * (last - 1)) > LARGEST_TIME_MS:
                raise DataError(f"{self.path}: row {last} is out of range of times with this --every and --start")
            return columns.start_ms + columns.every_ms * np.arange(first, last, dtype=np.int64)
        return self._read(rows, first, self.time, lambda column: times_ms(column, columns.time_format))

    def _read(self, rows: Any, first: int, names: tuple[str, ...], read: Callable[[Any], T]) -> T:
        """Read one column of some rows, or several columns joined to one.

        first: the number, from 0, of the first of these rows in the file, for the place in an error.
        """
        try:
            return read(joined([rows.column(name) for name in names]))
        except Bad as bad:
            row = first + bad.index + 1
            hint = no_number(self._file, row, bad.text) if bad.text is not None else self._no_tick(row, names)
            raise DataError(f"{where(self._file, row, ','.join(names))}{bad}{hint}") from None

    def _no_tick(self, row: int, names: tuple[str, ...]) -> str:
        raw = self._file.raw_row(row) if names == self.time else ""
        return f", or --comment={raw[:20]!r} if such lines are to be left out" if raw else ""

    def _refuse_text(self) -> None:
        for field in [] if self._file.is_text else self._file.sample.schema:
            if field.name in self.numbers and not is_number(field.type) and not pa.types.is_boolean(field.type):
                raise DataError(f"{self.path}: row 1, column {field.name!r}: {field.type}, not numbers")


def _columns(names: tuple[str, ...]) -> str:
    return f"column{'s' if len(names) > 1 else ''} {some(names)}"


def stem(path: Path) -> str:
    """A file's name without the suffix of its format: the stream's name where nothing else names the stream."""
    return _KNOWN.sub("", path.name)


def _streams(column: Any) -> list[str]:
    texts = pc.cast(column, pa.string())
    nameless = pc.fill_null(pc.equal(texts, ""), True).to_numpy(zero_copy_only=False)
    if nameless.any():
        raise Bad(int(nameless.argmax()), "the stream has no name")
    coded = texts.dictionary_encode()
    names = np.array(coded.dictionary.to_pylist(), dtype=object)
    streams: list[str] = names[coded.indices.to_numpy()].tolist()
    return streams


def read_table(
    path: Path, columns: TableColumns | None = None, prefix: str = "", block_bytes: int = BLOCK_BYTES
) -> Table:
    """Open a file as a table. The file's name tells its format.

    prefix: stands before the names of a wide table's streams. block_bytes: read at once. DataError where the file
    is not there, is of no known format, or lacks a column that is asked for.
    """
    columns = columns or TableColumns()
    try:
        columns.check()
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    with packing_errors(path):
        name = unpacked_name(path).lower()
    if name.endswith(TEXTS):
        return Table(Text(path, columns.form, block_bytes), columns, prefix)
    if name.endswith(PARQUETS) and path.name.lower().endswith(PARQUETS):
        return Table(Parquet(path), columns, prefix)
    if name.endswith(LINES):
        return Table(LineProtocol(path, columns.form.encoding or "utf-8"), columns, prefix)
    kinds = ", ".join((*TEXTS, *PARQUETS, *LINES))
    raise DataError(f"{path}: by its name none of {kinds}; texts perhaps with .gz, .zst or .zip")
