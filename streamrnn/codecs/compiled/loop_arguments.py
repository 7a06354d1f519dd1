"""Arguments of compiled loops that do not look whether a string lies in its buffer."""

import numpy as np
from numpy.typing import NDArray

from streamrnn.ticks import Spans


def laid_out(strings: Spans) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Spans.parts; ValueError where a string does not lie in the data."""
    data, starts, sizes = strings.parts()
    if len(starts) and (starts.min() < 0 or (starts + sizes).max() > len(data)):
        raise ValueError("a string lies outside the buffer")
    return data, starts, sizes
