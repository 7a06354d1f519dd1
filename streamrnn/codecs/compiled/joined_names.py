"""Names of several parts as one: parts between slashes, within which % and / are written %25 and %2F.

The slow twin is ObjectReader. Shapes: n rows, S parts.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.compiled.surveys import total
from streamrnn.process.compiling import borrowing
from streamrnn.ticks import Spans

MOST_ESCAPED = 3
"""Bytes that stand for one."""
_PERCENT, _SLASH, _TWO, _FIVE, _F = 0x25, 0x2F, 0x32, 0x35, 0x46


def joined_names(data: NDArray[np.uint8], parts: NDArray[np.int64]) -> Spans:
    """The names of parts (2 S, n): where in data each part begins, and its size, below 0 for a name without one,
    which is no name."""
    count = parts.shape[1]
    room = MOST_ESCAPED * sum(total(sizes) for sizes in np.maximum(parts[1::2], 0)) + count * len(parts)
    into, starts, sizes = np.empty(room, np.uint8), np.empty(count, np.int64), np.empty(count, np.int64)
    end = _join(data, parts, into, starts, sizes)
    return Spans(into[:end], starts, sizes)


@borrowing
def _join(data: Any, parts: Any, into: Any, starts: Any, sizes: Any) -> int:
    at = 0
    for row in range(parts.shape[1]):
        starts[row], sizes[row] = at, 0
        for part in range(0, len(parts), 2):
            start: int = parts[part, row]
            size: int = parts[part + 1, row]
            if size < 0:
                sizes[row] = -1
            if part:
                into[at] = _SLASH
                at += 1
            at = _put_part(into, at, data, start, size)
        if sizes[row] < 0:
            at = starts[row]
        else:
            sizes[row] = at - starts[row]
    return at


@borrowing
def _put_part(into: Any, at: int, data: Any, start: int, size: int) -> int:
    for n in range(start, start + size):
        byte = data[n]
        if byte in (_PERCENT, _SLASH):
            into[at], into[at + 1], into[at + 2] = _PERCENT, _TWO, _FIVE if byte == _PERCENT else _F
            at += 3
        else:
            into[at] = byte
            at += 1
    return at
