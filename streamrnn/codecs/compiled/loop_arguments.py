"""Arguments of compiled loops: always of the same types, so that one compilation serves all calls."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from streamrnn.ticks import Spans

Number = TypeVar("Number", bound=np.generic)


def laid_out(strings: Spans) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """data, starts and sizes as contiguous arrays that are not written to.

    ValueError where a string does not lie in the data: loops do not look whether it does.
    """
    data, starts, sizes = _read_only(strings.data), _read_only(strings.starts), _read_only(strings.sizes)
    if len(starts) and (starts.min() < 0 or (starts + sizes).max() > len(data)):
        raise ValueError("a string lies outside the buffer")
    return data, starts, sizes


def _read_only(column: NDArray[Number]) -> NDArray[Number]:
    view = np.ascontiguousarray(column).view()
    view.flags.writeable = False
    return view
