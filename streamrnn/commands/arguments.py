"""Argument types of the command line, and the options that say what is where in a table. Knows no command."""

import argparse
import csv
import math
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from streamrnn.tables.description import TableColumns

LARGEST_COUNT = (1 << 31) - 1
"""What every library takes."""
MOST_COUNTS = 1 << 16
FILE_KINDS = ".csv, .tsv, .txt, .lp, .line (perhaps with .gz, .zst, .zip), .parquet or .pq files"


def positive(text: str) -> float:
    """Read a number above 0."""
    with suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")


def count(text: str) -> int:
    """Read a whole number above 0."""
    with suppress(ValueError):
        if 0 < int(text) <= LARGEST_COUNT:
            return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to {LARGEST_COUNT}")


def not_negative(text: str) -> float:
    """Read a number from 0 on."""
    with suppress(ValueError):
        if 0 <= float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")


def share(text: str) -> float:
    """Read a number from 0 to below 1."""
    with suppress(ValueError):
        if 0 <= float(text) < 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to below 1")


def part(text: str) -> float:
    """Read a number from 0 to 1."""
    with suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 1")


def shares(text: str) -> tuple[float, ...]:
    """Read three shares with commas between: what training, validation and test get of the time."""
    found = numbers(text)
    if len(found) != 3:
        raise argparse.ArgumentTypeError(f"{text!r}: three shares, not {len(found)}")
    if min(found) < 0 or 0 in (found[0], found[2]) or abs(sum(found) - 1) > 1e-6:
        raise argparse.ArgumentTypeError(f"{text!r}: shares sum to 1, only that of validation may be 0")
    return found


def offsets(text: str) -> tuple[int, int | None, int | None]:
    """Read PARTITION:FROM-TO. Either offset may be left out."""
    partition, colon, span = text.partition(":")
    first, dash, last = span.partition("-")
    parts = (partition, first or "0", last or "0")
    if not (colon and dash and all(part.isdecimal() for part in parts)):
        raise argparse.ArgumentTypeError(f"{text!r} is not like 3:1000-2000")
    return int(partition), int(first) if first else None, int(last) if last else None


def moment(text: str) -> int:
    """Read an ISO 8601 time as ms since the epoch. A time without a zone is UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


def names(text: str) -> tuple[str, ...]:
    """Read names with commas between. A name with a comma in it stands in double quotes."""
    found = tuple(next(csv.reader([text]), []))
    if not found or not all(found):
        raise argparse.ArgumentTypeError(f"{text!r}: a name is empty")
    return found


def numbers(text: str) -> tuple[float, ...]:
    """Read numbers with commas between."""
    with suppress(ValueError):
        found = tuple(float(part) for part in text.split(","))
        if all(map(math.isfinite, found)):
            return found
    raise argparse.ArgumentTypeError(f"{text!r}: not numbers with commas between")


def counts(text: str) -> tuple[int, ...]:
    """Read whole numbers above 0 with commas between. 1-4 stands for 1,2,3,4."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        span = range(count(first), count(last if dash else first) + 1)
        if not span or len(found) + len(span) > MOST_COUNTS:
            raise argparse.ArgumentTypeError(f"{part!r}: the lower one first, {MOST_COUNTS} numbers at most")
        found += span
    return tuple(found)


def separator(text: str) -> str:
    """Read one character. tab and \\t are the tab."""
    found = {"tab": "\t", "\\t": "\t"}.get(text, text)
    if len(found) != 1 or found in '"\r\n':
        raise argparse.ArgumentTypeError(f"{text!r} is not one character, or cannot separate")
    return found


def natural(text: str) -> int:
    """Read a whole number from 0 on."""
    return 0 if text == "0" else count(text)


class OneOf(TypedDict):
    """What argparse is told of an option with a few values."""

    choices: tuple[str, ...]
    metavar: str


def one_of(*values: str) -> OneOf:
    """An option's choice among these values, shown as a|b, as the settings show theirs."""
    return {"choices": values, "metavar": "|".join(values)}


def add_table_arguments(parser: argparse._ActionsContainer) -> None:
    """Add the options that say what is where in a file and how its text is written: TableColumns and TextForm."""
    add = parser.add_argument
    add("--stream-column", type=names, default=(), metavar="NAME", help="column that names the stream; A,B: A/B")
    add("--one-stream", metavar="NAME", help="all rows of all files are this stream (default: each file is one)")
    add(
        "--time-column",
        type=names,
        default=(),
        metavar="NAME",
        help="column of event time; A,B joins two (default: time, timestamp, date, datetime, ts)",
    )
    add("--time-format", metavar="FORM", help="s, ms, us, ns or such as %%m/%%d/%%Y, where it is not ISO 8601")
    add("--every", type=positive, metavar="SECONDS", help="time between rows of a file without a time column")
    add("--start", type=moment, default=0, metavar="TIME", help="time of the first of these (default: 1970-01-01)")
    add("--order", **one_of("check", "sort"), default="check", help="refuse times that run back, or sort")
    add("--features", type=names, metavar="A,B", help="columns to take (default: all numeric ones)")
    add("--wide", action="store_true", help="every column is a stream of its own, its feature is called value")
    add(
        "--missing",
        action="append",
        default=[],
        metavar="TEXT",
        help="text or number that means no value, besides NA, NaN, null; may be repeated",
    )
    add("--separator", type=separator, metavar="C", help="between columns (default: what all first rows have)")
    add("--decimal", **one_of(".", ","), help="decimal point or comma")
    add("--thousands", type=separator, metavar="C", help="between groups of three digits (default: none)")
    add("--encoding", metavar="NAME", help="of text, such as latin-1 or cp1252 (default: UTF-8, or by its mark)")
    add("--skip", type=natural, default=0, metavar="LINES", help="lines before the names")
    add(
        "--comment",
        action="append",
        default=[],
        metavar="TEXT",
        help="leave out lines that begin so: comments, units, totals; may be repeated",
    )
    add("--names", type=names, metavar="A,B", help="of the columns of a file without a line of names")


def columns_of(args: argparse.Namespace) -> "TableColumns":
    """What the options of add_table_arguments say, as one value."""
    from streamrnn.tables.description import TableColumns, TextForm

    form = TextForm(
        encoding=args.encoding,
        separator=args.separator,
        decimal=args.decimal,
        thousands=args.thousands,
        skip=args.skip,
        comments=tuple(args.comment),
        names=args.names,
    )
    return TableColumns(
        stream=args.stream_column,
        time=args.time_column,
        features=args.features,
        wide=args.wide,
        one_stream=args.one_stream,
        missing=tuple(args.missing),
        time_format=args.time_format,
        every_ms=None if args.every is None else round(args.every * 1000),
        start_ms=args.start,
        order=args.order,
        form=form,
    )
