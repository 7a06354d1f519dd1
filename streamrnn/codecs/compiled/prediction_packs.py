"""Values of predictions as MessagePack, row after row into a buffer.

Pieces and shapes are those of prediction_texts.py.
"""

from typing import Any

import numpy as np

from streamrnn.codecs.compiled import key_texts, number_texts, prediction_texts
from streamrnn.codecs.compiled.key_texts import put_shown, shown_size
from streamrnn.codecs.compiled.number_texts import put_piece
from streamrnn.codecs.compiled.prediction_texts import AFTER, FORECAST, HEAD, ORIGIN, RESIDUAL, STATE, TIME
from streamrnn.process.compiling import borrowing, compiled_with


@borrowing
def _put_text_header(into: Any, at: int, size: int) -> int:
    """Write that a text of so many bytes follows."""
    if size < 32:
        into[at] = 0xA0 | size
        return at + 1
    if size < 256:
        into[at], into[at + 1] = 0xD9, size
        return at + 2
    into[at], into[at + 1], into[at + 2] = 0xDA, size >> 8, size & 0xFF
    return at + 3


@borrowing
def _put_map_header(into: Any, at: int, count: int) -> int:
    """Write that a map of so many fields follows."""
    if count < 16:
        into[at] = 0x80 | count
        return at + 1
    into[at], into[at + 1], into[at + 2] = 0xDE, count >> 8, count & 0xFF
    return at + 3


@borrowing
def _put_whole(into: Any, at: int, number: int) -> int:
    """Write an int64, big-endian."""
    for n in range(8):
        into[at + n] = (number >> (56 - 8 * n)) & 0xFF
    return at + 8


@borrowing
def _put_number(into: Any, at: int, numbers: Any, read: int) -> int:
    """Write the bytes of a number, that with its sign first."""
    width: int = numbers.shape[1]
    for n in range(width):
        into[at + n] = numbers[read, width - 1 - n]
    return at + width


@borrowing
def _count(residual: Any, row: int) -> int:
    """How many residuals of a row are known."""
    known = 0
    for target in range(residual.shape[1]):
        known += not np.isnan(residual[row, target])
    return known


@compiled_with(number_texts, prediction_texts, is_borrowing=True)
def _put_residuals(
    into: Any, at: int, pieces: Any, first: int, numbers: Any, read: int, residual: Any, row: int
) -> tuple[int, int]:
    """Write the residuals that are known, of one or more; also which number is next."""
    at = put_piece(into, at, pieces, RESIDUAL)
    at = _put_map_header(into, at, _count(residual, row))
    for target in range(residual.shape[1]):
        if not np.isnan(residual[row, target]):
            at = put_piece(into, at, pieces, first + target)
            at = _put_number(into, at, numbers, read)
            read += 1
    return at, read


@compiled_with(number_texts, key_texts, prediction_texts, is_borrowing=True)
def put_packs(
    into: Any, starts: Any, sizes: Any, pieces: Any, kind: int, keys: Any, times: Any, forecasts: int,
    residual: Any, steps: Any, origins: Any, numbers: Any, fields: int,
) -> int:  # fmt: skip
    """Write each row's value, and where it lies into starts and sizes (n,); where all of them end.

    kind: how a key is shown. forecasts: M. numbers (., w) uint8: all, in the order of `gather`, the w bytes of each
    with the lowest first. fields: how many a value has without residuals.
    """
    at = read = 0
    for row in range(len(starts)):
        starts[row] = at
        has_residual = _count(residual, row) > 0
        at = _put_map_header(into, at, fields + has_residual)
        at = put_piece(into, at, pieces, HEAD)
        at = _put_text_header(into, at, shown_size(kind, keys, row))
        at = put_shown(into, at, kind, keys, row)
        at = put_piece(into, at, pieces, TIME)
        at = _put_whole(into, at, times[row])
        for number in range(FORECAST, FORECAST + forecasts):
            at = put_piece(into, at, pieces, number)
            at = _put_number(into, at, numbers, read)
            read += 1
        at = put_piece(into, at, pieces, AFTER)
        if has_residual:
            at, read = _put_residuals(into, at, pieces, FORECAST + forecasts, numbers, read, residual, row)
        at = put_piece(into, at, pieces, STATE)
        at = _put_whole(into, at, steps[row])
        at = put_piece(into, at, pieces, ORIGIN + origins[row])
        sizes[row] = at - starts[row]
    return at
