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
    """One range to read, and the numbers of the wanted ranges that it holds."""

    span: ByteSpan
    holds: list[int]


def merge(spans: Sequence[ByteSpan]) -> list[Merged]:
    """Merge wanted ranges that lie near each other into one. An empty range is in none of the results."""
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
    """Cut the bytes of the wanted ranges out of the bytes of the merged ones."""
    parts: list[bytes] = [b""] * len(spans)
    for (span, holds), data in zip(merged, read, strict=True):
        for number in holds:
            parts[number] = data[spans[number].start - span.start : spans[number].end - span.start]
    return parts
