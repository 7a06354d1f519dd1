"""The beginning of a safetensors file: the header's length in 8 bytes, then where each tensor lies, as JSON.

Knows the format and no library of tensors; what the tensors must be, their readers know.
"""

import struct
from collections.abc import Mapping
from typing import Annotated

import msgspec

LENGTH_BYTES = 8
METADATA = "__metadata__"
"""An entry of the header that is no tensor."""
Natural = Annotated[int, msgspec.Meta(ge=0)]


class TensorPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tensor of a file. data_offsets: its first byte and the one after its last, from the header's end on."""

    dtype: str
    shape: tuple[Natural, ...]
    data_offsets: tuple[Natural, Natural]


_ENTRIES = msgspec.json.Decoder(dict[str, msgspec.Raw])
_PLACE = msgspec.json.Decoder(TensorPlace)


def header_length(start: bytes, most: int) -> int:
    """The length of the header in bytes, from the file's first 8 bytes; ValueError unless it is 2 to `most`."""
    length: int = struct.unpack("<Q", start[:LENGTH_BYTES])[0] if len(start) >= LENGTH_BYTES else 0
    if not 2 <= length <= most:
        raise ValueError(f"its header claims {length} bytes")
    return length


def decode_header(text: bytes) -> dict[str, TensorPlace]:
    """Read a header: each tensor's place by name. ValueError for what is no header."""
    try:
        entries = _ENTRIES.decode(text)
        return {name: _PLACE.decode(place) for name, place in entries.items() if name != METADATA}
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def encode_header(places: Mapping[str, TensorPlace]) -> bytes:
    """The file's beginning: length and header, padded so that the data begin at a multiple of 8 bytes."""
    text = msgspec.json.encode(places)
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text
