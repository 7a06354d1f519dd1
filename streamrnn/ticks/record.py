"""One record as an object: fetched, refused, or to be published. Many at once are in record_columns.py."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

NO_INDEX = -1
"""Of a tick that did not come in a list."""
MOST_INDEX = 2**20 - 2
"""Of a tick in a list."""


Place = tuple[int, int, int]
"""Partition, offset and index of a tick."""


class Record(NamedTuple):
    """A Kafka record as fetched: bytes, untouched; of a header's key, what is not UTF-8 is surrogates (PEP 383)."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


as_record = partial(tuple.__new__, Record)
"""Record from a tuple of all its fields, three times as fast as by name."""


class DeadLetter(NamedTuple):
    """A refused record and why; `stage` is decode, place, step, score, encode or publish.

    Of a list it is one element: the record has only its value, `element` is its index.
    """

    record: Record
    stage: str
    code: str
    message: str
    element: int = NO_INDEX

    @property
    def place(self) -> Place:
        """The place of the refused tick."""
        return self.record.partition, self.record.offset, self.element


class OutRecord(NamedTuple):
    """One record to publish; the partition number is the source's. place: of the tick it was made of, if of any."""

    partition: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    place: Place | None = None


as_out_record = partial(tuple.__new__, OutRecord)
"""OutRecord from a tuple of all its fields, three times as fast as by name."""
