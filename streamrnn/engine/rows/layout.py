"""Where each named column of a stream's row lies. Knows no rows and no device."""

from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from torch import float64, int64

from streamrnn.errors import EngineError
from streamrnn.nn.cells import State
from streamrnn.ticks import StreamRows


class Column(NamedTuple):
    """Where a named tensor lies: which slab, first column, width, whether a row is a bare number, and whether it is
    float64."""

    is_integer: bool
    start: int
    width: int
    is_scalar: bool
    is_double: bool = False


@dataclass(frozen=True, slots=True)
class RowLayout:
    """The columns of a row: W floats and V integers. Rows fit an engine if and only if their layout is its own."""

    columns: dict[str, Column]

    def width(self, is_integer: bool) -> int:
        """V of the integers, W of the floats."""
        return sum(column.width for column in self.columns.values() if column.is_integer is is_integer)

    def text(self) -> str:
        """Where each column lies, in one line that is the same for the same layout."""
        lines = [[name, _kind(column), column.start, column.width] for name, column in self.columns.items()]
        return msgspec.json.encode(lines).decode()

    def numbers(self, rows: StreamRows, name: str) -> NDArray[np.int64]:
        """(n,) the integer column of that name."""
        return rows.integers[:, self.columns[name].start]

    def has_ended(self, rows: StreamRows) -> NDArray[np.bool_]:
        """(n,) which rows tell that the stream's state has ended: it is nowhere, and older rows are void."""
        return self.numbers(rows, "last_offset") < 0

    def check(self, rows: StreamRows) -> None:
        """EngineError for rows of another layout, or of a stream twice."""
        n = len(rows.streams)
        due = (n, self.width(False)), (n, self.width(True))
        if (rows.floats.shape, rows.integers.shape) != due:
            raise EngineError(f"rows of shapes {rows.floats.shape} and {rows.integers.shape}, not {due}")
        if len(set(rows.streams)) != n:
            raise EngineError("a stream has two rows")


def lay_out(fresh: State) -> RowLayout:
    """The layout of rows like `fresh`, one row by name ((1, width) or (1,)): its columns in its order."""
    columns: dict[str, Column] = {}
    ends = {False: 0, True: 0}
    for name, row in fresh.items():
        is_double = row.dtype == float64
        is_integer = is_double or row.dtype == int64
        width = 1 if row.dim() == 1 else row.shape[1]
        columns[name] = Column(is_integer, ends[is_integer], width, row.dim() == 1, is_double)
        ends[is_integer] += width
    return RowLayout(columns)


def _kind(column: Column) -> str:
    return "float64" if column.is_double else "int64" if column.is_integer else "float32"
