"""Bounds of features as an option gives them: `temp=-50:60,load=0:`. Knows no model."""

import math
import re

_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_RANGE = re.compile(rf"\s*(.+?)\s*=\s*({_NUMBER})?\s*:\s*({_NUMBER})?\s*(?:,|$)")
"""A name may hold commas and signs of equality: its bounds end it."""


def parse_ranges(text: str | None) -> dict[str, tuple[float, float]]:
    """Low and high by feature, infinite where a side is open; ValueError names what cannot be read."""
    found: dict[str, tuple[float, float]] = {}
    at, text = 0, (text or "").strip()
    while at < len(text):
        item = _RANGE.match(text, at)
        if item is None:
            raise ValueError(f"{text[at : at + 40]!r} is not like temp=-50:60, load=0: or rpm=:9000")
        name, low, high = item[1], float(item[2] or -math.inf), float(item[3] or math.inf)
        if name in found:
            raise ValueError(f"{name} has bounds twice")
        if not low < high:
            raise ValueError(f"{name}={item[2]}:{item[3]}: the low bound must be below the high one")
        found[name], at = (low, high), item.end()
    return found
