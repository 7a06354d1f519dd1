"""Numbers, times and durations as a reader wants them. Owns digits and units; knows no markup.

None (nothing to compare with) is an en dash; NaN is said, for it is a fault and not an absence.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

NOTHING = "\u2013"
MINUS = "\u2212"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DAY_MS = 86_400_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RAISED = str.maketrans("0123456789-", "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b")


def exponent(value: float) -> int:
    """The power of ten of a finite number's first digit."""
    return math.floor(math.log10(abs(value))) if value else 0


def fixed(value: float, decimals: int) -> str:
    """With so many decimals, thousands apart, a real minus, and no minus before a zero."""
    written = f"{abs(value):,.{decimals}f}"
    return written if value >= 0 or not float(written.replace(",", "")) else MINUS + written


def scientific(value: float, digits: int) -> str:
    """Such as 1.23x10^-7, with raised digits."""
    mantissa, power = f"{abs(value):.{max(0, digits - 1)}e}".split("e")
    return f"{MINUS if value < 0 else ''}{mantissa}\u00d710{str(int(power)).translate(RAISED)}"


def odd(value: float | None) -> str | None:
    """What is said of a value that is no finite number; None of one that is."""
    if value is None:
        return NOTHING
    if math.isnan(value):
        return "NaN"
    return None if math.isfinite(value) else f"{MINUS if value < 0 else ''}\u221e"


def significant(value: float | None, digits: int = 4) -> str:
    """With so many digits that count; very large and very small ones as powers of ten."""
    said = odd(value)
    if said is not None or value is None:
        return said or NOTHING
    if value and not -4 <= exponent(value) < 7:
        return scientific(value, digits)
    return fixed(value, max(0, digits - 1 - exponent(value)))


def aligned(values: Sequence[float | None], digits: int = 4) -> list[str]:
    """Numbers of one column with as many decimals as the smallest needs for its digits.

    Where they are too far apart for that (over 10,000 times), or too large or small, each has its own.
    """
    sizes = [exponent(v) for v in values if v and math.isfinite(v)]
    if not sizes or max(sizes) - min(sizes) > 4 or min(sizes) < -4 or max(sizes) > 8:
        return [significant(value, digits) for value in values]
    decimals = max(0, digits - 1 - min(sizes))
    return [odd(value) or fixed(value or 0.0, decimals) for value in values]


def trimmed(value: float) -> str:
    """A setting as its author would write it: 0.003, 100, infinity."""
    said = odd(value)
    if said is not None:
        return said
    if value and not -5 <= exponent(value) < 15:
        return f"{value:.12g}".replace("-", MINUS)
    written = f"{value:.12f}".rstrip("0").rstrip(".")
    return written.replace("-", MINUS)


def share(part: float, whole: float) -> str:
    """In percent, with one decimal; more where there would be none but zeros."""
    if not whole or not math.isfinite(part / whole):
        return NOTHING
    percent = 100 * part / whole
    return f"{significant(percent, 1) if 0 < abs(percent) < 0.1 else fixed(percent, 1)}\u00a0%"


def change(new: float | None, old: float | None) -> str:
    """By how much `new` is less or more than `old`, in percent; as a multiple from ten times on."""
    ratio = quotient(new, old)
    if ratio is None:
        return NOTHING
    if ratio >= 10:
        return f"{significant(ratio, 3)}\u00d7"
    percent = 100 * (ratio - 1)
    written = fixed(percent, 0 if abs(percent) >= 99.95 else 1)
    return f"{'+' if percent > 0 and written.strip('0.') else ''}{written}\u00a0%"


def quotient(new: float | None, old: float | None) -> float | None:
    """new / old; None where that says nothing."""
    if new is None or old is None or not old or not math.isfinite(new) or not math.isfinite(old):
        return None
    ratio = new / old
    return ratio if math.isfinite(ratio) else None


def moment(time_ms: int) -> datetime | None:
    """UTC; None of a time that no calendar has."""
    try:
        return EPOCH + timedelta(milliseconds=time_ms)
    except OverflowError:
        return None


def day(at: datetime) -> str:
    """Such as 3 Jan 2018."""
    return f"{at.day}\u00a0{MONTHS[at.month - 1]}\u00a0{at.year}"


def clock(at: datetime) -> str:
    """Hours and minutes; seconds and milliseconds where they are not 0."""
    written = f"{at.hour:02}:{at.minute:02}"
    if at.second or at.microsecond:
        written += f":{at.second:02}"
    return f"{written}.{at.microsecond // 1000:03}" if at.microsecond else written


def when(time_ms: int) -> str:
    """Such as 3 Jan 2018 14:05; the plain number where no calendar has it."""
    at = moment(time_ms)
    return f"{time_ms:,}\u00a0ms" if at is None else f"{day(at)} {clock(at)}"


def between(first_ms: int, last_ms: int) -> str:
    """Such as 3 Jan 2018 14:05 to 4 Jan 2018 02:00 UTC; days alone where both are whole."""
    ends = moment(first_ms), moment(last_ms)
    if ends[0] and ends[1] and first_ms % DAY_MS == last_ms % DAY_MS == 0:
        return f"{day(ends[0])} to {day(ends[1])} UTC"
    return f"{when(first_ms)} to {when(last_ms)} UTC"


def duration(seconds: float) -> str:
    """Such as 410 ms, 12.3 s, 3 min 5 s, 2 h 10 min."""
    if not math.isfinite(seconds):
        return significant(seconds)
    if seconds < 1:
        return f"{seconds * 1000:.0f}\u00a0ms"
    if seconds < 60:
        return f"{seconds:.1f}\u00a0s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,}\u00a0h {minutes}\u00a0min" if hours else f"{minutes}\u00a0min {rest}\u00a0s"


def spans(numbers: Sequence[int]) -> str:
    """Ascending whole numbers with runs drawn together: 1-4, 8."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}\u2013{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)
