"""Owns how bytes of Kafka's log become records: the plain reader of every form of batch, one field after the other.

The slow and obvious twin of compiled readers, stricter than the protocol asks: whatever is wrong is `Unreadable`.
Knows no topic and no consumer. Source: Kafka's DefaultRecordBatch, DefaultRecord and LegacyRecord; KIP-98, KIP-32.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

from crc32c import crc32c

from streamrnn.kafka.reading.compression import CODECS, TooLarge, Undecodable, decompress

LOG_OVERHEAD = 12
"""Bytes of a batch before those that its length counts: its first offset and the length."""
MAGIC_AT, CRC_AT, ATTRIBUTES_AT = 16, 17, 21
_HEADER = struct.Struct(">qiibIhiqqqhii")
HEADER_BYTES = _HEADER.size
NO_TIMESTAMP = -1
_APPEND_TIME, _TRANSACTIONAL, _CONTROL = 8, 16, 32
_WRAP, _SIGN = 1 << 64, 1 << 63
_LEGACY = struct.Struct(">qiIbb")
_LEGACY_TIME = struct.Struct(">q")
_LENGTH = struct.Struct(">i")
MOST_HEADERS = 1000
"""Of one record: one takes two bytes in the log, and some hundred in memory."""
REASONS = ("crc", "cut", "header", "magic", "codec", "compression", "too_large", "record", "headers", "broker")
"""Why a batch could not be read, for a metric."""


class Unreadable(Exception):
    """A batch, or what is left of it, that nobody can read; `reason` is one of REASONS."""

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(why)
        self.reason = reason


class Header(NamedTuple):
    """A batch of form 2; offsets base to base + last_delta are its own, however few records are left of it."""

    base: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_delta: int
    first_ms: int
    max_ms: int
    producer: int
    producer_epoch: int
    sequence: int
    records: int

    @property
    def stop(self) -> int:
        """The offset after its last."""
        return self.base + self.last_delta + 1

    @property
    def codec(self) -> int:
        """Its compression, an index of CODECS if it is one of them."""
        return self.attributes & 7

    @property
    def is_transactional(self) -> bool:
        """Whether a transaction decides if it counts."""
        return bool(self.attributes & _TRANSACTIONAL)

    @property
    def is_control(self) -> bool:
        """Whether it holds a transaction's marker, and no records."""
        return bool(self.attributes & _CONTROL)

    @property
    def is_by_append_time(self) -> bool:
        """Whether `max_ms`, when the broker wrote it, is the timestamp of all its records."""
        return bool(self.attributes & _APPEND_TIME)


class LogRecord(NamedTuple):
    """One record as it stands in the log; a header's key is bytes, and may be any.

    Headers are None where there are more than MOST_HEADERS of them.
    """

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[bytes, bytes | None]] | None


def read_header(batch: memoryview) -> Header:
    """The header of a batch of form 2, which may be cut short behind it; Unreadable where it is not all there."""
    if len(batch) < HEADER_BYTES:
        raise Unreadable("cut", f"its {len(batch)} bytes are fewer than a header has")
    return Header(*_HEADER.unpack_from(batch))


def check(header: Header, batch: memoryview) -> None:
    """Unreadable unless the bytes are those that were written and the header makes sense."""
    if crc32c(batch[ATTRIBUTES_AT:]) != header.crc:
        raise Unreadable("crc", "its checksum is not that of its bytes")
    if not 0 <= header.records <= header.last_delta + 1:
        raise Unreadable("header", f"{header.records} records up to offset {header.base} + {header.last_delta}")


def unpacked(header: Header, batch: memoryview, limit: int) -> memoryview:
    """The records' bytes, at most `limit` of them where they were compressed."""
    packed = batch[HEADER_BYTES:]
    if not header.codec:
        return packed
    if header.codec >= len(CODECS):
        raise Unreadable("codec", f"its compression codec {header.codec} is unknown; known are {', '.join(CODECS)}")
    return memoryview(_unpacked(header.codec, packed, limit))


def _unpacked(codec: int, packed: memoryview, limit: int) -> bytes | bytearray | memoryview:
    try:
        return decompress(codec, packed, limit)
    except Undecodable as error:
        raise Unreadable("compression", str(error)) from error
    except TooLarge as error:
        raise Unreadable("too_large", str(error)) from error


def read_records(header: Header, held: memoryview, number: int = 0, at: int = 0) -> Iterator[LogRecord]:
    """The records of a checked batch, in order; Unreadable at the first that is not whole, or for bytes left.

    `number` of them were read before, up to held[at:].
    """
    for _ in range(number, header.records):
        length, at = _varint(held, at)
        if not 0 <= length <= len(held) - at:
            raise Unreadable("record", f"a record of {length} bytes where {len(held) - at} are left")
        yield _record(header, held[at : at + length])
        at += length
    if at != len(held):
        raise Unreadable("record", f"{len(held) - at} bytes are left after its {header.records} records")


