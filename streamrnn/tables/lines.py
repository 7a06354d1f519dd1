"""InfluxDB's line protocol as record batches: measurement, tags, fields and time are its columns.

Its columns are those of the first lines; a tag or field that comes later is refused. Times are in ns, or as
--time-format says. Source: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol.
"""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from streamrnn.errors import DataError
from streamrnn.tables.raw import Raw, open_raw, packing_errors, text_lines

MEASUREMENT, TIME = "measurement", "time"
SAMPLE_LINES = 2_000
BATCH_LINES = 16_384
_PIECES = re.compile(r'((?:[^\\ "]|\\.|"(?:[^"\\]|\\.)*")+)')
_ITEMS = re.compile(r'((?:[^\\,"]|\\.|"(?:[^"\\]|\\.)*")+)')
_KEY = re.compile(r"((?:[^\\=]|\\.)+)=(.*)", re.DOTALL)
_ESCAPED = re.compile(r"\\([,= ])")
_WHOLE = re.compile(r"([+-]?\d+)[iu]")
_SWITCH = {"t": "1", "true": "1", "f": "0", "false": "0"}


class LineProtocol:
    """A file of line protocol, perhaps packed; every column is text."""

    is_text: ClassVar[bool] = True

    decimal: ClassVar[str] = "."

    def __init__(self, path: Path, encoding: str = "utf-8") -> None:
        self.path, self.share, self._encoding = path, 0.0, encoding
        self.said: tuple[str, ...] = ("line protocol",)
        with packing_errors(path), open_raw(path) as raw:
            rows = list(islice(self._rows(raw), SAMPLE_LINES + 1))
        if not rows:
            raise DataError(f"{path}: no rows")
        self._is_all, self._first = len(rows) <= SAMPLE_LINES, rows[:SAMPLE_LINES]
        tags = tuple(dict.fromkeys(name for row in self._first for name in row[1]))
        fields = tuple(dict.fromkeys(name for row in self._first for name in row[2]))
        self.groups = (MEASUREMENT, *tags)
        self.names: tuple[str, ...] = (*self.groups, *fields, TIME)
        self._known = frozenset(self.names)

    @property
    def sample(self) -> Any:
        """The file's first rows as a batch."""
        return self._batch(self._first, self.names)

    @property
    def is_sample_all(self) -> bool:
        """Whether the sample is the whole file."""
        return self._is_all

    def batches(self, columns: list[str]) -> Iterator[Any]:
        """Record batches with these columns, in file order."""
        with packing_errors(self.path), open_raw(self.path) as raw:
            rows = self._rows(raw)
            while some := list(islice(rows, BATCH_LINES)):
                self.share = raw.share()
                yield self._batch(some, tuple(columns))

    def line(self, row: int) -> int | None:
        """The line of a row, found by reading the file again: comments and empty lines stand between rows."""
        return next((found[0] for found in islice(self._texts(), row - 1, None)), None)

    def raw_row(self, row: int) -> str:
        """A row as it stands in the file."""
        return next((found[1] for found in islice(self._texts(), row - 1, None)), "")

    def _texts(self) -> Iterator[tuple[int, str]]:
        with open_raw(self.path) as raw:
            yield from _numbered(raw, self._encoding)

    def _rows(self, raw: Raw) -> Iterator[tuple[str, dict[str, str], dict[str, str], str]]:
        for number, text in _numbered(raw, self._encoding):
            pieces = _PIECES.findall(text)
            items = _ITEMS.findall(pieces[0]) if len(pieces) == 3 else []
            if not items:
                raise DataError(f"{self.path}: line {number}: not measurement,tags fields time: {text[:60]!r}")
            measurement, *tags = items
            pairs = [[_KEY.fullmatch(item) for item in items] for items in (tags, _ITEMS.findall(pieces[1]))]
            if not all(pair for items in pairs for pair in items):
                raise DataError(f"{self.path}: line {number}: a tag or field without '=': {text[:60]!r}")
            named, fields = ({_plain(p[1]): p[2] for p in items if p} for items in pairs)
            values = {name: _value(value) for name, value in fields.items()}
            yield _plain(measurement), {n: _plain(v) for n, v in named.items()}, values, pieces[2]

    def _batch(self, rows: list[tuple[str, dict[str, str], dict[str, str], str]], names: tuple[str, ...]) -> Any:
        cells = [{MEASUREMENT: row[0], **row[1], **row[2], TIME: row[3]} for row in rows]
        for row in cells:
            if new := sorted(row.keys() - self._known):
                raise DataError(f"{self.path}: {new} come only after {SAMPLE_LINES:,} lines: put such lines first")
        columns = [pa.array([row.get(name, "") for row in cells], pa.string()) for name in names]
        return pa.RecordBatch.from_arrays(columns, names=list(names))


def _numbered(raw: Raw, encoding: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are neither empty nor comments, with their numbers from 1."""
    for number, line in enumerate(text_lines(raw.stream, encoding), 1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield number, text


def _plain(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)


def _value(text: str) -> str:
    """A field's value as a cell: an integer without its letter, true as 1 and false as 0."""
    if text.startswith('"'):
        return text[1:-1]
    return _SWITCH.get(text.lower()) or _WHOLE.sub(r"\1", text)
