"""Values of predictions as JSON, row after row into a buffer. What is the same in all of a model's rows are pieces.

Shapes: n rows, K horizons, O targets, Q quantiles, M forecasts of a row.
"""

from typing import Any

import numpy as np

from streamrnn.codecs.compiled import key_texts, number_texts
from streamrnn.codecs.compiled.key_texts import put_quoted
from streamrnn.codecs.compiled.number_texts import int64, put_piece, put_whole, unsigned
from streamrnn.process.compiling import borrowing, compiled_with, copy_bytes

HEAD, TIME, AFTER, RESIDUAL, STATE, ORIGIN, FORECAST = 0, 1, 2, 3, 4, 5, 9
"""Pieces of a value: before the name, the time, behind the forecasts, before the residuals, before the steps; four
endings by origin; then one before each of M forecasts, and one before each of O residuals."""
_COMMA, _ENDING, _CLOSING = ord(","), ord("]"), ord("}")


@borrowing
def gather(into: Any, values: Any, residual: Any) -> int:
    """Write the numbers of values (n, K, O, Q) and residual (n, O) in the order in which they are said; how many.

    Of each row the middle quantile by target and horizon, all by level, target and horizon, the residuals known.
    """
    rows, horizons, targets, levels = values.shape
    at = 0
    for row in range(rows):
        for level in range(-1, levels if levels > 1 else 0):
            for target in range(targets):
                for horizon in range(horizons):
                    into[at] = values[row, horizon, target, levels // 2 if level < 0 else level]
                    at += 1
        for target in range(targets):
            if not np.isnan(residual[row, target]):
                into[at] = residual[row, target]
                at += 1
    return at


@borrowing
def _put_item(into: Any, at: int, texts: Any, read: int) -> tuple[int, int]:
    """Write the item of a JSON list of numbers that begins at `read`; also where the next begins."""
    place = unsigned(read + 1)
    while texts[place] != _COMMA and texts[place] != _ENDING:
        place += unsigned(1)
    size: int = int64(place) - read
    copy_bytes(into, at, texts, read, size)
    return at + size, read + size + 1


@compiled_with(number_texts, is_borrowing=True)
def _put_residuals(
    into: Any, at: int, pieces: Any, first: int, texts: Any, read: int, residual: Any, row: int
) -> tuple[int, int]:
    """Write the residuals that are known, if any; also where the next number begins."""
    known = 0
    for target in range(residual.shape[1]):
        if not np.isnan(residual[row, target]):
            if known:
                into[at] = _COMMA
                at += 1
            else:
                at = put_piece(into, at, pieces, RESIDUAL)
            known += 1
            at = put_piece(into, at, pieces, first + target)
            at, read = _put_item(into, at, texts, read)
    if known:
        into[at] = _CLOSING
        at += 1
    return at, read


@compiled_with(number_texts, key_texts, is_borrowing=True)
def put_texts(
    into: Any, starts: Any, sizes: Any, pieces: Any, kind: int, keys: Any, times: Any, forecasts: int,
    residual: Any, steps: Any, origins: Any, texts: Any,
) -> int:  # fmt: skip
    """Write each row's value, and where it lies into starts and sizes (n,); where all of them end.

    kind: how a key is shown. forecasts: M. texts: all numbers, in the order of `gather`, as one JSON list.
    """
    at, read = 0, 1
    for row in range(len(starts)):
        starts[row] = at
        at = put_piece(into, at, pieces, HEAD)
        at = put_quoted(into, at, kind, keys, row)
        at = put_piece(into, at, pieces, TIME)
        at = put_whole(into, at, times[row])
        for number in range(FORECAST, FORECAST + forecasts):
            at = put_piece(into, at, pieces, number)
            at, read = _put_item(into, at, texts, read)
        at = put_piece(into, at, pieces, AFTER)
        at, read = _put_residuals(into, at, pieces, FORECAST + forecasts, texts, read, residual, row)
        at = put_piece(into, at, pieces, STATE)
        at = put_whole(into, at, steps[row])
        at = put_piece(into, at, pieces, ORIGIN + origins[row])
        sizes[row] = at - starts[row]
    return at
