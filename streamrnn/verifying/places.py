"""One number for the place of a tick in its partition: its offset, and its index where it came in a list.

It orders ticks as they came. Works on numbers and on arrays of them.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from streamrnn.ticks import NO_INDEX

BITS = 20
"""Of an index and one more, see ticks.MOST_INDEX; the rest are the offset's."""
MOST_OFFSET = 2 ** (63 - BITS) - 1
Numbers = TypeVar("Numbers", int, NDArray[np.int64])


def place_of(offset: Numbers, index: Numbers | int = NO_INDEX) -> Numbers:
    """The place of a tick, or of a whole record."""
    return (offset << BITS) + index - NO_INDEX


def offset_of(place: Numbers) -> Numbers:
    """Of the record it came in."""
    return place >> BITS


def index_of(place: int) -> int:
    """In the list it came in, NO_INDEX for none."""
    return place - (offset_of(place) << BITS) + NO_INDEX


def whole(place: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places of the records that these ticks came in."""
    return place >> BITS << BITS
