"""Rows of streams as the bytes of one part, a safetensors file, and where in it each row is. Knows no store.

keys: the streams' keys one after the other, uint8; ends (n,) int64: where in it each one ends; floats (n, W)
float32; integers (n, V) int64.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrnn.errors import Damaged
from streamrnn.stores.tensor_header import LENGTH_BYTES, TensorPlace, encode_header, header_length
from streamrnn.ticks import StreamRows

LARGEST_HEADER_BYTES = 4096
"""The header of four tensors is far smaller; it is read at once with its length."""

Ended = Callable[[StreamRows], NDArray[np.bool_]]
"""(n,) which rows only tell that their streams' states have ended."""


class _RowFileHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ends: TensorPlace
    floats: TensorPlace
    integers: TensorPlace
    keys: TensorPlace


_HEADER = msgspec.json.Decoder(_RowFileHeader)


class FileLayout(NamedTuple):
    """Where in a part's file what begins, in bytes; a row of floats is W * 4 bytes, of integers V * 8."""

    streams: int
    width: int
    integer_width: int
    ends_at: int
    floats_at: int
    integers_at: int
    keys_at: int
    key_bytes: int


class RowSlice(NamedTuple):
    """Some rows of a part to be, and what their keys come to: made slice by slice, for it holds the interpreter."""

    rows: StreamRows
    keys: bytes
    lengths: NDArray[np.int64]


def piece_of(rows: StreamRows, lengths: NDArray[np.int64]) -> RowSlice:
    """Rows whose keys are of these lengths (n,)."""
    return RowSlice(rows, b"".join(rows.streams), lengths)


def encode_rows(pieces: Sequence[RowSlice]) -> memoryview:
    """A part's file of at least one piece; rows are copied, by numpy alone, which lets other threads run.

    safetensors' own writer copies a part three times with the interpreter held: some ms in which no step goes on.
    """
    ends = np.cumsum(np.concatenate([piece.lengths for piece in pieces]))
    columns: dict[str, tuple[str, list[NDArray[Any]]]] = {
        "ends": ("I64", [ends]),
        "integers": ("I64", [np.asarray(piece.rows.integers, np.int64) for piece in pieces]),
        "floats": ("F32", [np.asarray(piece.rows.floats, np.float32) for piece in pieces]),
        "keys": ("U8", [np.frombuffer(piece.keys, np.uint8) for piece in pieces]),
    }
    header: dict[str, TensorPlace] = {}
    end = 0
    for name, (dtype, arrays) in columns.items():
        start, end = end, end + sum(array.nbytes for array in arrays)
        shape = (sum(len(array) for array in arrays), *arrays[0].shape[1:])
        header[name] = TensorPlace(dtype, shape, (start, end))
    text = encode_header(header)
    raw = np.empty(len(text) + end, np.uint8)
    raw[: len(text)] = np.frombuffer(text, np.uint8)
    for name, (_, arrays) in columns.items():
        start, end = header[name].data_offsets
        place = raw[len(text) :][start:end].view(arrays[0].dtype).reshape(header[name].shape)
        np.concatenate(arrays, out=place)
    return raw.data


def read_layout(start: bytes, total_bytes: int, place: str) -> FileLayout:
    """The layout of a file of so many bytes that begins with these; Damaged names the place."""
    try:
        length = header_length(start, min(LARGEST_HEADER_BYTES, len(start)) - LENGTH_BYTES)
    except ValueError as error:
        raise Damaged(f"{place}: {error}") from error
    data_at = LENGTH_BYTES + length
    try:
        header = _HEADER.decode(start[LENGTH_BYTES:data_at])
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Damaged(f"{place}: not a part of a snapshot: {error}") from error
    return _layout(header, data_at, total_bytes, place)


def _layout(header: _RowFileHeader, data_at: int, total_bytes: int, place: str) -> FileLayout:
    kinds = (("ends", "I64", 1, 8), ("floats", "F32", 2, 4), ("integers", "I64", 2, 8), ("keys", "U8", 1, 1))
    for name, dtype, dimensions, item_bytes in kinds:
        tensor: TensorPlace = getattr(header, name)
        start, end = tensor.data_offsets
        is_right = tensor.dtype == dtype and len(tensor.shape) == dimensions
        if not is_right or end - start != math.prod(tensor.shape) * item_bytes or data_at + end > total_bytes:
            raise Damaged(f"{place}: {name} is {tensor.dtype} {tensor.shape} at {tensor.data_offsets}")
    (n,), (rows, width), (same, integer_width) = header.ends.shape, header.floats.shape, header.integers.shape
    if not n == rows == same:
        raise Damaged(f"{place}: {n} keys, {rows} rows of floats, {same} of integers")
    return FileLayout(
        n,
        width,
        integer_width,
        ends_at=data_at + header.ends.data_offsets[0],
        floats_at=data_at + header.floats.data_offsets[0],
        integers_at=data_at + header.integers.data_offsets[0],
        keys_at=data_at + header.keys.data_offsets[0],
        key_bytes=header.keys.shape[0],
    )


def decode_rows(raw: bytes, place: str) -> StreamRows:
    """The rows of a part's file, as views of it; Damaged names the place."""
    layout = read_layout(raw[:LARGEST_HEADER_BYTES], len(raw), place)
    n, width, integer_width = layout[:3]
    ends = np.frombuffer(raw, "<i8", n, layout.ends_at)
    starts = np.concatenate([[0], ends[:-1]]) if n else ends
    if (ends < starts).any() or (n and ends[-1] != layout.key_bytes) or (not n and layout.key_bytes):
        raise Damaged(f"{place}: its keys do not end where they should")
    keys = raw[layout.keys_at : layout.keys_at + layout.key_bytes]
    streams = [keys[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    return StreamRows(
        streams,
        np.frombuffer(raw, "<f4", n * width, layout.floats_at).reshape(n, width),
        np.frombuffer(raw, "<i8", n * integer_width, layout.integers_at).reshape(n, integer_width),
    )


def none_ended(rows: StreamRows) -> NDArray[np.bool_]:
    """For rows of which none can."""
    return np.zeros(len(rows.streams), np.bool_)


def join(pieces: list[StreamRows]) -> StreamRows:
    """At least one piece, one after the other."""
    if len(pieces) == 1:
        return pieces[0]
    streams = [stream for piece in pieces for stream in piece.streams]
    floats, integers = [piece.floats for piece in pieces], [piece.integers for piece in pieces]
    return StreamRows(streams, np.concatenate(floats), np.concatenate(integers))
