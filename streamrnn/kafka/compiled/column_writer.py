"""Owns how records in columns become one batch of Kafka's log. Knows no producer."""

from collections.abc import Callable
from struct import Struct

import numpy as np
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from crc32c import crc32c

from streamrnn.kafka.compiled.framing import MOST_OVERHEAD, frame_records
from streamrnn.ticks import OutColumns
from streamrnn.ticks.byte_spans import uniform

_HEADER = Struct(">qiibIhiqqqhii")
_CRC_AT, _ATTRIBUTES_AT, _LENGTH_COVERS_FROM = 17, 21, 12
_CRC = Struct(">I")
_TRANSACTIONAL = 16
_COMPRESSED: tuple[Callable[[bytes], bytes], ...] = (bytes, gzip_encode, snappy_encode, lz4_encode, zstd_encode)
"""By the number that stands in a batch's attributes."""


class ColumnWriter:
    """A record batch of form 2 under construction; in aiokafka's terms a builder.

    Source: Kafka's DefaultRecordBatch. Not thread-safe.
    """

    def __init__(self, batch_bytes: int, compression: int, is_transactional: bool) -> None:
        self._limit, self._compression = batch_bytes, compression
        self._attributes = _TRANSACTIONAL if is_transactional else 0
        self._producer = (-1, -1, 0)
        self._first_ms = self._max_ms = 0
        self.count, self._at = 0, _HEADER.size
        self._body = np.empty(0, np.uint8)

    def take(self, records: OutColumns, row: int) -> int:
        """Append records from `row` on until the batch is full, and return how many went in.

        Record 0 of a batch goes in however large it is.
        """
        self._make_room(records, row)
        end, self._at, self._first_ms, self._max_ms = frame_records(
            self._body,
            self._at,
            self._limit,
            self._first_ms,
            self._max_ms,
            self.count,
            row,
            uniform(records.timestamp_ms),
            *records.keys.parts(),
            *records.values.parts(),
            *records.headers.parts(),
        )
        self.count += end - row
        return int(end - row)

    def _make_room(self, records: OutColumns, row: int) -> None:
        """Have bytes for all that may go in: what is left of the limit, or record 0 if that is larger."""
        sizes, left = (records.keys.sizes, records.values.sizes, records.headers.sizes), self._limit - self._at
        needed = sum(int(np.add.reduce(column[row:])) for column in sizes)
        needed += (MOST_OVERHEAD + len(sizes)) * (len(records) - row)  # None counts as -1
        if needed > left:
            first = MOST_OVERHEAD + sum(max(0, int(column[row])) for column in sizes)
            needed = max(left, 0 if self.count else first)
        room = self._at + needed
        if room > len(self._body):
            larger = np.empty(max(room, min(self._limit, 2 * len(self._body))), np.uint8)
            larger[: self._at] = self._body[: self._at] if len(self._body) else 0
            self._body = larger

    def set_producer_state(self, *state: int) -> None:
        """The producer's id and epoch, and the sequence number of record 0."""
        self._producer = (state[0], state[1], state[2])

    def size(self) -> int:
        """Bytes of the batch as it is now, uncompressed."""
        return self._at

    def build(self) -> bytes:
        """The batch as it is sent; compressed if that makes it smaller."""
        whole, attributes = self._body[: self._at], self._attributes
        if self._compression:
            packed = _COMPRESSED[self._compression](whole[_HEADER.size :].tobytes())
            if len(packed) < len(whole) - _HEADER.size:
                whole = np.concatenate((whole[: _HEADER.size], np.frombuffer(packed, np.uint8)))
                attributes |= self._compression
        batch, length = whole.data, len(whole) - _LENGTH_COVERS_FROM
        counted = (self.count - 1, self._first_ms, self._max_ms, *self._producer, self.count)
        # The broker sets the base offset and the leader's epoch. The checksum covers what follows it.
        _HEADER.pack_into(batch, 0, 0, length, -1, 2, 0, attributes, *counted)
        _CRC.pack_into(batch, _CRC_AT, crc32c(batch[_ATTRIBUTES_AT:]))
        return whole.tobytes()
