"""A record's headers as one string of bytes, as they stand in Kafka's log: a count, then each key and value.

Numbers are zigzag varints. Source: Kafka's DefaultRecord. Knows no batch.
"""

from collections.abc import Sequence

Header = tuple[str, bytes | None]
"""Key and value of one header; of the key, what is not UTF-8 is surrogates (PEP 383)."""


def write_headers(headers: Sequence[Header]) -> bytes:
    """The headers as bytes; empty, and not a count of 0, where there are none."""
    if not headers:
        return b""
    parts = [_varint(len(headers))]
    for name, content in headers:
        key = name.encode("utf-8", "surrogateescape")
        parts += (_varint(len(key)), key)
        parts += (_varint(-1),) if content is None else (_varint(len(content)), content)
    return b"".join(parts)


def read_headers(held: bytes) -> list[Header]:
    """The headers that sound bytes hold; who reads them from a log has checked them before."""
    if not held:
        return []
    count, at = _number(held, 0)
    headers: list[Header] = []
    for _ in range(count):
        size, at = _number(held, at)
        name, at = held[at : at + size].decode("utf-8", "surrogateescape"), at + size
        size, at = _number(held, at)
        headers.append((name, None if size < 0 else held[at : at + size]))
        at += max(0, size)
    return headers


def _varint(number: int) -> bytes:
    left, found = (number << 1) ^ (number >> 63), bytearray()
    while left > 0x7F:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    found.append(left)
    return bytes(found)


def _number(held: bytes, at: int) -> tuple[int, int]:
    """A varint, and where the next field begins."""
    number = shift = 0
    while True:
        byte = held[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at
