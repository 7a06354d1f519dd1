"""Event times as they stand in tables to ms since the epoch. What is ambiguous is refused, not guessed.

Knows columns, not files. Shapes: R rows.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from streamrnn.codecs.times import EDGES, EPOCH, LARGEST_TIME_MS
from streamrnn.tables.numbers import Bad

PER_MS = {"s": 1, "ms": 1, "us": 1_000, "ns": 1_000_000}
HINT = "; its time format (--time-format s, ms, us, ns, or a form such as %m/%d/%Y or %Y%m%d)?"
COMPACT = {10: "%Y%m%d%H", 12: "%Y%m%d%H%M"}
"""Forms whose numbers may be taken for epochs, by their digits."""
_MIDNIGHT = re.compile(r"(?<![\d:.+-])24:00(:00(\.0+)?)?(?![\d:.])")
_DAY_MS = 86_400_000


def times_ms(column: Any, form: str | None) -> NDArray[np.int64]:
    """Read a column of event times as (R,) int64, ms since the epoch.

    A time without a zone is UTC. What is below a millisecond is cut off. Bad where a cell is no time.
    """
    if column.null_count:
        raise Bad(int(column.is_null().to_numpy(zero_copy_only=False).argmax()), "no time")
    kind = column.type
    if form is None:
        _refuse_compact(column)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _to_ms(pc.cast(column, pa.timestamp("us"), safe=False))
    if (pa.types.is_integer(kind) or pa.types.is_floating(kind)) and (form is None or form in PER_MS):
        return epoch_ms(column.to_numpy(zero_copy_only=False), form)
    try:
        return text_times(pc.cast(column, pa.string()), form)
    except pa.ArrowNotImplementedError:
        raise Bad(0, f"{kind} is no time") from None


def _refuse_compact(column: Any) -> None:
    """Raise Bad where every number can be read as year, month, day and hour, perhaps with a minute.

    Such numbers may be epochs that look so by chance.
    """
    if not (pa.types.is_string(column.type) or pa.types.is_integer(column.type)) or not len(column):
        return
    first = str(column[0].as_py()).strip()
    form = COMPACT.get(len(first)) if first.isdecimal() else None
    if form is None:
        return
    try:
        numbers = pc.cast(column, pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        return
    hours = numbers // (100 if form.endswith("M") else 1)
    parts = (numbers % 100 if form.endswith("M") else 0 * numbers, hours % 100, hours // 100 % 100)
    minute, hour, day = parts
    month, year = hours // 10_000 % 100, hours // 1_000_000
    fits = (minute < 60) & (hour < 24) & (day > 0) & (day < 32) & (month > 0) & (month < 13)
    if (fits & (year >= 1900) & (year < 2100)).all():
        unit = "s" if len(first) == 10 else "ms"
        raise Bad(0, f"{first} is a date or an epoch number: --time-format {form}, or --time-format {unit}")


def joined(columns: list[Any]) -> Any:
    """Join several columns to one of texts with spaces between. A row is null where one of the columns is."""
    if len(columns) == 1:
        return columns[0]
    return pc.binary_join_element_wise(*(pc.utf8_trim_whitespace(pc.cast(c, pa.string())) for c in columns), " ")


def _to_ms(moments: Any) -> NDArray[np.int64]:
    micros: NDArray[np.int64] = pc.cast(moments, pa.int64()).to_numpy()
    return micros // 1000


def text_times(texts: Any, form: str | None) -> NDArray[np.int64]:
    """Read a column of texts as (R,) ms since the epoch.

    A column of one kind is read in one go. In any other, each different text is read once.
    """
    for parse in _parsers(form):
        try:
            return parse(texts)
        except pa.ArrowInvalid:
            continue
    coded = texts.dictionary_encode()
    codes, different = coded.indices.to_numpy(), []
    for text in coded.dictionary.to_pylist():
        try:
            different.append(time_ms(text.strip(), form))
        except (ValueError, OverflowError, Bad) as error:
            hint = "" if form or isinstance(error, Bad) else HINT
            index = int((codes == len(different)).argmax())
            raise Bad(index, f"{error}{hint}" if text.strip() else "no time") from None
    times: NDArray[np.int64] = np.array(different, dtype=np.int64)[codes]
    return times


def _parsers(form: str | None) -> list[Callable[[Any], NDArray[np.int64]]]:
    """The fast parsers for a form.

    There are none for a form such as %m/%d/%Y: pyarrow's strptime takes 2/31 for 3/2 and 86 for the year 86.
    """
    if form is not None and form not in PER_MS:
        return []
    return [
        lambda texts: epoch_ms(pc.cast(texts, pa.int64()).to_numpy(), form),
        lambda texts: epoch_ms(pc.cast(texts, pa.float64()).to_numpy(), form),
        lambda texts: _to_ms(pc.cast(texts, pa.timestamp("us"))),
        lambda texts: _to_ms(pc.cast(texts, pa.timestamp("us", "UTC"))),
    ]


def time_ms(text: str, form: str | None) -> int:
    """Read one time as ms since the epoch. This is the slow twin of all parsers."""
    is_epoch = form in PER_MS or (form is None and re.fullmatch(r"[+-]?\d+(\.\d*)?", text))
    if is_epoch:
        number: Any = int(text) if text.lstrip("+-").isdecimal() else float(text)
        return int(epoch_ms(np.array([number]), form)[0])
    # ISO 8601 names the end of a day so; Python's parsers do not know it.
    text, midnights = _MIDNIGHT.subn(lambda at: "00" + at[0][2:], text)
    moment = datetime.strptime(text, form) if form else datetime.fromisoformat(text)
    ms = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // timedelta(milliseconds=1)
    return ms + midnights * _DAY_MS


def epoch_ms(numbers: NDArray[Any], unit: str | None) -> NDArray[np.int64]:
    """Epoch numbers as ms. They are in `unit`; without one, the size of each number tells its unit."""
    size = np.abs(numbers.astype(np.float64))
    if unit is None:
        code = np.digitize(size, EDGES)
        units, bad = code // 2, code % 2 == 0
    else:
        units = np.full(len(numbers), list(PER_MS).index(unit))
        bad = ~(size * (1000 if unit == "s" else 1) / PER_MS[unit] <= LARGEST_TIME_MS)
    if bad.any():
        index = int(bad.argmax())
        why = "is out of range" if unit else f"fits no epoch unit{HINT}"
        raise Bad(index, f"{numbers[index]} {why}")
    times = np.empty(len(numbers), dtype=np.int64)
    for which, (name, per_ms) in enumerate(PER_MS.items()):
        some = numbers[units == which]
        times[units == which] = np.rint(some * 1000.0) if name == "s" else some // per_ms
    return times
