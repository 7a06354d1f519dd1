"""A stream's key as it is shown, into a buffer: the slow twin is keys.to_text. Keys are good ones of their kind."""

from typing import Any

import numpy as np

from streamrnn.codecs.compiled import number_texts
from streamrnn.codecs.compiled.number_texts import digits_of, int64, magnitude, put_whole, unsigned
from streamrnn.config.input import KeyKind
from streamrnn.process.compiling import borrowing, compiled_with, copy_bytes

TEXT, NUMBER, UUID, HEX = range(4)
"""How a key is shown: itself, UTF-8; a big-endian integer; a UUID; any bytes as hex."""
SHOWN_AS: dict[KeyKind, int] = {"text": TEXT, "int64": NUMBER, "int32": NUMBER, "uuid": UUID, "bytes": HEX}
MOST_SHOWN = 6
"""Bytes for each of a key's at most, quoted; and two quotes."""
_DASHES = 0b101_0101_0000
"""Bit n: whether there is a dash before byte n of a UUID."""
_DASH, _QUOTE, _BACKSLASH = ord("-"), ord('"'), ord("\\")
_SHORT = np.zeros(0x20, np.uint8)
_SHORT[[8, 9, 10, 12, 13]] = tuple(b"btnfr")
"""The letter behind the backslash that stands for a control character; 0 where it takes \\u00 and two digits."""
_LONG = np.frombuffer(b"\\u00", np.uint8)


@borrowing
def _whole_number(data: Any, start: int, size: int) -> int:
    """The big-endian integer with a sign in 1 to 8 bytes."""
    number: int = int64(data[start])
    number -= 0x100 * (number > 0x7F)
    for n in range(start + 1, start + size):
        number = (number << 8) | int64(data[n])
    return number


@borrowing
def _hex_digit(nibble: int) -> int:
    return nibble + (0x30 if nibble < 10 else 0x57)


@borrowing
def _put_hex(into: Any, at: int, data: Any, start: int, size: int, dashes: int) -> int:
    """Write bytes as hex, with a dash before those whose bit is set."""
    for n in range(size):
        if dashes and dashes >> n & 1:
            into[at] = _DASH
            at += 1
        byte = int64(data[start + n])
        into[at], into[at + 1] = _hex_digit(byte >> 4), _hex_digit(byte & 15)
        at += 2
    return at


@compiled_with(number_texts, is_borrowing=True)
def shown_size(kind: int, keys: Any, row: int) -> int:
    """Bytes that a key takes when shown."""
    data, starts, sizes = keys
    size: int = sizes[row]
    if kind == TEXT:
        return size
    if kind == NUMBER:
        number = _whole_number(data, starts[row], size)
        return digits_of(magnitude(number)) + (number < 0)
    return 2 * size + 4 * (kind == UUID)


@compiled_with(number_texts, is_borrowing=True)
def put_shown(into: Any, at: int, kind: int, keys: Any, row: int) -> int:
    """Write a key as it is shown."""
    data, starts, sizes = keys
    start: int = starts[row]
    size: int = sizes[row]
    if kind == NUMBER:
        return put_whole(into, at, _whole_number(data, start, size))
    if kind != TEXT:
        return _put_hex(into, at, data, start, size, _DASHES if kind == UUID else 0)
    copy_bytes(into, at, data, start, size)
    return at + size


@borrowing
def _is_plain(data: Any, start: int, size: int) -> bool:
    """Whether every byte stands for itself in a JSON text; all are looked at, faster than up to the first."""
    special = 0
    for n in range(unsigned(start), unsigned(start + size)):
        byte = data[n]
        special |= (byte < 0x20) | (byte == _QUOTE) | (byte == _BACKSLASH)
    return special == 0


@borrowing
def _put_escaped(into: Any, at: int, data: Any, start: int, size: int) -> int:
    """Write bytes as they stand in a JSON text."""
    for n in range(start, start + size):
        byte = int64(data[n])
        if byte < 0x20 or byte in (_QUOTE, _BACKSLASH):
            at = _put_escape(into, at, byte)
        else:
            into[at] = byte
            at += 1
    return at


@borrowing
def _put_escape(into: Any, at: int, byte: int) -> int:
    """Write a byte that does not stand for itself in a JSON text."""
    into[at] = _BACKSLASH
    if byte >= 0x20:
        into[at + 1] = byte
    elif _SHORT[byte]:
        into[at + 1] = _SHORT[byte]
    else:
        copy_bytes(into, at, _LONG, 0, len(_LONG))
        into[at + 4], into[at + 5] = _hex_digit(byte >> 4), _hex_digit(byte & 15)
        return at + 6
    return at + 2


@compiled_with(number_texts, is_borrowing=True)
def put_quoted(into: Any, at: int, kind: int, keys: Any, row: int) -> int:
    """Write a key as it is shown, as a JSON text."""
    data, starts, sizes = keys
    into[at] = _QUOTE
    if kind != TEXT or _is_plain(data, starts[row], sizes[row]):
        at = put_shown(into, at + 1, kind, keys, row)
    else:
        at = _put_escaped(into, at + 1, data, starts[row], sizes[row])
    into[at] = _QUOTE
    return at + 1
