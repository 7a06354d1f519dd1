"""Delimited text as record batches whose every column is text; errors with row and line. Knows no meaning."""

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.csv

from streamrnn.errors import DataError
from streamrnn.tables.description import TextForm
from streamrnn.tables.files import BLOCK_BYTES
from streamrnn.tables.head import kept, read_head
from streamrnn.tables.raw import Reader, open_raw, packing_errors

_LOCATED = re.compile(r"(?:In CSV column #(\d+): )?(?:CSV parse error: )?Row #(\d+): (.*)", re.DOTALL)


class Text:
    """A file of delimited text, perhaps packed."""

    is_text: ClassVar[bool] = True

    def __init__(self, path: Path, form: TextForm, block_bytes: int = BLOCK_BYTES) -> None:
        self.path, self.share, self._block_bytes = path, 0.0, block_bytes
        with packing_errors(path), open_raw(path) as raw:
            self.head = read_head(path, raw.stream, form)
        self.names, self.said = self.head.names, self.head.said
        self.groups, self.decimal = self.head.groups, self.head.decimal
        if not self.names:
            raise DataError(f"{path}: Empty CSV file")

    @cached_property
    def sample(self) -> Any:
        """The file's first rows as a batch."""
        rows = self.head.rows
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(self.names)
        return pa.RecordBatch.from_arrays([pa.array(c, pa.string()) for c in columns], names=list(self.names))

    @property
    def is_sample_all(self) -> bool:
        """Whether the sample is the whole file."""
        return self.head.is_all

    def batches(self, columns: list[str]) -> Iterator[Any]:
        """Record batches with these columns, in file order."""
        with self._errors(), open_raw(self.path) as raw:
            self.share, source = 0.0, Reader(raw.stream)
            for number, batch in enumerate(self._parse(self._utf8(source), columns), 1):
                # What is parsed lags behind what is read.
                parsed = min(number * self._block_bytes / max(source.count, 1), 1.0)
                self.share = max(self.share, raw.share() * parsed)
                yield batch

    def line(self, row: int) -> int | None:
        """The line of a row, found by reading the file again.

        Quoted fields may have line breaks, and empty lines and comments stand between rows.
        """
        with packing_errors(self.path):
            return next((found[0] for found in islice(self._lines(), row - 1, None)), None)

    def raw_row(self, row: int) -> str:
        """A row as it stands in the file."""
        with packing_errors(self.path):
            return next((found[1] for found in islice(self._lines(), row - 1, None)), "")

    def _lines(self) -> Iterator[tuple[int, str]]:
        """Yield the number of each row's last line, and the row's text."""
        head = self.head
        with open_raw(self.path) as raw:
            raw.stream.read(head.bom)
            text = io.TextIOWrapper(io.BufferedReader(Reader(raw.stream)), head.encoding, "replace", newline="")
            last: list[tuple[int, str]] = []

            def fed() -> Iterator[str]:
                for line in kept(iter(text), head.skip, head.comments):
                    last.append((line.number, line.text))
                    yield line.text

            for number, fields in enumerate(filter(None, csv.reader(fed(), delimiter=head.separator))):
                if number >= head.has_names and fields:
                    yield last[-1][0], "".join(line for _, line in last).strip("\r\n")
                last.clear()

    def _utf8(self, source: Reader) -> Any:
        """The text as pyarrow takes it: in UTF-8, without the mark, without skipped lines and comments."""
        head = self.head
        source.read(head.bom)
        if head.encoding == "utf-8" and not head.comments:
            lines = io.BufferedReader(source, self._block_bytes)
            for _ in range(head.skip):
                lines.readline()
            return lines
        text = io.TextIOWrapper(io.BufferedReader(source, self._block_bytes), head.encoding, newline="")
        return io.BufferedReader(_Joined(line.text for line in kept(iter(text), head.skip, head.comments)))

    def _parse(self, stream: Any, columns: list[str]) -> Any:
        head, kinds = self.head, dict.fromkeys(columns, pa.string())
        return pyarrow.csv.open_csv(
            stream,
            # Without threads the rows in its errors have numbers.
            read_options=pyarrow.csv.ReadOptions(
                block_size=self._block_bytes, use_threads=False, column_names=None if head.has_names else head.names
            ),
            parse_options=pyarrow.csv.ParseOptions(delimiter=head.separator, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(column_types=kinds, include_columns=list(kinds)),
        )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Make pyarrow's errors DataErrors that name row and line."""
        try:
            with packing_errors(self.path):
                yield
        except DataError as error:
            located = _LOCATED.match(str(error.__cause__)) if error.__cause__ is not None else None
            if located is None:
                raise
            raise self._located(*located.groups()) from error.__cause__

    def _located(self, column: str | None, row: str, said: str) -> DataError:
        number, reason = int(row) - self.head.has_names, repr(said)[1:-1]
        at = f"{self.path}: row {number} (line {self.line(number)}), "
        if column:
            encoding = " --encoding says what it is" if "UTF8" in said else ""
            return DataError(f"{at}column {self.names[int(column)]!r}: {reason};{encoding}")
        hint = f"--comment {self.raw_row(number)[:20]!r} leaves such lines out, --skip N those before the names"
        return DataError(f"{at}{reason}; {hint}")


class _Joined(io.RawIOBase):
    """Lines as a stream of bytes."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines, self._left = lines, b""

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        parts, size = [self._left], len(self._left)
        while size < len(into) and (line := next(self._lines, None)) is not None:
            parts.append(line.encode())
            size += len(parts[-1])
        data = b"".join(parts)
        self._left = data[len(into) :]
        data = data[: len(into)]
        into[: len(data)] = data
        return len(data)
