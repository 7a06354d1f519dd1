"""Byte strings that a loop writes one behind the other into one buffer."""

from collections.abc import Callable
from typing import Any

import numpy as np

from streamrnn.ticks import Spans


def filled(put: Callable[..., int], count: int, room: int, *arguments: Any) -> Spans:
    """The strings that put(into, starts, sizes, *arguments) writes; all of them take `room` bytes at most."""
    into, starts, sizes = np.empty(room, np.uint8), np.empty(count, np.int64), np.empty(count, np.int64)
    end = put(into, starts, sizes, *arguments)
    assert end <= room
    return Spans(into[:end], starts, sizes)
