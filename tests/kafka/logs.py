"""Kafka's log as bytes, written field by field for the tests: the other side of the readers, without their code."""

import gzip
import struct
from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

import cramjam
from aiokafka.record.util import calc_crc32c

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
CODECS = {"none": NONE, "gzip": GZIP, "snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}
TRANSACTIONAL, CONTROL, APPEND_TIME = 16, 32, 8
Headers = Sequence[tuple[bytes, bytes | None]]


class Row(NamedTuple):
    """A record to be written; delta from the batch's first offset."""

    delta: int
    key: bytes | None = b"k"
    value: bytes | None = b"v"
    headers: Headers = ()
    time_ms: int = 1_000


def varint(number: int) -> bytes:
    zigzag, out = (number << 1) ^ (number >> 63), bytearray()
    zigzag &= (1 << 64) - 1
    while zigzag > 0x7F:
        out.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    return bytes([*out, zigzag])


def sized(content: bytes | None) -> bytes:
    return varint(-1) if content is None else varint(len(content)) + content


def record(row: Row, first_ms: int) -> bytes:
    headers = b"".join(sized(key) + sized(value) for key, value in row.headers)
    body = b"\0" + varint(row.time_ms - first_ms) + varint(row.delta) + sized(row.key) + sized(row.value)
    body += varint(len(row.headers)) + headers
    return varint(len(body)) + body


def snappy_frames(data: bytes, block: int = 32 * 1024) -> bytes:
    """As xerial's library writes them, which Java's clients use."""
    out = [b"\x82SNAPPY\0", struct.pack(">ii", 1, 1)]
    for at in range(0, len(data), block):
        packed = bytes(cramjam.snappy.compress_raw(data[at : at + block]))
        out += [struct.pack(">i", len(packed)), packed]
    return b"".join(out)


def packed(codec: int, data: bytes) -> bytes:
    if codec == GZIP:
        return gzip.compress(data)
    if codec == SNAPPY:
        return snappy_frames(data)
    if codec == LZ4:
        return bytes(cramjam.lz4.compress(data))
    return bytes(cramjam.zstd.compress(data)) if codec == ZSTD else data


def batch(
    base: int, rows: Sequence[Row], codec: int = NONE, attributes: int = 0, last_delta: int | None = None,
    producer: int = -1, max_ms: int = 9_000, body: bytes | None = None, count: int | None = None, magic: int = 2,
) -> bytes:  # fmt: skip
    """A batch of form 2, its checksum right; `body` stands for the records, compressed or not."""
    first_ms = rows[0].time_ms if rows else 0
    if body is None:
        body = packed(codec, b"".join(record(row, first_ms) for row in rows))
    last = last_delta if last_delta is not None else max((row.delta for row in rows), default=0)
    numbers = (attributes | codec, last, first_ms, max_ms, producer, 0, 0, len(rows) if count is None else count)
    rest = struct.pack(">hiqqqhii", *numbers) + body
    return struct.pack(">qiibI", base, 9 + len(rest), 0, magic, calc_crc32c(rest)) + rest


def sealed(data: bytes) -> bytes:
    """The batch with the checksum that its bytes have now."""
    return data[:17] + struct.pack(">I", calc_crc32c(data[21:])) + data[21:]


def marker(offset: int, producer: int, kind: int = 0) -> bytes:
    """The end of a transaction: abort 0, commit 1."""
    row = Row(0, struct.pack(">hh", 0, kind), struct.pack(">hi", 0, 0))
    return batch(offset, [row], attributes=TRANSACTIONAL | CONTROL, producer=producer)


def message(
    offset: int, key: bytes | None, value: bytes | None, magic: int = 1, attributes: int = 0, time_ms: int = 1_000
) -> bytes:
    """One of form 0 or 1."""
    rest = struct.pack(">bb", magic, attributes) + (struct.pack(">q", time_ms) if magic else b"")
    for content in (key, value):
        rest += struct.pack(">i", -1) if content is None else struct.pack(">i", len(content)) + content
    return struct.pack(">qiI", offset, 4 + len(rest), crc32(rest)) + rest


def ten(base: int, codec: int = NONE, **more: int) -> bytes:
    """A batch of ten plain records with values `base` to `base + 9`."""
    return batch(base, [Row(n, b"k", b"%d" % (base + n)) for n in range(10)], codec, **more)
