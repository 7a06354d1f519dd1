"""The records of a batch of form 2 to rows of numbers: where each one's fields lie, and no object for any.

Bytes may be hostile: nothing outside of them is read. A record that is not as a writer leaves it ends the walk, and
the plain reader (reading/batches.py) says what is wrong. Source: Kafka's DefaultRecord.
"""

from typing import Any

import numpy as np

from streamrnn.process.compiling import compiled

OFFSET, TIME_MS, KEY, KEY_SIZE, VALUE, VALUE_SIZE, HEADERS, HEADERS_SIZE = range(8)
"""The numbers of a record: a start is a place in the chunk's bytes; a size is -1 for None, and 0 for no headers."""
FIELDS = 8
LEAST_BYTES = 7
"""Of a record: its length, and one byte for each of six fields."""
_MOST_HEADER_VARINT = 5
"""Longer numbers among the headers are left to the plain reader: whoever reads headers later need not wrap them."""


@compiled
def walk_records(
    held: Any, at: int, number: int, count: int, base: int, first_ms: int, written_ms: int, is_append_time: bool,
    low: int, last: int, most_headers: int, rows: Any, row: int, stop_row: int, place: int,
) -> tuple[int, int, int, int, int]:  # fmt: skip
    """Read records `number` to `count` - 1 of a batch, which begin at held[at:], into rows[:, row:stop_row].

    base, first_ms: what offsets and timestamps are told from; written_ms: the timestamp of all, if is_append_time.
    Records below the offset `low` are passed over; none may lie above `last`. The bytes from the first record that
    is taken go to `place` of the chunk's bytes, which starts refer to. Returns `at`, `number`, `row` and `low` as
    they are behind the last good record, and where in `held` the first that was taken begins.
    """
    begin, shift, size = at, 0, len(held)
    is_empty = True
    while number < count and row < stop_row:
        length, body = _number(held, at, size)
        if body < 0 or length < 0 or length > size - body:
            break
        stop = body + length
        _, field = _number(held, body, stop)  # attributes: unused
        since_ms, field = _number(held, field, stop)
        delta, field = _number(held, field, stop)
        key_size, key = _number(held, field, stop)
        if key < 0 or key_size > stop - key:
            break
        value_size, value = _number(held, key + max(key_size, 0), stop)
        if value < 0 or value_size > stop - value:
            break
        headers = value + max(value_size, 0)
        has_headers, end = _pass_headers(held, headers, stop, most_headers)
        offset = _sum(base, delta)
        if end != stop or offset > last:
            break
        if offset >= low:
            if is_empty:
                is_empty, begin = False, at
                shift = place - begin
            rows[OFFSET, row] = offset
            rows[TIME_MS, row] = written_ms if is_append_time else _sum(first_ms, since_ms)
            rows[KEY, row], rows[KEY_SIZE, row] = key + shift, max(key_size, -1)
            rows[VALUE, row], rows[VALUE_SIZE, row] = value + shift, max(value_size, -1)
            rows[HEADERS, row] = headers + shift
            rows[HEADERS_SIZE, row] = stop - headers if has_headers else 0
            row += 1
            low = offset + 1
        at = stop
        number += 1
    return at, number, row, low, begin


@compiled
def _number(held: Any, at: int, stop: int) -> Any:
    """A zigzag number of at most ten bytes before `stop`, and where the next field begins; that is -1 for none."""
    if at < 0:
        return 0, -1
    found, shift = np.uint64(0), np.uint64(0)
    while at < stop and shift <= np.uint64(63):
        byte = np.uint64(held[at])
        at += 1
        found |= (byte & np.uint64(0x7F)) << shift
        if byte < np.uint64(0x80):
            return np.int64(found >> np.uint64(1)) ^ -np.int64(found & np.uint64(1)), at
        shift += np.uint64(7)
    return 0, -1


@compiled
def _pass_headers(held: Any, at: int, stop: int, most: int) -> tuple[bool, int]:
    """Whether there are any, and where they end; that is -1 where the plain reader has to decide."""
    count, field = _number(held, at, stop)
    if field < 0 or count < 0 or count > most or field - at > _MOST_HEADER_VARINT:
        return False, -1
    for _ in range(count):
        name_size, name = _number(held, field, stop)
        if name < 0 or name_size < 0 or name_size > stop - name or name - field > _MOST_HEADER_VARINT:
            return False, -1
        field = name + name_size
        size, content = _number(held, field, stop)
        if content < 0 or size > stop - content or content - field > _MOST_HEADER_VARINT:
            return False, -1
        field = content + max(size, 0)
    return count > 0, field


@compiled
def _sum(one: int, other: int) -> Any:
    """What 64 bits make of a sum."""
    return np.int64(np.uint64(one) + np.uint64(other))
