"""Ranges of bytes of files, and how near ones are read as one. Knows no store."""

from collections.abc import Sequence
from typing import NamedTuple

NEAR_BYTES = 16_384
"""Reading so much for nothing is sooner done than asking once more."""
LONGEST_BYTES = 8 * 2**20


class ByteSpan(NamedTuple):
    """Bytes [start, end) of a file."""

    key: str
    start: int
    end: int


class Merged(NamedTuple):
    """One range to read, and which of the wanted ones it holds, by their numbers."""

    span: ByteSpan
    holds: list[int]


def merge(spans: Sequence[ByteSpan]) -> list[Merged]:
    """Ranges that hold all the wanted ones, those near each other in one; empty ones are in none."""
    merged: list[Merged] = []
    for number in sorted(range(len(spans)), key=lambda n: spans[n]):
        key, start, end = spans[number]
        if start == end:
            continue
        if merged and _is_near(merged[-1].span, spans[number]):
            before, holds = merged[-1]
            holds.append(number)
            merged[-1] = Merged(ByteSpan(key, before.start, max(before.end, end)), holds)
        else:
            merged.append(Merged(ByteSpan(key, start, end), [number]))
    return merged


def _is_near(before: ByteSpan, span: ByteSpan) -> bool:
    near = span.start <= before.end + NEAR_BYTES and span.end - before.start <= LONGEST_BYTES
    return before.key == span.key and near


def split(merged: Sequence[Merged], read: Sequence[bytes], spans: Sequence[ByteSpan]) -> list[bytes]:
    """The wanted ranges, out of what was read of the merged ones."""
    parts: list[bytes] = [b""] * len(spans)
    for (span, holds), data in zip(merged, read, strict=True):
        for number in holds:
            parts[number] = data[spans[number].start - span.start : spans[number].end - span.start]
    return parts
