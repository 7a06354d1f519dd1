"""Owns decompression with a limit that holds before the memory is taken. Knows no batch.

Forms as Kafka's clients write them: gzip (RFC 1952), snappy in xerial's frames or bare, LZ4 frames, zstd frames.
"""

import struct
import zlib
from collections.abc import Callable
from typing import Any

import cramjam

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
"""By the number that stands in a batch's attributes."""
_XERIAL = struct.Struct(">8sii")
_XERIAL_MAGIC = b"\x82SNAPPY\0"
_GZIP_FORM = 31
"""zlib's wbits for a gzip header and trailer."""
_MOST_MEMBERS = 64
"""Of gzip in one batch; producers write one."""
_FIRST_GUESS = 8
"""How many times its size a frame is expected to hold; doubled until it fits."""


class Undecodable(Exception):
    """Bytes that are not what their codec writes."""


class TooLarge(Exception):
    """More bytes than the limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"it holds more than {limit} bytes (input.max_batch_bytes)")


def decompress(codec: int, data: memoryview, limit: int) -> bytes | bytearray | memoryview:
    """What `data` holds, at most `limit` bytes; Undecodable or TooLarge. `codec` indexes CODECS and is not none."""
    try:
        return _READERS[CODECS[codec]](data, limit)
    except (cramjam.DecompressionError, zlib.error, struct.error) as error:
        raise Undecodable(f"{CODECS[codec]}: {error}") from error


def _gzip(data: memoryview, limit: int) -> bytes:
    """One gzip member after the other, as Python's own reader takes them."""
    parts, room, rest = [], limit, bytes(data)
    for _ in range(_MOST_MEMBERS):
        member = zlib.decompressobj(_GZIP_FORM)
        parts.append(member.decompress(rest, room + 1))
        room -= len(parts[-1])
        if room < 0:
            raise TooLarge(limit)
        if not member.eof:
            raise Undecodable("gzip: it ends early")
        rest = member.unused_data.lstrip(b"\0")  # zeros after a member are padding
        if not rest:
            return b"".join(parts)
    raise Undecodable(f"gzip: more than {_MOST_MEMBERS} members")


def _snappy(data: memoryview, limit: int) -> bytes | bytearray:
    if data[:8] != _XERIAL_MAGIC or len(data) < _XERIAL.size:
        return _snappy_block(data, limit, limit)
    parts, room, at = [], limit, _XERIAL.size
    while at < len(data):
        (size,) = struct.unpack_from(">i", data, at)
        at += 4
        if not 0 < size <= len(data) - at:
            raise Undecodable(f"snappy: a block of {size} bytes where {len(data) - at} are left")
        parts.append(_snappy_block(data[at : at + size], room, limit))
        room -= len(parts[-1])
        at += size
    return b"".join(parts)


def _snappy_block(data: memoryview, room: int, limit: int) -> bytearray:
    """A block says first how much it holds, and the reader refuses another amount."""
    size = cramjam.snappy.decompress_raw_len(data)
    if size > room:
        raise TooLarge(limit)
    held = bytearray(size)
    cramjam.snappy.decompress_raw_into(data, held)
    return held


def _frames(codec: Any) -> Callable[[memoryview, int], memoryview]:
    """Frames need not say what they hold: a buffer grows until it does."""

    def read(data: memoryview, limit: int) -> memoryview:
        size = min(limit, max(4096, _FIRST_GUESS * len(data)))
        while True:
            held = bytearray(size)
            try:
                return memoryview(held)[: codec.decompress_into(data, held)]
            except cramjam.DecompressionError as error:
                if "whole buffer" not in str(error):  # all that tells a buffer too small from a frame that is wrong
                    raise
            if size >= limit:
                raise TooLarge(limit)
            size = min(limit, 4 * size)

    return read


_READERS: dict[str, Callable[[memoryview, int], bytes | bytearray | memoryview]] = {
    "gzip": _gzip,
    "snappy": _snappy,
    "lz4": _frames(cramjam.lz4),
    "zstd": _frames(cramjam.zstd),
}
