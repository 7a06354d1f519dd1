"""Host memory that grows without a copy: addresses are reserved, and pages come when they are written first.

So no step waits for a table that moves. Where addresses are rationed (a limit, a system that commits what is
mapped) or cannot be had, an array moves as it grows, by doubling. Knows no rows and no slots.
"""

import mmap
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

ROWS = 1 << 26
"""For which addresses are reserved at first."""
_NO_RESERVE = 0x4000 if sys.platform == "linux" else 0
"""MAP_NORESERVE, which Python 3.11 does not name: what is reserved does not count as memory in use."""
Addresses = Callable[[int], mmap.mmap | None]
"""So many bytes, or None where they cannot be had."""


def reserve_addresses(length: int) -> mmap.mmap | None:
    """So many bytes, none of which takes memory before it is written; None where that cannot be had."""
    if not hasattr(mmap, "MAP_ANONYMOUS") or _are_rationed():
        return None
    with suppress(OSError, ValueError, OverflowError):
        return mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE)
    return None


def _are_rationed() -> bool:
    """Whether addresses count as memory in use: who takes many leaves none to whatever else the process needs."""
    import resource  # there is none where MAP_ANONYMOUS is missing

    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        return True
    with suppress(OSError):
        return Path("/proc/sys/vm/overcommit_memory").read_text().strip() == "2"
    return False


class Reserved:
    """`rows`, an array (n, width), or (n,) where width is None, of plain numbers; what is new in it is 0.

    A view taken of `rows` stays true while the array grows, until more rows come than addresses were reserved for.
    """

    def __init__(
        self,
        dtype: DTypeLike,
        width: int | None = None,
        *,
        reserve: int = ROWS,
        addresses: Addresses = reserve_addresses,
    ) -> None:
        self._dtype, self._shape = np.dtype(dtype), () if width is None else (width,)
        self._all = np.empty((0, *self._shape), self._dtype)
        self._reserve, self._addresses = reserve, addresses
        self.rows: NDArray[Any] = self._all

    def grow(self, n: int) -> None:
        """Have at least n rows."""
        if n <= len(self.rows):
            return
        if n > len(self._all):
            self._move(n)
        self.rows = self._all[:n]

    def _move(self, n: int) -> None:
        """To where there is room for n rows, or many more."""
        each = self._dtype.itemsize * int(np.prod(self._shape, dtype=np.int64))
        room = max(self._reserve, 2 * n)
        found = self._addresses(room * each) if each else None
        if found is None:
            moved = np.zeros((2 * n, *self._shape), self._dtype)
        else:
            moved = np.frombuffer(found, self._dtype).reshape(room, *self._shape)
        moved[: len(self.rows)] = self.rows
        self._all = moved
