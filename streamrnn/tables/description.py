"""What a user says of a file: how its text is written and what is in which column. Knows no file."""

import re
from dataclasses import dataclass, field
from typing import Literal

from streamrnn.errors import DataError

EPOCH_UNITS = ("s", "ms", "us", "ns")
_DATED = re.compile(r"%[YycxG]")


@dataclass(frozen=True, slots=True)
class TextForm:
    """How text is written; what is None is found out where that is certain, and refused where it is not.

    skip: lines before the names. comments: lines that begin so are left out, wherever they stand: comments, units,
    totals. names: of the columns, where the file has no line of names.
    """

    encoding: str | None = None
    separator: str | None = None
    decimal: Literal[".", ","] | None = None
    thousands: str | None = None
    skip: int = 0
    comments: tuple[str, ...] = ()
    names: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class TableColumns:
    """What is where in a table, in which order its rows come, and its form.

    stream: the columns that name the stream, a slash between; none: all rows are one stream, named as the file.
    one_stream: its name instead, for the rows of all files. time: the columns of event time, joined by spaces;
    none: the one called time, timestamp, date, datetime or ts (any case, perhaps with _s, _ms, _us, _ns), else the
    first of a timestamp's or date's type. features: None: all numeric columns that have a name, but those and what
    numbers the rows. wide: each feature is a stream of its own whose only feature is "value".
    missing: texts or numbers that mean no value, besides NA, NaN, null and their like.
    time_format: for times that are neither ISO 8601 nor told by their size (see EDGES): s, ms, us, ns, or a form
    such as %m/%d/%Y. every_ms: there is no time column, row i (from 0) is at start_ms + i * every_ms.
    order: sort by time, or check that no stream's time runs back.
    """

    stream: tuple[str, ...] = ()
    time: tuple[str, ...] = ()
    features: tuple[str, ...] | None = None
    wide: bool = False
    one_stream: str | None = None
    missing: tuple[str, ...] = ()
    time_format: str | None = None
    every_ms: int | None = None
    start_ms: int = 0
    order: Literal["check", "sort"] = "check"
    form: TextForm = field(default_factory=TextForm)

    def check(self) -> None:
        """Raise DataError where two options contradict each other."""
        form = self.time_format
        if form is not None and form not in EPOCH_UNITS and "%" not in form:
            raise DataError(f"time format {form!r}: must be s, ms, us, ns, or a form such as %m/%d/%Y")
        if form is not None and "%" in form and not _DATED.search(form):
            raise DataError(f"time format {form!r} has no date: --time-column DATE,TIME joins two columns")
        if self.wide and self.stream:
            raise DataError(f"a wide table's streams are its columns, not named in {self.stream[0]!r}")
        if self.one_stream is not None and self.stream:
            raise DataError(f"either one stream {self.one_stream!r} or --stream-column, not both")
        if self.every_ms is not None and self.time:
            raise DataError("either a time column or the time between rows (--every), not both")
        if self.form.thousands is not None and self.form.thousands == self.form.decimal:
            raise DataError(f"--thousands and --decimal are both {self.form.decimal!r}")