def _record(header: Header, held: memoryview) -> LogRecord:
    _, at = _varint(held, 0)  # attributes: unused
    time_delta, at = _varint(held, at)
    offset_delta, at = _varint(held, at)
    key, at = _bytes(held, at)
    value, at = _bytes(held, at)
    headers = _headers(held, at)
    time_ms = header.max_ms if header.is_by_append_time else _as_int64(header.first_ms + time_delta)
    return LogRecord(_as_int64(header.base + offset_delta), time_ms, key, value, headers)


def _headers(held: memoryview, at: int) -> list[tuple[bytes, bytes | None]] | None:
    count, at = _varint(held, at)
    if count < 0:
        raise Unreadable("record", f"a record with {count} headers")
    if count > MOST_HEADERS:
        return None
    headers = []
    for _ in range(count):
        name, at = _bytes(held, at)
        if name is None:
            raise Unreadable("record", "a record header without a key")
        content, at = _bytes(held, at)
        headers.append((name, content))
    if at != len(held):
        raise Unreadable("record", f"{len(held) - at} bytes are left after a record's last field")
    return headers


def _varint(held: memoryview, at: int) -> tuple[int, int]:
    """A zigzag number of at most ten bytes, and where the next field begins."""
    number = shift = 0
    while True:
        if at >= len(held):
            raise Unreadable("record", "a record ends within a number")
        if shift > 63:
            raise Unreadable("record", "a number of more than ten bytes")
        byte = held[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            number %= _WRAP
            return (number >> 1) ^ -(number & 1), at


def _bytes(held: memoryview, at: int) -> tuple[bytes | None, int]:
    size, at = _varint(held, at)
    if size < 0:
        return None, at
    if size > len(held) - at:
        raise Unreadable("record", f"a field of {size} bytes where {len(held) - at} are left")
    return bytes(held[at : at + size]), at + size


def _as_int64(number: int) -> int:
    """What 64 bits make of a sum."""
    return (number + _SIGN) % _WRAP - _SIGN


def check_legacy(batch: memoryview) -> None:
    """Unreadable unless the bytes of a message of form 0 or 1 are those that were written."""
    if len(batch) < _LEGACY.size:
        raise Unreadable("cut", f"a message of {len(batch)} bytes")
    if crc32(batch[MAGIC_AT:]) != _LEGACY.unpack_from(batch)[2]:
        raise Unreadable("crc", "its checksum is not that of its bytes")


def read_legacy(batch: memoryview, limit: int) -> Iterator[LogRecord]:
    """The records of a message of form 0 or 1, as brokers before 0.11 wrote: one, or many in a compressed one."""
    outer, attributes = _message(batch)
    codec = attributes & 7
    if not codec:
        yield outer
        return
    magic = batch[MAGIC_AT]
    if codec > 3 or (codec == 3 and magic == 0):  # KAFKA-3160: LZ4 frames of form 0 are none
        raise Unreadable("codec", f"compression codec {codec} in a message of form {magic}")
    if outer.value is None:
        raise Unreadable("record", "a compressed message without a value")
    held = memoryview(_unpacked(codec, memoryview(outer.value), limit))
    shift = 0
    if magic:  # KIP-31: offsets within form 1 are relative, and the last one is the outer message's
        for last in _messages(held):
            shift = outer.offset - _message(last)[0].offset
    for inner in _messages(held):
        record, packing = _message(inner)
        if packing & 7:
            raise Unreadable("record", "a message compressed twice")
        time_ms = outer.timestamp_ms if attributes & _APPEND_TIME else record.timestamp_ms
        yield record._replace(offset=_as_int64(record.offset + shift), timestamp_ms=time_ms)


def _messages(held: memoryview) -> Iterator[memoryview]:
    """The bytes of each message in a compressed one."""
    at = 0
    while at < len(held):
        length = _LENGTH.unpack_from(held, at + 8)[0] if len(held) - at >= LOG_OVERHEAD else -1
        if not _LEGACY.size - LOG_OVERHEAD <= length <= len(held) - at - LOG_OVERHEAD:
            raise Unreadable("record", f"a message of {length} bytes where {len(held) - at} are left")
        yield held[at : at + LOG_OVERHEAD + length]
        at += LOG_OVERHEAD + length


def _message(batch: memoryview) -> tuple[LogRecord, int]:
    """One message and its attributes."""
    offset, _, _, magic, attributes = _LEGACY.unpack_from(batch)
    try:
        at, time_ms = _LEGACY.size, NO_TIMESTAMP
        if magic:
            (time_ms,) = _LEGACY_TIME.unpack_from(batch, at)
            at += _LEGACY_TIME.size
        key, at = _sized(batch, at)
        value, at = _sized(batch, at)
    except struct.error as error:
        raise Unreadable("record", f"a message ends early: {error}") from error
    if at != len(batch):
        raise Unreadable("record", f"{len(batch) - at} bytes are left after a message")
    return LogRecord(offset, time_ms, key, value, []), attributes


def _sized(batch: memoryview, at: int) -> tuple[bytes | None, int]:
    (size,) = _LENGTH.unpack_from(batch, at)
    at += _LENGTH.size
    if size == -1:
        return None, at
    if not 0 <= size <= len(batch) - at:
        raise Unreadable("record", f"a field of {size} bytes where {len(batch) - at} are left")
    return bytes(batch[at : at + size]), at + size
