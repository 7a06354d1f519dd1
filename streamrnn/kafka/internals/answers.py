"""Owns the fields of a broker's answer to a Fetch, which stand elsewhere in each version. Knows no batch.

Source: the protocol's Fetch, versions 1 to 11, as aiokafka's classes lay it out.
"""

from typing import Any, NamedTuple

CORRUPT_MESSAGE = 2
"""The broker met something in its own log that it cannot read."""
_WITH_STABLE, _WITH_START = 4, 5
"""The first versions that tell the last stable offset, and where the log starts."""


class Part(NamedTuple):
    """What an answer says of one partition; -1 for an offset that it does not tell.

    `aborted` holds (producer, first offset) of each transaction that was aborted among the records.
    """

    code: int
    highwater: int
    stable: int
    aborted: list[tuple[int, int]]
    data: bytes


def read_part(version: int, fields: tuple[Any, ...]) -> Part:
    """The part that an answer of this version holds in these fields."""
    _, code, highwater, *_ = fields
    if version < _WITH_STABLE:
        return Part(code, highwater, -1, [], fields[-1] or b"")
    return Part(code, highwater, fields[3], fields[_aborted_at(version)] or [], fields[-1] or b"")


def with_part(version: int, fields: tuple[Any, ...], part: Part) -> tuple[Any, ...]:
    """The same fields, holding `part` instead."""
    changed = [*fields[:-1], part.data]
    changed[1:3] = part.code, part.highwater
    if version >= _WITH_STABLE:
        changed[3], changed[_aborted_at(version)] = part.stable, part.aborted
    return tuple(changed)


def _aborted_at(version: int) -> int:
    return 5 if version >= _WITH_START else 4
