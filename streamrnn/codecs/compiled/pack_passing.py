"""Ways through MessagePack: what a first byte says, numbers, and the place behind any value.

Each gives the place behind, or NOWHERE where the bytes are not surely what the slow twin (msgspec) takes. Places
are unsigned; no byte at or behind `stop` is read. Source: the MessagePack specification.
"""

from typing import Any

import numpy as np

from streamrnn.process.compiling import as_double, as_single, borrowing

U = np.uint64
NOWHERE = U(2**64 - 1)
"""The place behind what is not sure: beyond every value's end."""
TOO_LARGE = -(2**63)
"""Stands for a whole number that is none, or takes more than 63 bits."""
MOST_HELD = 60
"""Maps and arrays within a value that is passed over; more may be deeper than the twin goes."""
NIL = 0xC0
ONE, _EIGHT = U(1), U(8)
_TOP = U(2**63)
ABSENT_BITS = U(0x7FF8_0000_0000_0AB5)
"""The NaN that stands for nothing in the slow twin; from outside it is left to that."""
_FIXED = np.array([0] * 10 + [4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17] + [0] * 7)
"""From C0 on: bytes that follow whatever they are."""
_LENGTH = np.array([0] * 4 + [1, 2, 4, 1, 2, 4] + [0] * 15 + [1, 2, 4, 2, 4, 2, 4])
"""From C0 on: bytes of a length, of what follows."""
_BESIDE = np.array([0] * 7 + [1, 1, 1] + [0] * 22)
"""From C0 on: bytes between a length and what it counts."""
_HELD = np.array([0] * 28 + [1, 1, 2, 2])
"""From C0 on: values for each that the length counts, 0 where it counts bytes."""


@borrowing
def big(data: Any, at: Any, count: int) -> Any:
    """The unsigned number in so many bytes, the highest first."""
    found = U(0)
    for n in range(count):
        found = found << _EIGHT | U(data[at + U(n)])
    return found


@borrowing
def pack_number(data: Any, at: Any, stop: Any) -> tuple[Any, bool, Any, float]:
    """Behind a number: whether it is a whole one, that, TOO_LARGE for any other, and the double."""
    first = data[at]
    at += ONE
    if first <= 0x7F:
        return at, True, np.int64(first), np.float64(first)
    if first >= 0xE0:
        return at, True, np.int64(first) - 256, np.float64(np.int64(first) - 256)
    if not 0xCA <= first <= 0xD3:
        return NOWHERE, False, TOO_LARGE, 0.0
    size = _FIXED[first - 0xC0]
    if stop - at < U(size):
        return NOWHERE, False, TOO_LARGE, 0.0
    bits, at = big(data, at, size), at + U(size)
    if first == 0xCB:
        return at if bits != ABSENT_BITS else NOWHERE, False, TOO_LARGE, as_double(bits)
    if first == 0xCA:
        return at, False, TOO_LARGE, np.float64(as_single(np.uint32(bits)))
    if first <= 0xCF:
        return at, True, np.int64(bits) if bits < _TOP else TOO_LARGE, np.float64(bits)
    spare = 64 - 8 * size
    whole = np.int64(bits << U(spare)) >> spare
    return at, True, whole, np.float64(whole)


@borrowing
def pack_text(data: Any, at: Any, stop: Any) -> tuple[Any, Any]:
    """Where the text that lies here begins and ends; NOWHERE, twice, for none."""
    first, size = data[at], U(0)
    at += ONE
    if 0xA0 <= first <= 0xBF:
        size = U(first & 0x1F)
    elif 0xD9 <= first <= 0xDB:
        length = _LENGTH[first - 0xC0]
        if stop - at < U(length):
            return NOWHERE, NOWHERE
        size, at = big(data, at, length), at + U(length)
    else:
        return NOWHERE, NOWHERE
    return (at, at + size) if size <= stop - at else (NOWHERE, NOWHERE)


@borrowing
def pack_map(data: Any, at: Any, stop: Any) -> tuple[Any, Any]:
    """How many pairs the map that lies here has, and where the first begins; NOWHERE for no map."""
    first = data[at]
    at += ONE
    if 0x80 <= first <= 0x8F:
        return U(first & 0x0F), at
    length = 2 if first == 0xDE else 4
    if first < 0xDE or first > 0xDF or stop - at < U(length):
        return U(0), NOWHERE
    return big(data, at, length), at + U(length)


@borrowing
def pack_list(data: Any, at: Any, stop: Any) -> tuple[Any, Any]:
    """How many elements the list that lies here has, and where the first begins; NOWHERE for no list."""
    first = data[at]
    at += ONE
    if 0x90 <= first <= 0x9F:
        return U(first & 0x0F), at
    length = 2 if first == 0xDC else 4
    if first < 0xDC or first > 0xDD or stop - at < U(length):
        return U(0), NOWHERE
    return big(data, at, length), at + U(length)


@borrowing
def passed_pack(data: Any, at: Any, stop: Any) -> Any:
    """Behind any value, whatever is in it."""
    left, held = ONE, 0
    while left:
        if at >= stop:
            return NOWHERE
        first = data[at]
        at, left, size, items = at + ONE, left - ONE, U(0), U(0)
        if 0x80 <= first <= 0x9F:
            items = U(first & 0x0F) << U(first < 0x90)
        elif 0xA0 <= first <= 0xBF:
            size = U(first & 0x1F)
        elif 0xC0 <= first <= 0xDF:
            kind = first - 0xC0
            length, size = _LENGTH[kind], U(_FIXED[kind])
            if first == 0xC1 or stop - at < U(length):
                return NOWHERE
            count, at = big(data, at, length), at + U(length)
            items = count * U(_HELD[kind])
            size += U(_BESIDE[kind]) if _HELD[kind] else count + U(_BESIDE[kind])
        held += 0x80 <= first <= 0x9F or (first >= 0xDC and first <= 0xDF)
        if size > stop - at or held > MOST_HELD:
            return NOWHERE
        at += size
        left += items
        if left > stop - at:  # each takes a byte at least
            return NOWHERE
    return at
