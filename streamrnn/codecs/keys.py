"""A stream's key: bytes inside, text wherever it is shown or asked for. Owns both ways between them.

A key is of the kind that `input.key` says: UTF-8, Java's LongSerializer (8 bytes, big-endian) or
IntegerSerializer (4), a UUID's 16 bytes, or any bytes, shown as hex.
"""

import re
from collections.abc import Callable, Sequence
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.compiled.key_checks import bad_rows
from streamrnn.codecs.reasons import Refused, missing_key
from streamrnn.config.input import KeyKind
from streamrnn.errors import DataError
from streamrnn.ticks import Spans

LONGEST_KEY_BYTES = 1024
WIDTHS: dict[KeyKind, int] = {"int64": 8, "int32": 4, "uuid": 16}
_WHOLE = re.compile(r"-?[0-9]{1,20}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")


def to_text(key: bytes, kind: KeyKind) -> str:
    """A key as people see it; bytes that are no key of this kind as hex behind 0x."""
    if not are_keys([key], kind):
        return f"0x{key.hex()}"
    return key.decode() if kind == "text" else _WRITTEN[kind](key)


def begins(prefix: str, kind: KeyKind) -> Callable[[bytes], bool]:
    """Tells of a good key whether its shown text begins so."""
    if kind == "text":
        start = prefix.encode(errors="surrogatepass")
        return lambda key: key.startswith(start)
    write = _WRITTEN[kind]
    return lambda key: write(key).startswith(prefix)


def _uuid_text(key: bytes) -> str:
    """As str(UUID(bytes=key)), without the object."""
    text = key.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _number_text(key: bytes) -> str:
    return str(int.from_bytes(key, "big", signed=True))


_WRITTEN: dict[KeyKind, Callable[[bytes], str]] = {
    "int64": _number_text,
    "int32": _number_text,
    "uuid": _uuid_text,
    "bytes": bytes.hex,
}


def from_text(text: str, kind: KeyKind) -> bytes:
    """The key that is shown so; DataError if none of this kind is."""
    try:
        key = _parsed(text, kind)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{text[:60]!r} is no key of input.key = {kind}: {error}") from None
    if not are_keys([key], kind):
        raise DataError(f"{text[:60]!r} is no key of input.key = {kind}: {len(key)} bytes")
    return key


def _parsed(text: str, kind: KeyKind) -> bytes:
    if kind == "text":
        return text.encode()
    if kind == "uuid":
        return UUID(text).bytes
    if kind == "bytes":
        if not _HEX.fullmatch(text):
            raise ValueError("not hex digits in pairs")
        return bytes.fromhex(text)
    if not _WHOLE.fullmatch(text):
        raise ValueError("not a whole number")
    return int(text).to_bytes(WIDTHS[kind], "big", signed=True)


def are_keys(keys: Sequence[bytes | None], kind: KeyKind) -> bool:
    """Whether all are good, in a few calls: joined by ASCII, bytes are UTF-8 if and only if each part is."""
    if None in keys:
        return False
    lengths = set(map(len, keys))  # type: ignore[arg-type]
    if kind in WIDTHS:
        return lengths <= {WIDTHS[kind]}
    try:
        if kind == "text":
            b",".join(keys).decode()  # type: ignore[arg-type]
    except UnicodeDecodeError:
        return False
    return min(lengths, default=1) > 0 and max(lengths, default=1) <= LONGEST_KEY_BYTES


def bad_keys(keys: Spans, kind: KeyKind) -> NDArray[np.intp]:
    """Rows of those that are no good keys, ascending."""
    width = WIDTHS.get(kind)
    return bad_rows(keys, width or 1, width or LONGEST_KEY_BYTES, is_text=kind == "text")


def key_refusal(key: bytes | None, kind: KeyKind, field: str | None) -> Refused | None:
    """Why these bytes name no stream; `field` is where they were looked for, None the record's key."""
    if key is None:
        return missing_key(field)
    if are_keys([key], kind):
        return None
    shown = f"{len(key)} bytes, 0x{key[:16].hex()}{'...' * (len(key) > 16)}"
    if kind in WIDTHS:
        return Refused("bad_key", f"a key of input.key = {kind} takes {WIDTHS[kind]} bytes; this has {shown}")
    if not 0 < len(key) <= LONGEST_KEY_BYTES:
        return Refused("bad_key", f"a stream's name takes 1 to {LONGEST_KEY_BYTES} bytes, not {len(key)}")
    return Refused("bad_key", f"the stream's name is not UTF-8: {shown}; input.key = int64, int32, uuid or bytes?")
