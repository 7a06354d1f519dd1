"""Owns the reading of tables: CSV and Parquet files as ticks in columns, batch by batch.

Knows no model and no Kafka. What a file leaves open is refused, not guessed: a DataError names the file, the row
(1 is the first below the header), its line and the column. Shapes: n ticks, R rows, F features.
"""

import difflib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from streamrnn.errors import DataError
from streamrnn.train.files import BATCH_TICKS, Csv, File, Parquet, is_number, where
from streamrnn.train.times import PER_MS, Bad, times_ms

T = TypeVar("T")
WIDE_FEATURE = "value"
TIME_NAME = re.compile(r"(time|timestamp|date|datetime|ts)(_(s|ms|us|ns))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Columns:
    """What is where in a table.

    stream: the column that names the stream; None: all rows are one stream, named as the file. time: the column
    of event time; None: the one called time, timestamp, date, datetime or ts (any case, perhaps with _s, _ms,
    _us, _ns), else the first of a timestamp's or date's type. features: None: all numeric columns that have a
    name, but those two. wide: each feature is a stream of its own whose only feature is "value".
    missing: texts that mean no value, besides none, NA, NaN, null and their like (CSV only).
    time_format: for times that are neither ISO 8601 nor told by their size (see EDGES): s, ms, us, ns, or a form
    such as %m/%d/%Y. every_ms: there is no time column, row i (from 0) is at start_ms + i * every_ms.
    """

    stream: str | None = None
    time: str | None = None
    features: tuple[str, ...] | None = None
    wide: bool = False
    missing: tuple[str, ...] = ()
    time_format: str | None = None
    every_ms: int | None = None
    start_ms: int = 0


class TableBatch(NamedTuple):
    """n ticks in file order: streams n names; time_ms (n,) int64; values (n, F) float32, NaN = missing."""

    streams: list[str]
    time_ms: NDArray[np.int64]
    values: NDArray[np.float32]


class Table:
    """A file's ticks; each iteration reads it anew, in memory for some batches whatever its size.

    features: F names. numbers: the columns they are in, `wide` makes each a stream. ticks_per_row: 1, or the
    number of these. stream, time: the columns taken, None where there is none. unused: all others.
    """

    def __init__(self, file: File, columns: Columns) -> None:
        self._file, self._columns = file, columns
        self.path = file.path
        self.stream = columns.stream
        self.time = _time_column(file, columns)
        self.numbers = _number_columns(file, columns, self.time)
        self.features = (WIDE_FEATURE,) if columns.wide else self.numbers
        self.ticks_per_row = len(self.numbers) if columns.wide else 1
        used = (*self.numbers, self.stream, self.time)
        self.unused = tuple(name for name in file.schema.names if name not in used)
        self.stem = _stem(file.path)

    @property
    def share(self) -> float:
        """The part of the file read by the current iteration, 0 to 1."""
        return self._file.share

    def words(self) -> str:
        """What was understood of the file, and what of it is not used."""
        every_ms = self._columns.every_ms
        timed = f"column {self.time!r}" if self.time is not None else f"{every_ms} ms between rows"
        said = [f"{self.path}: time: {timed}"]
        if self._columns.wide:
            said.append(f"{len(self.numbers)} streams, feature 'value' each: {_some(self.numbers)}")
        else:
            stream = f"column {self.stream!r}" if self.stream is not None else "the file"
            said += [f"stream: {stream}", f"features: {_some(self.numbers)}"]
        if self.unused:
            said.append(f"not used: {_some(self.unused)}")
        return "; ".join(said)

    def __iter__(self) -> Iterator[TableBatch]:
        """DataError at the first row that cannot be read, and when there is none at all."""
        most, done = max(1, BATCH_TICKS // self.ticks_per_row), 0
        texts = [name for name in (self.stream, self.time) if name is not None]
        for batch in self._file.batches(self.numbers, texts):
            for start in range(0, batch.num_rows, most):
                rows = batch.slice(start, most)
                yield self._ticks(rows, done)
                done += rows.num_rows
        if not done:
            raise DataError(f"{self.path}: no rows")

    def _ticks(self, rows: Any, first: int) -> TableBatch:
        values = np.stack([self._read(rows, first, name, _numbers) for name in self.numbers], axis=1)
        times = self._times(rows, first)
        if self._columns.wide:
            streams = list(self.numbers) * rows.num_rows
            return TableBatch(streams, times.repeat(self.ticks_per_row), values.reshape(-1, 1))
        if self.stream is None:
            return TableBatch([self.stem] * rows.num_rows, times, values)
        return TableBatch(self._read(rows, first, self.stream, _streams), times, values)

    def _times(self, rows: Any, first: int) -> NDArray[np.int64]:
        columns = self._columns
        if columns.every_ms is not None:
            return columns.start_ms + columns.every_ms * np.arange(first, first + rows.num_rows, dtype=np.int64)
        assert self.time is not None, "a table without a time column says how far apart its rows are"
        return self._read(rows, first, self.time, lambda column: times_ms(column, columns.time_format))

    def _read(self, rows: Any, first: int, name: str, read: Callable[[Any], T]) -> T:
        """A column of rows of which the first is the file's row `first`, from 0."""
        try:
            return read(rows.column(name))
        except Bad as bad:
            raise DataError(f"{where(self._file, first + bad.index + 1, name)}{bad}") from None


def read_table(path: Path, columns: Columns | None = None) -> Table:
    """Open a .csv, .csv.gz, .parquet or .pq file; DataError when it or what is asked of it is not there."""
    columns = columns or Columns()
    _check(path, columns)
    if path.name.lower().endswith((".csv", ".csv.gz")):
        return Table(Csv(path, columns.missing), columns)
    if path.name.lower().endswith((".parquet", ".pq")):
        return Table(Parquet(path), columns)
    raise DataError(f"{path}: not a .csv, .csv.gz, .parquet or .pq file, by its name")


def _some(names: tuple[str, ...]) -> str:
    """Names as Python writes them, so that none steers the terminal."""
    return ", ".join(map(repr, names[:8])) + (", ..." if len(names) > 8 else "")


def _check(path: Path, columns: Columns) -> None:
    form = columns.time_format
    if form is not None and form not in PER_MS and "%" not in form:
        raise DataError(f"time format {form!r}: must be s, ms, us, ns, or a form such as %m/%d/%Y")
    if columns.wide and columns.stream is not None:
        raise DataError(f"{path}: a wide table's streams are its columns, not named in {columns.stream!r}")
    if columns.every_ms is not None and columns.time is not None:
        raise DataError(f"{path}: either a time column or the time between rows, not both")


def _stem(path: Path) -> str:
    return re.sub(r"(?i)(?<=.)\.(csv|csv\.gz|parquet|pq)$", "", path.name)


def _time_column(file: File, columns: Columns) -> str | None:
    if columns.every_ms is not None:
        return None
    if columns.time is not None:
        return _known(file, columns.time)
    named = [name for name in file.schema.names if TIME_NAME.fullmatch(name.strip())]
    if len(named) > 1:
        raise DataError(f"{file.path}: which of {', '.join(map(repr, named))} is the time column?")
    typed = [f.name for f in file.schema if pa.types.is_timestamp(f.type) or pa.types.is_date(f.type)]
    if not named and not typed:
        raise DataError(
            f"{file.path}: which is the time column, or how far apart are the rows? {_list(file.schema.names)}"
        )
    return _known(file, (named or typed)[0])


def _number_columns(file: File, columns: Columns, time: str | None) -> tuple[str, ...]:
    taken = {time, columns.stream if columns.stream is None else _known(file, columns.stream)}
    if columns.features is None:
        found = tuple(f.name for f in file.schema if f.name and f.name not in taken and is_number(f.type))
    else:
        found = tuple(_known(file, name) for name in columns.features)
    if not found:
        raise DataError(f"{file.path}: no column holds only numbers: name the features; {_list(file.schema.names)}")
    if len(set(found)) < len(found):
        raise DataError(f"{file.path}: columns named twice: {', '.join(map(repr, found))}")
    return found


def _known(file: File, name: str) -> str:
    names = file.schema.names
    if names.count(name) == 1:
        return name
    if name in names:
        raise DataError(f"{file.path}: {names.count(name)} columns are called {name!r}")
    close = difflib.get_close_matches(name.lower(), [n.lower() for n in names], n=1, cutoff=0.4)
    nearest = next((n for n in names if close and n.lower() == close[0]), None)
    hint = f"did you mean {nearest!r}?" if nearest is not None else _list(names)
    raise DataError(f"{file.path}: no column {name!r}; {hint}")


def _list(names: list[str]) -> str:
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"its columns: {', '.join(map(repr, names[:12]))}{more}"


def _numbers(column: Any) -> NDArray[np.float32]:
    numbers: NDArray[np.float32] = pc.cast(column, pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    infinite = np.isinf(numbers)
    if infinite.any():
        index = int(infinite.argmax())
        raise Bad(index, f"{column[index]} is infinite, or too large for float32")
    return numbers


def _streams(column: Any) -> list[str]:
    texts = pc.cast(column, pa.string())
    nameless = pc.fill_null(pc.equal(texts, ""), True).to_numpy(zero_copy_only=False)
    if nameless.any():
        raise Bad(int(nameless.argmax()), "the stream has no name")
    coded = texts.dictionary_encode()
    names = np.array(coded.dictionary.to_pylist(), dtype=object)
    streams: list[str] = names[coded.indices.to_numpy()].tolist()
    return streams


