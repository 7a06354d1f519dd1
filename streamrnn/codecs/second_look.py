"""A second look at single values: what the fast way cannot read, or what is in them besides. Knows no columns."""

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from streamrnn.codecs.fields import Path
from streamrnn.codecs.formats.format import UNREADABLE, ObjectFormat
from streamrnn.codecs.reasons import Refused

MOST_NAMES = 200
LARGEST_LOOK_BYTES = 65_536
DEEPEST = 3
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"[+-]?[0-9]{1,20}")


def lenient_numbers(column: Sequence[Any], name: str, refused: dict[int, Refused]) -> list[float | None]:
    """Decimal text and booleans of a column as numbers; adds to the refused what is neither."""
    numbers: list[float | None] = list(column)
    if set(map(type, column)) <= {float, type(None)}:
        return numbers
    for index, value in enumerate(column):
        if isinstance(value, bool):
            numbers[index] = float(value)
        elif isinstance(value, str):
            is_number = _NUMBER.fullmatch(value) is not None
            numbers[index] = float(value) if is_number else None
            if not is_number:
                refused.setdefault(index, Refused("bad_type", f"{name}: {value[:40]!r} is no decimal number"))
    return numbers


def lenient_orders(column: Sequence[Any], refused: dict[int, Refused]) -> list[int | None]:
    """Whole numbers that are text as numbers; adds to the refused what is none."""
    orders: list[int | None] = list(column)
    for index, value in enumerate(column):
        if isinstance(value, str):
            is_whole = _WHOLE.fullmatch(value) is not None
            orders[index] = int(value) if is_whole else 0
            if not is_whole:
                refused.setdefault(index, Refused("bad_sequence", f"{value[:40]!r} is no whole number"))
    return orders


def names_in(value: bytes, of: ObjectFormat, base: Path = ()) -> list[str]:
    """Fields of a value, from its object at `base` on, dotted where deeper; of a large or broken one none."""
    if len(value) > LARGEST_LOOK_BYTES:
        return []
    try:
        found = of.decode(value)
    except UNREADABLE:
        return []
    for name in base:
        found = found.get(name) if isinstance(found, dict) else None
    named = _names(found, "", DEEPEST)
    return [name for name, _ in zip(named, range(MOST_NAMES), strict=False)]


def _names(found: Any, before: str, deepest: int) -> Iterator[str]:
    if not isinstance(found, dict):
        return
    for name, below in found.items():
        if isinstance(below, dict) and below and deepest > 1:
            yield from _names(below, f"{before}{name}.", deepest - 1)
        else:
            yield f"{before}{name}"


def resembling(name: str, names: Sequence[str]) -> str | None:
    """The one of the names that may be meant: alike but for case, punctuation or place, or nearly so."""
    plain = {other: _plain(other.rpartition(".")[2]) for other in names if other != name}
    wanted = _plain(name.rpartition(".")[2])
    same = [other for other, last in plain.items() if last == wanted]
    close = difflib.get_close_matches(wanted, plain.values(), n=1, cutoff=0.75)
    return same[0] if same else next((other for other, last in plain.items() if last in close), None)


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())
