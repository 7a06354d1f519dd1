"""Event times as they stand in values to ms since the epoch.

A column of one kind and size is converted in one go; anything else one by one, to the same numbers.
Shapes: n values.
"""

import math
import re
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.compiled.surveys import spread
from streamrnn.codecs.reasons import Refused
from streamrnn.config.input import TimeUnit
from streamrnn.ticks.byte_spans import uniform

Time = int | float | str | None
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LARGEST_TIME_MS = 2**53
PER_MS: dict[TimeUnit, int] = {"s": 1, "ms": 1, "us": 1_000, "ns": 1_000_000}
"""How many of a unit are a ms; a second is more than one."""
EDGES = (1e8, 1e10, 1e11, 1e13, 1e14, 1e16, 1e17, 1e19)
"""Epoch numbers between two of these are s, ms, us or ns: 1973-03-03 to 2286-11-20 each; others tell no unit."""
_UNITS = tuple(PER_MS)
_DECIMAL = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?")
_DAY = re.compile(r"[0-9]{8}")


def unit_of(size: float) -> TimeUnit:
    """The unit of an epoch number of this size: ms where none is told, as a tick's time is in ms by default."""
    place = bisect_right(EDGES, size)
    return _UNITS[place // 2] if place % 2 else "ms"


def times_ms(
    times: Sequence[Time] | NDArray[Any] | None,
    arrivals: NDArray[np.int64],
    unit: TimeUnit,
    is_lenient: bool,
    refused: dict[int, Refused],
) -> NDArray[np.int64]:
    """(n,) event times in ms; the record's timestamp where the value has none."""
    if times is None or (isinstance(times, list | tuple) and times.count(None) == len(times)):
        times, unit = arrivals, "ms"
    whole = _all_at_once(times, unit)
    if whole is not None:
        return whole
    read = arrivals.copy()
    singly = times.tolist() if isinstance(times, np.ndarray) else times
    for i, (time, arrival_ms) in enumerate(zip(singly, arrivals.tolist(), strict=True)):
        try:
            read[i] = to_time_ms(time, arrival_ms, unit, is_lenient)
        except Refused as why:
            refused.setdefault(i, why)
    return read


def _as_numbers(times: Sequence[Any] | NDArray[Any]) -> NDArray[Any] | None:
    """Whole numbers, or fractions; None: they are something else."""
    if isinstance(times, np.ndarray):
        return times
    try:
        return np.frombuffer(array("q", times), np.int64)
    except (TypeError, OverflowError):  # some are text, fractions, missing, or huge
        return np.array(times) if set(map(type, times)) == {float} else None


def _all_at_once(times: Sequence[Any] | NDArray[Any], unit: TimeUnit) -> NDArray[np.int64] | None:
    """A column of whole numbers, or of fractions, all of one unit and in range; None: it is something else."""
    numbers = _as_numbers(times)
    if numbers is None:
        return None
    if numbers.dtype.kind == "M":  # of text, between the years 1 and 10,000
        return numbers.view(np.int64)
    least, most, smallest = _spread(numbers)
    size = max(abs(least), abs(most))
    if not math.isfinite(size):
        return None
    if unit == "auto":
        # All between the same two edges: ms are told on both sides of the other units, which may lie in between.
        if bisect_right(EDGES, smallest) != bisect_right(EDGES, size):
            return None
        unit = unit_of(size)
    if size * (1000 if unit == "s" else 1) > LARGEST_TIME_MS * PER_MS[unit]:
        return None
    if numbers.dtype == np.int64:
        return numbers if unit == "ms" else numbers * 1000 if unit == "s" else numbers // PER_MS[unit]
    return (np.rint(numbers * 1000.0) if unit == "s" else numbers // PER_MS[unit]).astype(np.int64)


def _spread(numbers: NDArray[Any]) -> tuple[Any, Any, Any]:
    """The least of them, the greatest, and the least size."""
    if numbers.dtype == np.int64:
        return spread(uniform(numbers))
    return numbers.min().item(), numbers.max().item(), np.abs(numbers).min().item()


def to_time_ms(time: Time, arrival_ms: int, unit: TimeUnit, is_lenient: bool = False) -> int:
    """Event time in ms since the epoch, below which is cut off, of a number in `unit`, of ISO 8601 text (UTC if it
    names no zone), or None: the record's own."""
    if time is None:
        return arrival_ms
    try:
        time_ms = _text_ms(time, unit, is_lenient) if isinstance(time, str) else _epoch_ms(time, unit)
    except (ValueError, OverflowError) as error:
        raise Refused("bad_time", f"{time!r:.60} is no time: {error}") from error
    if not -LARGEST_TIME_MS <= time_ms <= LARGEST_TIME_MS:
        raise Refused("bad_time", f"{str(time)[:60]} {'' if isinstance(time, str) else unit} is out of range")
    return time_ms


def _epoch_ms(number: int | float, unit: TimeUnit) -> int:
    if not math.isfinite(number):
        raise ValueError("not finite")
    if unit == "auto":
        unit = unit_of(abs(number))
    if unit != "s":
        return int(number // PER_MS[unit])
    return number * 1000 if isinstance(number, int) else round(number * 1000.0)


def _text_ms(text: str, unit: TimeUnit, is_lenient: bool) -> int:
    """ISO 8601; fromisoformat would take the digits of an epoch number for a year, a month, a day and an hour."""
    if _DECIMAL.fullmatch(text) and not _DAY.fullmatch(text):
        if not is_lenient:
            raise ValueError("a number as text; input.numbers = lenient?")
        return _epoch_ms(float(text) if "." in text else int(text), unit)
    moment = datetime.fromisoformat(text)
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // timedelta(milliseconds=1)


def written(time_ms: Sequence[int], unit: TimeUnit) -> list[int | float | str]:
    """Times as a tick's value holds them, read back to the same ms: numbers of the unit, and with auto ISO text
    where a number of ms would be taken for something else. OverflowError for what is no year of ISO text."""
    if unit == "auto":
        return [time if unit_of(abs(time)) == "ms" else _iso(time) for time in time_ms]
    if unit == "s":
        return [time / 1000 if time % 1000 else time // 1000 for time in time_ms]
    return [time * PER_MS[unit] for time in time_ms]


def _iso(time_ms: int) -> str:
    return (EPOCH + timedelta(milliseconds=time_ms)).isoformat()
