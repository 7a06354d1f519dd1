"""How a key lies in a table of keys: hashed, written, compared and copied by compiled code. Owns the records.

A record is 32 bytes: place and partition of the stream, the key's size and the number of the record with the rest
of it, 16 bytes of the key. A record with the rest is the number of the next and 24 bytes of the key. Beside each
lies a note: how many slots hold the key, how often the record was freed, and the key's hash. The hash is
SipHash-1-3 under a secret, as Python's own: nobody who does not know it can choose keys that collide.
Addresses are of arrays that somebody keeps. Shapes: C chunks of CHUNK records.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from streamrnn.process.compiling import called

CHUNK, SHIFT = 4096, 12
"""Records of a chunk, by power of two, too."""
RECORDS, NOTES = range(2)
"""Of a chunk (C, 2): where its records lie, and its notes."""
_RECORD, _NOTE, _HEAD, _REST = 32, 16, 16, 8
_FREED = 1 << 32
"""One more time in a note; the holders are below."""
_BYTE = np.uint64(8)
_WORD = np.uint64(64)


def _access(is_load: bool, bits: int) -> Any:
    """Read or write an integer of so many bits at an address, aligned or not."""
    kind = ir.IntType(bits)

    def load(typing: Any, address: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            found = builder.load(builder.inttoptr(given[0], kind.as_pointer()), align=1)
            return found if bits == 64 else builder.zext(found, ir.IntType(64))

        return types.int64(types.int64), code

    def store(typing: Any, address: Any, value: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            value = given[1] if bits == 64 else builder.trunc(given[1], kind)
            builder.store(value, builder.inttoptr(given[0], kind.as_pointer()), align=1)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), code

    return intrinsic(load if is_load else store)


load, store = _access(True, 64), _access(False, 64)
_load_byte, _store_byte, _store_half = _access(True, 8), _access(False, 8), _access(False, 32)


@called
def record_of(chunks: Any, number: int) -> int:
    """Where a record lies."""
    return chunks[number >> SHIFT, RECORDS] + (number & (CHUNK - 1)) * _RECORD  # type: ignore[no-any-return]


@called
def note_of(chunks: Any, number: int) -> int:
    """Where the note on a record lies; 8 bytes on, its key's hash."""
    return chunks[number >> SHIFT, NOTES] + (number & (CHUNK - 1)) * _NOTE  # type: ignore[no-any-return]


@called
def place_at(record: int) -> int:
    """The place in a record."""
    return (load(record) << 32) >> 32  # type: ignore[no-any-return]


@called
def set_place(record: int, place: int) -> None:
    """Write the place into a record."""
    _store_half(record, place)


@called
def size_at(record: int) -> int:
    """The size of a record's key."""
    return load(record + 8) & 0xFFFFFFFF  # type: ignore[no-any-return]


@called
def rest_at(record: int) -> int:
    """The number of the record with the rest of a record's key."""
    return load(record + 8) >> 32  # type: ignore[no-any-return]


@called
def rests(size: int) -> int:
    """How many records with the rest a key of this size takes."""
    return (max(size - 16, 0) + 23) // 24


@called
def _word(key: int, size: int, at: int) -> Any:
    """The 8 bytes of a key from `at` on, zeros behind its end; reads nothing beyond."""
    left = size - at
    if left >= 8:
        return np.uint64(load(key + at))
    if size >= 8:
        return np.uint64(load(key + size - 8)) >> (_WORD - _BYTE * np.uint64(left))
    word = np.uint64(0)
    for i in range(left):
        word |= np.uint64(_load_byte(key + at + i)) << (_BYTE * np.uint64(i))
    return word


@called
def _turned(x: Any, by: int) -> Any:
    return (x << np.uint64(by)) | (x >> np.uint64(64 - by))


@called
def _sip(a: Any, b: Any, c: Any, d: Any) -> Any:
    """A round."""
    a, c = a + b, c + d
    b, d = _turned(b, 13) ^ a, _turned(d, 16) ^ c
    a = _turned(a, 32)
    c, a = c + b, a + d
    b, d = _turned(b, 17) ^ c, _turned(d, 21) ^ a
    return a, b, _turned(c, 32), d


@called
def hash_of(first: int, second: int, partition: int, key: int, size: int) -> Any:
    """The hash of a partition and a key under the two words of a secret."""
    a, b = np.uint64(first) ^ np.uint64(0x736F6D6570736575), np.uint64(second) ^ np.uint64(0x646F72616E646F6D)
    c, d = np.uint64(first) ^ np.uint64(0x6C7967656E657261), np.uint64(second) ^ np.uint64(0x7465646279746573)
    word = (np.uint64(size) << np.uint64(32)) | np.uint64(partition)
    at = 0
    while True:
        a, b, c, d = _sip(a, b, c, d ^ word)
        a ^= word
        if at >= size:
            break
        word = _word(key, size, at)
        at += 8
    c ^= np.uint64(0xFF)
    for _ in range(3):
        a, b, c, d = _sip(a, b, c, d)
    return a ^ b ^ c ^ d


@called
def is_of(chunks: Any, number: int, partition: int, key: int, size: int) -> bool:
    """Whether a record is that of a partition's key."""
    record = record_of(chunks, number)
    if load(record) >> 32 != partition or size_at(record) != size:
        return False
    rest, field = rest_at(record), _HEAD
    for at in range(0, size, 8):
        if field == _RECORD:
            record, field = record_of(chunks, rest), _REST
            rest = load(record)
        if np.uint64(load(record + field)) != _word(key, size, at):
            return False
        field += 8
    return True


@called
def write_key(chunks: Any, number: int, partition: int, place: int, key: int, size: int) -> None:
    """Write a record whose rests are linked already."""
    record = record_of(chunks, number)
    store(record, (partition << 32) | (place & 0xFFFFFFFF))
    rest, field = rest_at(record), _HEAD
    for at in range(0, size, 8):
        if field == _RECORD:
            record, field = record_of(chunks, rest), _REST
            rest = load(record)
        store(record + field, np.int64(_word(key, size, at)))
        field += 8


@called
def copy_key(chunks: Any, number: int, out: int) -> None:
    """Write the bytes of a record's key to an address."""
    record = record_of(chunks, number)
    size, rest, field = size_at(record), rest_at(record), _HEAD
    for at in range(0, size, 8):
        if field == _RECORD:
            record, field = record_of(chunks, rest), _REST
            rest = load(record)
        word = load(record + field)
        if size - at >= 8:
            store(out + at, word)
        else:
            for i in range(size - at):
                _store_byte(out + at + i, word >> (8 * i))
        field += 8


@called
def link(chunks: Any, number: int, size: int, rest: int) -> None:
    """Note a record's size and the number of its first rest."""
    store(record_of(chunks, number) + 8, (rest << 32) | size)


@called
def count_holders(chunks: Any, number: int, by: int) -> int:
    """So many more slots hold a key: how many do now."""
    note = note_of(chunks, number)
    store(note, load(note) + by)
    return load(note) & 0xFFFFFFFF  # type: ignore[no-any-return]
