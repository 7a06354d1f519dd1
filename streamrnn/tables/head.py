"""What the first 64 KiB of a text tell with certainty: encoding, separator, decimal comma, names, lines before.

Knows no columns' meaning. What is not certain is refused, with the option that says it.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from streamrnn.errors import DataError
from streamrnn.tables.description import TextForm

HEAD_BYTES = 1 << 16
LONGEST_HEAD = 1 << 24
SEPARATORS = ",;\t|"
LOOKED_AT = 20
"""Rows that must agree on a separator."""
BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_DATE = re.compile(r"\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{4}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?(\d+,(\d{1,2}|\d{4,})|\d{4,},\d+|0,\d+)")
_WITH_COMMA = re.compile(r"[+-]?\d+(,\d+)+")
_ANNOTATION = re.compile(r"#(group|datatype|default)\b")


class Head(NamedTuple):
    """How a text is written, and its first rows.

    bom: bytes before it; skip: lines before the names; names: as the file has them, or as given (then has_names is
    off); rows: complete ones; is_all: there are no others. groups: columns by which InfluxDB grouped its series.
    said: what was found out, in words.
    """

    encoding: str
    bom: int
    separator: str
    decimal: str
    skip: int
    comments: tuple[str, ...]
    names: tuple[str, ...]
    has_names: bool
    rows: list[list[str]]
    is_all: bool
    groups: tuple[str, ...]
    said: tuple[str, ...]


class NumberedLine(NamedTuple):
    """A line that is read: its number in the file, from 1, and its text with its end."""

    number: int
    text: str


def kept(lines: Iterator[str], skip: int, comments: tuple[str, ...]) -> Iterator[NumberedLine]:
    """Yield the lines that are read.

    The first `skip` lines and comments are left out. A line within quotes is no comment, however it begins.
    """
    is_quoted = False
    for number, text in enumerate(lines, 1):
        if number <= skip or (not is_quoted and comments and text.startswith(comments)):
            continue
        is_quoted ^= bool(text.count('"') & 1)
        yield NumberedLine(number, text)


def read_head(path: Path, stream: IO[bytes], given: TextForm) -> Head:
    """Find out from the first bytes of a stream how the text is written; DataError where they leave that open."""
    raw, is_all = _first(stream, given.skip + 2)
    encoding, bom = _encoding(raw, given)
    text = _decoded(path, raw[bom:], encoding)
    skip, comments, separator, said = _before(text, given)
    annotations = [line for line in text.splitlines()[:LOOKED_AT] if _ANNOTATION.match(line)]
    lines = list(kept(iter(io.StringIO(text, newline="")), skip, comments))
    if not is_all and lines:
        lines.pop()
    separator = separator or _separator(path, [line.text for line in lines], given)
    rows = _rows(lines, separator)
    if not is_all and rows:
        rows.pop()
    names = given.names or tuple(rows.pop(0) if rows else ())
    if given.names is None:
        _refuse_data(path, names, rows)
    rows = [row for row in rows if len(row) == len(names)]
    decimal = given.decimal or ("." if given.thousands == "," else _decimal(separator, rows))
    if separator != ",":
        said.append(f"separator {separator!r}")
    if decimal == ",":
        said.append("decimal comma")
    if encoding != "utf-8":
        said.append(encoding)
    groups = _groups(annotations, names, separator)
    return Head(
        encoding,
        bom,
        separator,
        decimal,
        skip,
        comments,
        names,
        given.names is None,
        rows,
        is_all,
        groups,
        tuple(said),
    )


def _first(stream: IO[bytes], lines: int) -> tuple[bytes, bool]:
    """The first bytes, and whether they are the whole file.

    More is read where the first bytes hold fewer than `lines` lines.
    """
    raw = b""
    while len(raw) < HEAD_BYTES or (raw.count(b"\n") <= lines and len(raw) < LONGEST_HEAD):
        part = stream.read(max(HEAD_BYTES - len(raw), 1 << 12))
        if not part:
            return raw, True
        raw += part
    return raw, False


def _encoding(raw: bytes, given: TextForm) -> tuple[str, int]:
    """The encoding's name, and the length in bytes of the mark that says so.

    The length is 0 for utf-16, whose decoder reads the mark itself.
    """
    marked = next(((name, mark) for mark, name in BOMS if raw.startswith(mark)), None)
    if given.encoding is not None:
        try:
            io.TextIOWrapper(io.BytesIO(), given.encoding)
            name = codecs.lookup(given.encoding).name
        except LookupError:
            raise DataError(f"--encoding {given.encoding!r}: Python knows no such encoding of text") from None
        return name.removesuffix("-sig"), len(codecs.BOM_UTF8) if name == "utf-8-sig" and marked else 0
    if marked is None:
        return "utf-8", 0
    return marked[0], len(marked[1]) if marked[0] == "utf-8" else 0


def _decoded(path: Path, raw: bytes, encoding: str) -> str:
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(raw)
    except UnicodeDecodeError as error:
        line, byte = raw[: error.start].count(b"\n") + 1, raw[error.start]
        hint = "--encoding says what it is, such as latin-1 or cp1252"
        raise DataError(f"{path}: line {line}: byte 0x{byte:02x} is not {encoding}; {hint}") from None
    except UnicodeError as error:
        raise DataError(f"{path}: not {encoding}: {error}; --encoding says what it is") from None
    if "\0" in text:
        raise DataError(f"{path}: not text in {encoding}: it holds a zero; --encoding utf-16 or utf-16-le?")
    return text


def _before(text: str, given: TextForm) -> tuple[int, tuple[str, ...], str | None, list[str]]:
    """Lines to skip, what begins a comment, the separator if a line sep= names one, and all three in words."""
    said, separator, skip, comments = [], given.separator, given.skip, given.comments
    lines = text.splitlines()
    named = re.fullmatch(r"\"?sep=(.)\"?", lines[skip]) if len(lines) > skip else None
    if named:
        separator, skip = separator or named[1], skip + 1
        said.append("line 'sep=' left out")
    if not comments and any(_ANNOTATION.match(line) for line in lines[skip : skip + 1]):
        comments = ("#",)
        said.append("annotations '#' left out")
    while not comments and skip < len(lines) and lines[skip].startswith("#"):
        skip += 1
    if skip - given.skip - bool(named):
        said.append(f"{skip - given.skip - bool(named)} lines '#' before the names left out")
    return skip, comments, separator, said


def _separator(path: Path, lines: list[str], given: TextForm) -> str:
    """The separator that splits each of the first rows into equally many cells.

    Where no separator does, it is the one that splits the first row.
    """
    some = [line for line in lines if line.strip()][:LOOKED_AT]
    counts = {mark: {len(row) for row in csv.reader(some, delimiter=mark) if row} for mark in SEPARATORS}
    found = [mark for mark, widths in counts.items() if len(widths) == 1 and widths != {1}]
    if not found:
        found = [mark for mark in SEPARATORS if some and len(next(csv.reader(some, delimiter=mark), [])) > 1]
    if len(found) > 1:
        raise DataError(f"{path}: which of {', '.join(map(repr, found))} separates its columns? --separator says")
    return found[0] if found else ","


def _rows(lines: list[NumberedLine], separator: str) -> list[list[str]]:
    return [row for row in csv.reader((line.text for line in lines), delimiter=separator) if row]


def _refuse_data(path: Path, names: tuple[str, ...], rows: list[list[str]]) -> None:
    """Raise DataError for a first row that can only be data: it has dates or fractions, and no word."""
    dated = any(_DATE.match(name.strip()) for name in names)
    fraction = any("." in name for name in names)
    is_data = all(not name or _DATE.match(name.strip()) or _NUMBER.fullmatch(name.strip()) for name in names)
    if names and rows and is_data and (dated or fraction):
        form = ",".join(["time", *(chr(97 + n) for n in range(min(len(names), 20) - 1))])
        raise DataError(f"{path}: its first row is data, not names: {names[:6]!r}; --names {form} names them")


def _decimal(separator: str, rows: list[list[str]]) -> str:
    """The decimal sign: a comma or a point.

    It is a comma where each column of numbers with commas has a cell in which the comma can only be decimal, and no
    cell has a point.
    """
    if separator == ",":
        return "."
    columns = [{cell.strip() for cell in column} - {""} for column in zip(*rows, strict=True)]
    numeric = [cells for cells in columns if all(_NUMBER.fullmatch(c.replace(",", "")) for c in cells)]
    has_point = any("." in cell for cells in numeric for cell in cells)
    with_comma = [cells for cells in numeric if any("," in cell for cell in cells)]
    is_certain = with_comma and all(any(map(_DECIMAL_COMMA.fullmatch, cells)) for cells in with_comma)
    return "," if is_certain and not has_point else "."


def is_ambiguous_comma(text: str) -> bool:
    """Whether a comma in a cell may separate thousands, or be decimal."""
    return _WITH_COMMA.fullmatch(text.strip()) is not None


def _groups(annotations: list[str], names: tuple[str, ...], separator: str) -> tuple[str, ...]:
    """The names of the columns that InfluxDB's line '#group' marks as true."""
    for cells in csv.reader([line for line in annotations if line.startswith("#group")], delimiter=separator):
        return tuple(name for name, mark in zip(names, cells, strict=False) if mark == "true")
    return ()
