"""Constant pieces and whole numbers into a buffer. Each loop returns where the next byte goes.

Owns no buffer: `into` has room for all that may be written, `at` is where.
"""

from typing import Any

import numpy as np

from streamrnn.process.compiling import borrowing, copy_bytes

int64: Any = np.int64
"""Of a loop's numbers, which are `int` to whoever reads it."""
unsigned: Any = np.uint64
"""Of an index in an inner loop: numba compares any other with 0 each time."""
_MINUS, _ZERO = ord("-"), ord("0")
_TEN, _HUNDRED = np.uint64(10), np.uint64(100)


@borrowing
def put_piece(into: Any, at: int, pieces: Any, which: int) -> int:
    """Write one of some byte strings, given as Spans.parts gives them."""
    data, starts, sizes = pieces
    start: int = starts[which]
    size: int = sizes[which]
    copy_bytes(into, at, data, start, size)
    return at + size


@borrowing
def magnitude(number: int) -> Any:
    """A number without its sign, as uint64, which holds that of the lowest int64 too."""
    return np.uint64(-number if number < 0 else number)


@borrowing
def digits_of(number: Any) -> int:
    """How many digits a uint64 takes."""
    width, least = 1, _TEN
    while number >= least and width < 19:
        width += 1
        least *= _TEN
    return width + (width == 19 and number >= least)


@borrowing
def put_whole(into: Any, at: int, number: int) -> int:
    """Write an int64 in decimal digits, two at a time from its end."""
    if number < 0:
        into[at] = _MINUS
        at += 1
    left = magnitude(number)
    width = digits_of(left)
    for to in range(at + width - 1, at, -2):
        rest = left // _HUNDRED
        pair = int64(left - rest * _HUNDRED)
        tens = (pair * 103) >> 10  # pair // 10, for all below 100
        into[unsigned(to - 1)] = _ZERO + tens
        into[unsigned(to)] = _ZERO + pair - 10 * tens
        left = rest
    if width % 2:
        into[at] = _ZERO + int64(left)
    return at + width
