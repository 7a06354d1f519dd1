"""Which byte strings are no UTF-8, or not of the sizes that are asked for. Shapes: n strings."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.compiled.loop_arguments import laid_out
from streamrnn.process.compiling import borrowing
from streamrnn.ticks import Spans

U = np.uint64
ONE = U(1)


_NO_ROWS = np.empty(0, np.intp)


def bad_rows(strings: Spans, shortest: int, longest: int, is_text: bool) -> NDArray[np.intp]:
    """Those not of shortest to longest bytes, -1 standing for None, or with is_text no UTF-8; ascending."""
    bad = np.empty(len(strings), np.bool_)
    return np.flatnonzero(bad) if _mark(*laid_out(strings), shortest, longest, is_text, bad) else _NO_ROWS


@borrowing
def _mark(data: Any, starts: Any, sizes: Any, shortest: int, longest: int, is_text: bool, bad: Any) -> int:
    """Write for each of n strings whether it is bad (n,); how many are."""
    count = 0
    for row in range(len(starts)):
        bad[row] = not shortest <= sizes[row] <= longest
        if is_text and not bad[row] and sizes[row] > 0:
            start = U(starts[row])
            bad[row] = not _is_utf8(data, start, start + U(sizes[row]))
        count += bad[row]
    return count


@borrowing
def _is_utf8(data: Any, at: Any, stop: Any) -> bool:
    while at < stop and data[at] < 0x80:
        at += ONE
    while at < stop:
        size = _size(data, at, stop)
        if size == 0:
            return False
        at += U(size)
    return True


@borrowing
def _size(data: Any, at: Any, stop: Any) -> int:
    """Bytes of the character that begins here, 0 for none. Source: The Unicode Standard, table 3-7."""
    lead = data[at]
    if lead < 0x80:
        return 1
    size = 2 if 0xC2 <= lead <= 0xDF else 3 if lead & 0xF0 == 0xE0 else 4 if 0xF0 <= lead <= 0xF4 else 0
    if size == 0 or stop - at < U(size):
        return 0
    least = 0xA0 if lead == 0xE0 else 0x90 if lead == 0xF0 else 0x80
    most = 0x9F if lead == 0xED else 0x8F if lead == 0xF4 else 0xBF
    if not least <= data[at + ONE] <= most:
        return 0
    for n in range(2, size):
        if data[at + U(n)] & 0xC0 != 0x80:
            return 0
    return size
