"""Byte strings as columns: where each lies in one buffer, so that compiled code reads them without an object each.

Shapes: n strings.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate, compress
from typing import Any, Self, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

RowChoice = slice | NDArray[np.intp] | NDArray[np.bool_]
"""Which rows of columns: a slice, their numbers (m,) in any order, or for each of n whether it is one (n,)."""
NONE = -1
"""The size of a string that is None."""
Buffers = dict[tuple[int, ...], NDArray[np.uint8]]
"""Joined buffers, by the ids of those that they were joined of."""


class Spans(Sequence[bytes]):
    """n byte strings in one buffer: data (b,) uint8; starts (n,) int64; sizes (n,) int64, NONE for None.

    A sequence of `bytes` for whoever wants objects, made on demand. Spans without None are typed as they are; a
    caller that has None among them asks `at` and `tolist`.
    """

    __slots__ = ("data", "sizes", "starts")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, data: NDArray[np.uint8], starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
        self.data, self.starts, self.sizes = data, starts, sizes

    @classmethod
    def of(cls, strings: Sequence[bytes | None]) -> Self:
        """Copies of strings, one behind the other."""
        sizes = np.fromiter((NONE if s is None else len(s) for s in strings), np.int64, len(strings))
        held = np.maximum(sizes, 0)
        data = np.frombuffer(bytearray().join(s or b"" for s in strings), np.uint8)  # writable: see `uniform`
        return cls(data, np.cumsum(held) - held, sizes)

    @classmethod
    def joined(cls, parts: "Sequence[Spans]", made: "Buffers | None" = None) -> "Spans":
        """The strings of several, in their order, in a buffer of their own.

        `made` is shared by columns that are joined together: those that lay in the same buffers do so afterwards.
        """
        if len(parts) == 1:
            return parts[0]
        made, which = {} if made is None else made, tuple(id(part.data) for part in parts)
        if which not in made:
            made[which] = np.concatenate([part.data for part in parts])
        before = accumulate((len(part.data) for part in parts), initial=0)
        starts = np.concatenate([part.starts + b for part, b in zip(parts, before, strict=False)])
        return cls(made[which], starts, np.concatenate([part.sizes for part in parts]))

    def take(self, rows: RowChoice) -> "Spans":
        """Some of the strings, in the same buffer."""
        return Spans(self.data, self.starts[rows], self.sizes[rows])

    def parts(self) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
        """Data, starts and sizes as compiled code takes them: see `uniform`."""
        return uniform(self.data), uniform(self.starts), uniform(self.sizes)

    @property
    def has_none(self) -> bool:
        """Whether a string is None."""
        return bool((self.sizes < 0).any())

    def at(self, row: SupportsIndex) -> bytes | None:
        """One string, or None."""
        start, size = int(self.starts[row]), int(self.sizes[row])
        return None if size < 0 else self.data[start : start + size].tobytes()

    def tolist(self) -> list[bytes | None]:
        """All of them as objects, in a third of the time that one by one takes."""
        starts, stops = self.starts.tolist(), (self.starts + self.sizes).tolist()
        lowest, highest = min(starts, default=0), max(stops, default=0)
        held = self.data[lowest:highest].tobytes()
        found: list[bytes | None] = [
            held[start - lowest : stop - lowest] for start, stop in zip(starts, stops, strict=True)
        ]
        for row in np.flatnonzero(self.sizes < 0).tolist():
            found[row] = None
        return found

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, row: SupportsIndex) -> bytes: ...
    @overload
    def __getitem__(self, row: slice) -> "Spans": ...
    def __getitem__(self, row: SupportsIndex | slice) -> "bytes | Spans":
        return self.take(row) if isinstance(row, slice) else self.at(row)  # type: ignore[return-value]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.tolist())  # type: ignore[arg-type]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, bytes):
            return NotImplemented
        return len(self) == len(other) and self.tolist() == list(other)

    def __repr__(self) -> str:
        return f"Spans({self.tolist()!r})"


def uniform(column: NDArray[Any]) -> NDArray[Any]:
    """The array contiguous and writable: of one type, for which one loop is compiled. A copy only where it is not.

    Nearly every array is that already, and a look costs a fifth of what a read-only view costs.
    """
    return column if column.flags.carray else np.array(column, order="C")


def taken(items: Sequence[Any], rows: RowChoice) -> Any:
    """Some of a list's items or of Spans' strings, as an array takes its rows."""
    if isinstance(items, Spans):
        return items.take(rows)
    if isinstance(rows, slice):
        return items[rows]
    if rows.dtype == np.bool_:
        return list(compress(items, rows.tolist()))
    return [items[row] for row in rows.tolist()]
