"""Argument types of the command line, and the options that say what is where in a table. Knows no command."""

import argparse
import math
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamrnn.train.tables import Columns

LARGEST_COUNT = (1 << 31) - 1
"""What every library takes."""
MOST_COUNTS = 1 << 16


def positive(text: str) -> float:
    """A number above 0."""
    with suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")


def count(text: str) -> int:
    """A whole number above 0."""
    with suppress(ValueError):
        if 0 < int(text) <= LARGEST_COUNT:
            return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to {LARGEST_COUNT}")


def not_negative(text: str) -> float:
    """A number from 0 on."""
    with suppress(ValueError):
        if 0 <= float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")


def share(text: str) -> float:
    """A number from 0 to below 1."""
    with suppress(ValueError):
        if 0 <= float(text) < 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to below 1")


def moment(text: str) -> int:
    """ISO 8601, UTC if it names no zone, to ms since the epoch."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


def names(text: str) -> tuple[str, ...]:
    """Names with commas between."""
    found = tuple(text.split(","))
    if not all(found):
        raise argparse.ArgumentTypeError(f"{text!r}: a name is empty")
    return found


def numbers(text: str) -> tuple[float, ...]:
    """Numbers with commas between."""
    with suppress(ValueError):
        found = tuple(float(part) for part in text.split(","))
        if all(map(math.isfinite, found)):
            return found
    raise argparse.ArgumentTypeError(f"{text!r}: not numbers with commas between")


def counts(text: str) -> tuple[int, ...]:
    """Whole numbers above 0 with commas between; 1-4 stands for 1,2,3,4."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        span = range(count(first), count(last if dash else first) + 1)
        if not span or len(found) + len(span) > MOST_COUNTS:
            raise argparse.ArgumentTypeError(f"{part!r}: the lower one first, {MOST_COUNTS} numbers at most")
        found += span
    return tuple(found)


def add_table_arguments(parser: argparse.ArgumentParser) -> None:
    """What is where in a CSV or Parquet file; see Columns."""
    add = parser.add_argument
    add("--stream-column", metavar="NAME", help="column that names the stream (default: one, named as the file)")
    add("--time-column", metavar="NAME", help="column of event time (default: time, timestamp, date, datetime, ts)")
    add("--time-format", metavar="FORM", help="s, ms, us, ns or such as %%m/%%d/%%Y, where it is not ISO 8601")
    add("--every", type=positive, metavar="SECONDS", help="time between rows of a file without a time column")
    add("--start", type=moment, default=0, metavar="TIME", help="time of the first of these (default: 1970-01-01)")
    add("--features", type=names, metavar="A,B", help="columns to take (default: all numeric ones)")
    add("--wide", action="store_true", help="every column is a stream of its own, its feature is called value")
    add("--missing", action="append", default=[], metavar="TEXT", help="also means no value, besides NA, NaN, null")


def columns_of(args: argparse.Namespace) -> "Columns":
    """What add_table_arguments was told."""
    from streamrnn.train.tables import Columns

    return Columns(
        stream=args.stream_column,
        time=args.time_column,
        features=args.features,
        wide=args.wide,
        missing=tuple(args.missing),
        time_format=args.time_format,
        every_ms=None if args.every is None else round(args.every * 1000),
        start_ms=args.start,
    )
