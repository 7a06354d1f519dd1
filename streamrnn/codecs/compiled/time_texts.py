"""Times as ISO 8601 text to ms since the epoch.

YYYY-MM-DD, T or a blank, HH:MM:SS, any digits of a fraction, and Z, +HH:MM, -HH:MM or no zone, which is UTC. All
else is left to the slow twin (times.py): other forms, a day that does not exist, years near the ends.
"""

from typing import Any

import numpy as np

from streamrnn.process.compiling import borrowing

U = np.uint64
NO_MOMENT = -(2**63)
SHORTEST = 19
"""Bytes of a date and a time."""
_DAYS_BEFORE = np.array([0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334])
_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_MINUTE_MS, _DAY_MS, _EPOCH_DAYS = 60_000, 86_400_000, 719_162


@borrowing
def _digits(data: Any, at: Any, count: int) -> Any:
    """The number in so many digits; far below 0 where a byte is none."""
    found: Any = 0
    for n in range(count):
        digit = np.int64(data[at + U(n)]) - 0x30
        found = 10 * found + (digit if 0 <= digit <= 9 else -100_000)
    return found


@borrowing
def _date(data: Any, at: Any) -> Any:
    """Days from the epoch to a date, NO_MOMENT for none."""
    year, month, day = _digits(data, at, 4), _digits(data, at + U(5), 2), _digits(data, at + U(8), 2)
    if data[at + U(4)] != 0x2D or data[at + U(7)] != 0x2D or not (2 <= year <= 9998 and 1 <= month <= 12):
        return NO_MOMENT
    is_leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    if not 1 <= day <= _DAYS[month] + (is_leap & (month == 2)):
        return NO_MOMENT
    years = year - 1
    before = 365 * years + years // 4 - years // 100 + years // 400 - _EPOCH_DAYS
    return before + _DAYS_BEFORE[month] + (is_leap & (month > 2)) + day - 1


@borrowing
def _minutes(data: Any, at: Any) -> Any:
    """Of HH:MM, NO_MOMENT for none."""
    hour, minute = _digits(data, at, 2), _digits(data, at + U(3), 2)
    is_one = 0 <= hour <= 23 and 0 <= minute <= 59 and data[at + U(2)] == 0x3A
    return 60 * hour + minute if is_one else NO_MOMENT


@borrowing
def moment_ms(data: Any, at: Any, end: Any) -> Any:
    """The time in the bytes from `at` to `end`, what is below a ms cut off; NO_MOMENT where none surely is."""
    if end - at < U(SHORTEST) or (data[at + U(10)] != 0x54 and data[at + U(10)] != 0x20):
        return NO_MOMENT
    days, minutes, second = _date(data, at), _minutes(data, at + U(11)), _digits(data, at + U(17), 2)
    if days == NO_MOMENT or minutes == NO_MOMENT or data[at + U(16)] != 0x3A or not 0 <= second <= 59:
        return NO_MOMENT
    found = days * _DAY_MS + minutes * _MINUTE_MS + second * 1000
    at += U(SHORTEST)
    if at < end and data[at] == 0x2E:
        at, worth = at + U(1), 100
        first = at
        while at < end and 0x30 <= data[at] <= 0x39:
            found += worth * (np.int64(data[at]) - 0x30)
            worth //= 10
            at += U(1)
        if at == first:
            return NO_MOMENT
    if at == end or (data[at] == 0x5A and at + U(1) == end):
        return found
    if end - at != U(6) or (data[at] != 0x2B and data[at] != 0x2D):
        return NO_MOMENT
    ahead = _minutes(data, at + U(1))
    if ahead == NO_MOMENT:
        return NO_MOMENT
    return found - _MINUTE_MS * (ahead if data[at] == 0x2B else -ahead)
