"""Axes: from what data covers to where a value lies, and the round numbers written beside it.

Owns ranges and ticks; knows no picture.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from streamrnn.pages.formats import EPOCH, MONTHS, clock, exponent, fixed, moment, scientific, significant

LARGEST = 1e100
"""What lies beyond is not drawn: it would overflow on the way."""
TICKS = 6
TIME_TICKS = 8
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
STEPS_MS = (
    *(n for ten in (1, 10, 100) for n in (ten, 2 * ten, 5 * ten)),
    *(n * SECOND for n in (1, 2, 5, 10, 15, 30)),
    *(n * MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * HOUR for n in (1, 2, 3, 6, 12)),
    *(n * DAY for n in (1, 2, 7, 14)),
)
STEPS_MONTHS = (1, 2, 3, 6, *(12 * n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)))
MONDAY_MS = 4 * DAY
"""The first one after the epoch."""


class Tick(NamedTuple):
    """A value and what is written at it."""

    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Axis:
    """From low to high, both finite, low < high; above 0 where is_log."""

    low: float
    high: float
    ticks: tuple[Tick, ...]
    is_log: bool = False

    def has(self, value: float | None) -> bool:
        """Whether a value has a place on it."""
        return value is not None and self.low <= value <= self.high

    def place(self, value: float) -> float:
        """0 at low, 1 at high."""
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def drawable(values: Iterable[float | None]) -> list[float]:
    """Those that an axis can hold."""
    return [value for value in values if value is not None and abs(value) <= LARGEST]


def linear_axis(values: Iterable[float | None], most: int = TICKS) -> Axis:
    """Widened to the round numbers (1, 2 or 5 times a power of ten) around the values."""
    low, high = _range(values)
    step = round_step((high - low) / most)
    first, last = math.floor(low / step), math.ceil(high / step)
    first, last = first - (first * step > low), last + (last * step < high)  # the division may have rounded
    marks = [n * step for n in range(first, last + 1)]
    return Axis(marks[0], marks[-1], tuple(map(Tick, marks, _labels(marks, step))))


def value_axis(values: Iterable[float | None], far: float = 30.0) -> Axis:
    """Linear; logarithmic where the largest is `far` times the smallest or more, and all are above 0."""
    held = drawable(values)
    wide = bool(held) and min(held) > 0 and max(held) >= far * min(held)
    return log_axis(held) if wide else linear_axis(held)


def count_axis(values: Sequence[int]) -> Axis:
    """Whole numbers from the first to the last, no further; half a step around a single one."""
    low, high = min(values), max(values)
    step = max(1, round(round_step((high - low) / TIME_TICKS))) if high > low else 1
    marks = [n for n in range(low, high + 1) if n % step == 0]
    if low not in marks and (not marks or marks[0] - low >= step / 2):
        marks.insert(0, low)
    edge = 0.0 if high > low else 0.5
    return Axis(low - edge, high + edge, tuple(Tick(n, f"{n:,}") for n in marks))


def log_axis(values: Iterable[float | None]) -> Axis:
    """Widened to powers of ten, or 1, 2 and 5 times these where they are few; values up to 0 have no place."""
    held = [value for value in drawable(values) if value >= 1 / LARGEST] or [1.0]
    low, high = min(held), max(held)
    first, last = exponent(low) - 1, exponent(high) + 1
    by = max(1, (last - first) // TICKS)
    leading = (1, 2, 5) if last - first <= 4 else (1,)
    marks = [float(f"{m}e{e}") for e in range(first - first % by, last + by + 1, by) for m in leading]
    below = max(mark for mark in marks if mark <= low)
    above = min(mark for mark in marks if mark >= high and mark > below)
    kept = [mark for mark in marks if below <= mark <= above]
    return Axis(below, above, tuple(Tick(mark, significant(mark, 1)) for mark in kept), is_log=True)


def time_axis(times_ms: Sequence[int]) -> Axis:
    """Event time, UTC: from the first to the last, ticks at full hours, days, months and so on."""
    low, high = min(times_ms), max(times_ms)
    if low == high:
        low, high = low - HOUR, high + HOUR
    if moment(low) is None or moment(high) is None:
        return linear_axis([low, high])
    for step in STEPS_MS:
        if (high - low) / step <= _most(step):
            return Axis(low, high, tuple(_clock_ticks(low, high, step)))
    months = next(n for n in STEPS_MONTHS if (high - low) / (n * 30 * DAY) <= TIME_TICKS or n == STEPS_MONTHS[-1])
    return Axis(low, high, tuple(_month_ticks(low, high, months)))


def _most(step_ms: int) -> int:
    """The finer the step, the longer its labels, and the fewer have room."""
    return 4 if step_ms < SECOND else 6 if step_ms < MINUTE else TIME_TICKS


def round_step(least: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is not below `least`, which is above 0."""
    power = exponent(least)
    steps = [float(f"{m}e{e}") for e in (power, power + 1) for m in (1, 2, 5)]
    return next(step for step in steps if step >= least)


def _range(values: Iterable[float | None]) -> tuple[float, float]:
    """Of the values; around a single one, and 0 to 1 where there is none."""
    held = drawable(values)
    if not held:
        return 0.0, 1.0
    low, high = min(held), max(held)
    size = max(abs(low), abs(high))
    if high - low > 1e-9 * size and high - low > 1 / LARGEST:
        return low, high
    edge = 0.1 * size if size > 1 / LARGEST else 1.0
    return low - edge, high + edge


def _labels(marks: Sequence[float], step: float) -> list[str]:
    """As many decimals as the step has; powers of ten where that would be long."""
    size = max(map(abs, marks))
    if size < 1e7 and step >= 1e-5:
        return [fixed(mark, max(0, -exponent(step))) for mark in marks]
    digits = max(1, exponent(size) - exponent(step) + 1)
    return [scientific(mark, digits - exponent(size) + exponent(mark)) if mark else "0" for mark in marks]


def _clock_ticks(low: int, high: int, step: int) -> Iterator[Tick]:
    """At the multiples of a step; weeks begin on Mondays."""
    origin = MONDAY_MS if step % (7 * DAY) == 0 else 0
    first = -(-(low - origin) // step) * step + origin
    for time_ms in range(first, high + 1, step):
        at = EPOCH + timedelta(milliseconds=time_ms)
        is_day = time_ms % DAY == 0
        yield Tick(time_ms, f"{at.day}\u00a0{MONTHS[at.month - 1]}" if is_day else clock(at))


def _month_ticks(low: int, high: int, months: int) -> Iterator[Tick]:
    """At the first of every so many months, or of years."""
    begin, end = EPOCH + timedelta(milliseconds=low), EPOCH + timedelta(milliseconds=high)
    for number in range(begin.year * 12 // months * months, end.year * 12 + 12, months):
        year, month = divmod(number, 12)
        if not 1 <= year <= 9999 or not begin <= datetime(year, month + 1, 1, tzinfo=UTC) <= end:
            continue
        time_ms = (datetime(year, month + 1, 1, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)
        yield Tick(time_ms, str(year) if months % 12 == 0 else f"{MONTHS[month]}\u00a0{year}")
