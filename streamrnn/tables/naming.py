"""Which column is what: time, streams, features. What names and first rows leave open is refused, never guessed."""

import difflib
import re
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamrnn.errors import DataError
from streamrnn.tables.description import TableColumns
from streamrnn.tables.files import File, where
from streamrnn.tables.head import is_ambiguous_comma
from streamrnn.tables.numbers import NUMBER, SWITCHES, Bad, NumberReader

TIME_NAME = re.compile(r"_?(time|timestamp|date|datetime|ts)(_(s|ms|us|ns))?", re.IGNORECASE)
ROW_NAME = re.compile(r"id|index|row|row_?(id|number)|#", re.IGNORECASE)
ISO = r"^\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$"
PANDAS_INDEX = re.compile(r"Unnamed: ?\d+|__index_level_\d+__")
INFLUX_OWN = ("result", "table", "_start", "_stop", "_time")


class Naming(NamedTuple):
    """The columns taken: of time, of streams, of numbers; whole: those of integers. said: what was left out."""

    time: tuple[str, ...]
    streams: tuple[str, ...]
    numbers: tuple[str, ...]
    whole: frozenset[str]
    said: tuple[str, ...]


def name_columns(file: File, columns: TableColumns, read: NumberReader) -> Naming:
    """Decide which column is what; DataError where names and first rows leave that open."""
    sample = file.sample
    said: list[str] = []
    time, streams = _time(file, columns, sample), tuple(_known(file, name) for name in columns.stream)
    groups = file.groups
    if groups and not streams and columns.one_stream is None:
        raise DataError(f"{file.path}: several series: --stream-column {','.join(groups)!r} tells them apart")
    if columns.features is not None:
        numbers = tuple(_known(file, name) for name in columns.features)
    else:
        others = [name for name in file.names if name and name not in {*time, *streams, *groups}]
        others = [name for name in others if not (groups and name in INFLUX_OWN)]
        numbers, said = _features(file, sample, others, read)
    if not numbers:
        raise DataError(f"{file.path}: no column holds only numbers: --features names them; {_list(file.names)}")
    if twice := [name for name, count in Counter(numbers).items() if count > 1]:
        raise DataError(f"{file.path}: columns named twice: {', '.join(map(repr, twice))}; --names gives others")
    whole = frozenset(name for name in numbers if _is_whole(sample.column(name)))
    return Naming(time, streams, numbers, whole, tuple(said))


def _time(file: File, columns: TableColumns, sample: Any) -> tuple[str, ...]:
    if columns.every_ms is not None:
        return ()
    if columns.time:
        return tuple(_known(file, name) for name in columns.time)
    named = [name for name in file.names if TIME_NAME.fullmatch(name.strip())]
    if len(named) > 1:
        shown = ", ".join(map(repr, named))
        raise DataError(f"{file.path}: which of {shown} is the time column? --time-column says, A,B joins two")
    typed = [name for name, column in zip(sample.schema.names, sample.columns, strict=True) if _is_time(column)]
    if not named and not typed:
        asked = "which is the time column, or how far apart are the rows?"
        hint = "--time-column or --every says; --names if the first row is data"
        raise DataError(f"{file.path}: {asked} {_list(file.names)}; {hint}")
    return (_known(file, (named or typed)[0]),)


def _is_time(column: Any) -> bool:
    """Whether a column's type is a timestamp or a date, or all its texts are ISO 8601."""
    kind = column.type
    if pa.types.is_string(kind):
        return bool(len(column)) and bool(pc.all(pc.match_substring_regex(column, ISO)).as_py())
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _features(file: File, sample: Any, names: list[str], read: NumberReader) -> tuple[tuple[str, ...], list[str]]:
    """The columns whose first rows are all numbers, and what else was found, in words."""
    found, said = [], []
    for name in names:
        if file.names.count(name) > 1:
            found.append(name)
            continue
        column = sample.column(name)
        if _numbers_rows(file, name, column, read):
            said.append(f"{name!r} numbers the rows and is left out")
        elif _is_number(file, name, column, read):
            found.append(name)
        elif _is_switch(column):
            said.append(f"{name!r} holds on and off or true and false: 1 and 0 if --features names it")
        elif file.is_text and (count := _count_numbers(column)):
            said.append(f"{name!r} is left out: only {count:,} of its first {len(column):,} cells are numbers")
    return tuple(found), said


