"""Records from columns into the body of a record batch of form 2, one behind the other.

A record is the length of what follows, attributes (0), its timestamp and its offset as differences to the batch's
first, key, value and headers; numbers are zigzag varints. Source: Kafka's DefaultRecord. Shapes: n records.
"""

from typing import Any

import numpy as np

from streamrnn.process.compiling import compiled

MOST_OVERHEAD = 35
"""Bytes that a record takes at most beside key, value and headers: six varints, the attributes, a count of 0."""


_U = np.uint64


@compiled
def frame_records(
    into: Any, at: int, limit: int, first_ms: int, max_ms: int, number: int, row: int, times: Any, key_data: Any,
    key_starts: Any, key_sizes: Any, value_data: Any, value_starts: Any, value_sizes: Any, header_data: Any,
    header_starts: Any, header_sizes: Any,
) -> tuple[int, Any, int, int]:  # fmt: skip
    """Write records from `row` on to into[at:], while they fit below `limit`; record 0 of a batch always does.

    number: how many the batch has. first_ms: the timestamp of its record 0, max_ms: the greatest so far. `into` has
    room for all that may be written. Returns the new row, `at`, first_ms and max_ms.
    """
    place = _U(at)  # an unsigned index is one that numba need not compare with 0: copying is 30 times as fast
    while row < len(times):
        time_ms = times[row]
        if number == 0:
            first_ms = max_ms = time_ms
        since, offset = _zigzag(time_ms - first_ms), _zigzag(number)
        size = 1 + _width(since) + _width(offset) + max(header_sizes[row], 1)
        size += _field_width(key_sizes[row]) + _field_width(value_sizes[row])
        length = _zigzag(size)
        if number and place + _U(_width(length) + size) > _U(limit):
            break
        place = _put(into, place, length)
        into[place] = 0
        place = _put(into, _put(into, place + _U(1), since), offset)
        place = _put_field(into, place, key_data, key_starts[row], key_sizes[row])
        place = _put_field(into, place, value_data, value_starts[row], value_sizes[row])
        if header_sizes[row] > 0:
            place = _copy(into, place, header_data, header_starts[row], header_sizes[row])
        else:
            into[place] = 0
            place += _U(1)
        max_ms = max(max_ms, time_ms)
        number += 1
        row += 1
    return row, np.int64(place), first_ms, max_ms


@compiled
def _zigzag(number: int) -> Any:
    """An int64 as an unsigned number that is small where the number is near 0."""
    signed = np.int64(number)
    return _U((signed << np.int64(1)) ^ (signed >> np.int64(63)))


@compiled
def _width(number: Any) -> int:
    """Bytes that a varint takes."""
    width = 1
    while number > _U(0x7F):
        number >>= _U(7)
        width += 1
    return width


@compiled
def _field_width(size: int) -> int:
    """Bytes that a field of so many bytes takes with its length; -1 stands for none."""
    return _width(_zigzag(size)) + max(size, 0)


@compiled
def _put(into: Any, place: Any, number: Any) -> Any:
    """Write a varint; where the next byte goes."""
    while number > _U(0x7F):
        into[place] = np.uint8(number & _U(0x7F)) | np.uint8(0x80)
        number >>= _U(7)
        place += _U(1)
    into[place] = np.uint8(number)
    return place + _U(1)


@compiled
def _put_field(into: Any, place: Any, data: Any, start: int, size: int) -> Any:
    """Write a length and bytes, or that there are none."""
    place = _put(into, place, _zigzag(size))
    return _copy(into, place, data, start, size) if size > 0 else place


@compiled
def _copy(into: Any, place: Any, data: Any, start: int, size: int) -> Any:
    """Write bytes; where the next goes."""
    first = _U(start)
    for i in range(_U(size)):
        into[place + i] = data[first + i]
    return place + _U(size)
