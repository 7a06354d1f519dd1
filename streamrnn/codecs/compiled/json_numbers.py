"""Numbers in JSON text, exact: the double nearest to the decimal, as the slow twin (msgspec) finds it.

What needs more than 64 bits of digits, or is beyond the doubles or nearly so, is left. Sources: Clinger, How to
Read Floating Point Numbers Accurately (1990); Lemire, Number Parsing at a Gigabyte per Second (2021).
"""

import math
from typing import Any

import numpy as np

from streamrnn.process.compiling import borrowing

U = np.uint64  # an unsigned place is one that numba need not compare with 0
NOWHERE = U(2**64 - 1)
"""The place behind what is not sure: beyond every text's end."""
TOO_LARGE = -(2**63)
"""Stands for a whole number that is none, or takes more than 63 bits."""
MOST_DIGITS = 19
"""Which an unsigned 64-bit integer holds, whatever they are."""
ONE, THREE, FOUR, NINE, TEN = U(1), U(3), U(4), U(9), U(10)
_ZERO, _TOP, _HALF, _LOWER = U(0x30), U(2**63), U(32), U(2**32 - 1)
_SPARE, _SIGN, _UNSEEN = U(53), U(63), U(2**9 - 1)
"""Bits of a double's digits, of a product's upper half before the first, and those of it that round."""
LEAST_POWER, MOST_POWER = -307, 288
TENS = np.array([10.0**n for n in range(23)])
"""The powers of ten that a double holds exactly."""


def _fifth_power(q: int) -> Any:
    """The first 128 bits of 5^q."""
    power = 5 ** abs(q)
    size = power.bit_length()
    if q >= 0:
        return power << 128 >> size
    if q >= -27:
        return (1 << size + 127) // power + 1
    found = (1 << 2 * size + 128) // power + 1
    return found >> found.bit_length() - 128


FIFTHS = np.array([divmod(_fifth_power(q), 2**64) for q in range(LEAST_POWER, MOST_POWER + 1)], np.uint64)


@borrowing
def number(data: Any, at: Any, stop: Any) -> tuple[Any, bool, Any, float]:
    """Behind a number: whether it is written as a whole one, that, TOO_LARGE for any other, and the double."""
    is_negative = data[at] == 0x2D
    begin = at + ONE if is_negative else at
    at, mantissa = _digits(data, begin, stop, U(0))
    if at == begin or (data[begin] == 0x30 and at > begin + ONE):
        return NOWHERE, False, TOO_LARGE, 0.0
    power, is_whole, end = np.int64(0), True, at
    if at < stop and data[at] == 0x2E:
        point, is_whole = at + ONE, False
        at, mantissa = _digits(data, point, stop, mantissa)
        power, end = -np.int64(at - point), at
        if at == point:
            return NOWHERE, False, TOO_LARGE, 0.0
    if at < stop and (data[at] == 0x65 or data[at] == 0x45):
        is_whole = False
        at, shift = _exponent(data, at + ONE, stop)
        power += shift
    if end - begin > MOST_DIGITS and _significant(data, begin, end) > MOST_DIGITS:
        return NOWHERE, False, TOO_LARGE, 0.0
    number = _double(mantissa, power)
    if number < 0:
        return NOWHERE, False, TOO_LARGE, 0.0
    whole = np.int64(mantissa) if is_whole and mantissa < _TOP else TOO_LARGE
    if not is_negative:
        return at, is_whole, whole, number
    return at, is_whole, whole if whole == TOO_LARGE else -whole, 0.0 if whole == 0 else -number


@borrowing
def _digits(data: Any, at: Any, stop: Any, mantissa: Any) -> tuple[Any, Any]:
    """Behind digits, and the number that goes on with them."""
    while at < stop and data[at] - _ZERO < TEN:
        mantissa = mantissa * TEN + U(data[at] - _ZERO)
        at += ONE
    return at, mantissa


@borrowing
def _significant(data: Any, at: Any, end: Any) -> int:
    """How many digits follow the zeros that a number begins with."""
    count = 0
    while at < end:
        if data[at] != 0x2E and (count or data[at] != 0x30):
            count += 1
        at += ONE
    return count


@borrowing
def _exponent(data: Any, at: Any, stop: Any) -> tuple[Any, Any]:
    """Behind an exponent of at most four digits, and what it is."""
    is_negative = at < stop and data[at] == 0x2D
    begin = at + ONE if at < stop and (is_negative or data[at] == 0x2B) else at
    at, power = _digits(data, begin, stop, U(0))
    if at == begin or at - begin > FOUR:
        return NOWHERE, 0
    return at, -np.int64(power) if is_negative else np.int64(power)


@borrowing
def _double(mantissa: Any, power: Any) -> Any:
    """The double nearest to mantissa * 10^power; -1 where it is not sure or beyond all doubles but subnormals."""
    if mantissa >> _SPARE == 0 and -23 < power < 23:
        return np.float64(mantissa) / TENS[-power] if power < 0 else np.float64(mantissa) * TENS[power]
    if mantissa == 0:
        return 0.0
    if not LEAST_POWER <= power <= MOST_POWER:
        return -1.0
    zeros = 64 - _bits(mantissa)
    mantissa <<= U(zeros)
    high, low = _product(mantissa, FIFTHS[power - LEAST_POWER, 0])
    if high & _UNSEEN == _UNSEEN:
        more, _ = _product(mantissa, FIFTHS[power - LEAST_POWER, 1])
        low += more
        if more > low:
            high += ONE
    if low == NOWHERE and not -27 <= power <= 55:
        return -1.0
    top = high >> _SIGN
    found = high >> (top + NINE)
    exponent = ((217706 * power) >> 16) + 63 + int(top) - zeros
    # A tie goes to the even one; the digits above say more than the product does.
    if low <= ONE and -4 <= power <= 23 and found & THREE == ONE and found << (top + NINE) == high:
        found &= ~ONE
    found = (found + (found & ONE)) >> ONE
    return math.ldexp(np.float64(found), exponent - 52) if -1022 <= exponent < 1023 else -1.0


@borrowing
def _bits(number: Any) -> Any:
    """How many bits a number above 0 takes."""
    count = 1
    for shift in (32, 16, 8, 4, 2, 1):
        if number >> U(shift):
            number >>= U(shift)
            count += shift
    return count


@borrowing
def _product(one: Any, other: Any) -> tuple[Any, Any]:
    """The upper and the lower half of a product of 128 bits."""
    a, b, c, d = one >> _HALF, one & _LOWER, other >> _HALF, other & _LOWER
    low = b * d
    middle = a * d + (low >> _HALF)
    across = b * c + (middle & _LOWER)
    return a * c + (middle >> _HALF) + (across >> _HALF), (across << _HALF) | (low & _LOWER)