def _is_number(file: File, name: str, column: Any, read: NumberReader) -> bool:
    """Whether a column is of numbers; DataError for one that nearly is.

    A column without a value in the first rows counts as one: its sensor may start later.
    """
    if not file.is_text:
        return is_number(column.type)
    try:
        read.read(column)
    except Bad as bad:
        if bad.text is None:
            return True
        if 2 * _count_numbers(column) < (pc.sum(pc.not_equal(column, "")).as_py() or 0):
            return False
        row = bad.index + 1
        raise DataError(f"{where(file, row, name)}{bad}{no_number(file, row, bad.text)}") from None
    return True


def is_number(kind: Any) -> bool:
    """Whether a type is of numbers. The type of a column without a value counts as one."""
    is_ = pa.types
    return bool(is_.is_integer(kind) or is_.is_floating(kind) or is_.is_decimal(kind) or is_.is_null(kind))


def _count_numbers(column: Any) -> int:
    return int(pc.sum(pc.match_substring_regex(pc.utf8_trim_whitespace(column), NUMBER)).as_py() or 0)


def no_number(file: File, row: int, text: str) -> str:
    """The options that may help with a cell that is no number, in words."""
    if is_ambiguous_comma(text):
        return "; a decimal comma (--decimal ,) or thousands (--thousands ,)?"
    raw = file.raw_row(row)
    line = f", or --comment={raw[:20]!r} if such lines are to be left out" if raw else ""
    return f"; does it mean a missing one? --missing={text!r}{line}, or --features without it"


def _numbers_rows(file: File, name: str, column: Any, read: NumberReader) -> bool:
    """Whether a column only counts the rows; DataError where its name says so and its numbers do not."""
    if not _is_whole(column) or not len(column):
        return False
    if PANDAS_INDEX.fullmatch(name):
        return True
    if not ROW_NAME.fullmatch(name):
        return False
    if (np.diff(read.read(column)) == 1).all():
        return True
    raise DataError(f"{file.path}: does column {name!r} measure anything? --features names those that do")


def _is_whole(column: Any) -> bool:
    """Whether a column is of integers. Cells of a text may be empty."""
    if pa.types.is_string(column.type):
        cells = column.filter(pc.not_equal(column, ""))
        return bool(len(cells)) and bool(pc.all(pc.match_substring_regex(cells, r"^[+-]?\d+$")).as_py())
    return bool(pa.types.is_integer(column.type))


def _is_switch(column: Any) -> bool:
    if pa.types.is_boolean(column.type):
        return True
    return pa.types.is_string(column.type) and set(pc.unique(pc.utf8_lower(column)).to_pylist()) <= {*SWITCHES, ""}


def _known(file: File, name: str) -> str:
    names = file.names
    if names.count(name) == 1:
        return name
    if name in names:
        raise DataError(f"{file.path}: {names.count(name)} columns are called {name!r}; --names gives others")
    close = difflib.get_close_matches(name.lower(), [n.lower() for n in names], n=1, cutoff=0.4)
    nearest = next((n for n in names if close and n.lower() == close[0]), None)
    hint = f"did you mean {nearest!r}?" if nearest is not None else _list(names)
    if nearest is not None and "," in nearest:
        quoted = f'"{nearest}"'
        hint += f" Put it in double quotes: {quoted!r}"
    raise DataError(f"{file.path}: no column {name!r}; {hint}")


def _list(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"its columns: {', '.join(map(repr, names[:12]))}{more}"


def some(names: tuple[str, ...]) -> str:
    """A list of names for people, written as Python writes texts, so that no name steers the terminal."""
    return ", ".join(map(repr, names[:8])) + (", ..." if len(names) > 8 else "")


def find_empty(file: File, names: tuple[str, ...], read: NumberReader) -> tuple[str, ...]:
    """The columns without any number in the whole file. The file is read until each column has one."""
    sample = file.sample
    empty = [name for name in names if _has_none(sample.column(name), read)]
    if not empty or file.is_sample_all:
        return tuple(empty) if sample.num_rows else ()
    for batch in file.batches(empty):
        empty = [name for name in empty if _has_none(batch.column(name), read)]
        if not empty:
            return ()
    return tuple(empty)


def _has_none(column: Any, read: NumberReader) -> bool:
    """Whether a column has no number. A wrong cell counts as one: reading the table names it with its place."""
    try:
        return bool(np.isnan(read.read(column)).all())
    except Bad:
        return False
