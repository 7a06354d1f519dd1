"""Arguments of compiled loops that do not look whether a string lies in its buffer."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.process.compiling import borrowing
from streamrnn.ticks import Spans


def laid_out(strings: Spans) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Spans.parts; ValueError where a string does not lie in the data."""
    data, starts, sizes = strings.parts()
    if not _lie_within(len(data), starts, sizes):
        raise ValueError("a string lies outside the buffer")
    return data, starts, sizes


@borrowing
def _lie_within(room: int, starts: Any, sizes: Any) -> bool:
    """Whether all strings lie in so many bytes; no sum that can overflow."""
    are_in = True
    for row in range(len(starts)):
        are_in &= 0 <= starts[row] <= room and sizes[row] <= room - starts[row]
    return are_in
