"""A committed offset, what is written beside it, and what a worker is in its group. Knows no broker."""

from typing import NamedTuple


class Mark(NamedTuple):
    """The next offset to be read, and text (at most 4,096 bytes) that is committed with it, atomically."""

    offset: int
    metadata: str = ""


class Membership(NamedTuple):
    """One worker's place in one generation of its group: what the broker knows a stale worker by."""

    group: str
    generation: int
    member_id: str
    instance_id: str | None = None


class Assignment(NamedTuple):
    """Partitions this worker holds since `generation` of its group."""

    generation: int
    partitions: frozenset[int]
