"""MessagePack: ticks read as objects; predictions written as an array whose row is all of one with a fixed place.

Only the stream's name before it and the origin behind it vary in length. Numbers are of the model's precision.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from streamrnn.codecs.formats.format import PredictionRows, PredictionWriter, numbers_width
from streamrnn.codecs.input_form import InputForm
from streamrnn.codecs.keys import LONGEST_SHOWN_BYTES
from streamrnn.codecs.objects import ObjectReader
from streamrnn.codecs.value_columns import Reader
from streamrnn.nn.spec import ModelSpec
from streamrnn.ticks import ORIGINS

_packed = msgspec.msgpack.Encoder().encode
_ORIGINS_PACKED = tuple(_packed("origin") + _packed(origin) for origin in ORIGINS)


_LIST = msgspec.msgpack.Decoder(list[msgspec.Raw])
_LISTS = {*range(0x90, 0xA0), 0xDC, 0xDD}
"""First bytes of an array."""


class MessagePack:
    """Objects as MessagePack."""

    name = "msgpack"

    def reader(self, spec: ModelSpec, form: InputForm) -> Reader:
        """See Format."""
        return ObjectReader(spec, form, self).read

    def decoder(self, shape: Any) -> Callable[[bytes], Any]:
        """See ObjectFormat."""
        return msgspec.msgpack.Decoder(shape).decode

    def decode(self, value: bytes | None) -> Any:
        """See ObjectFormat."""
        return msgspec.msgpack.decode(value)  # type: ignore[arg-type]

    def repaired(self, value: bytes) -> bytes | None:
        """None: a NaN is a number here."""
        return None

    def is_list(self, value: bytes) -> bool:
        """See ObjectFormat."""
        return value[0] in _LISTS

    def split(self, value: bytes) -> list[msgspec.Raw]:
        """See ObjectFormat."""
        return _LIST.decode(value)

    def predictions(self, spec: ModelSpec, shown: Sequence[bool]) -> PredictionWriter:
        """See ObjectFormat."""
        return _PackedPredictions(spec, shown)

    def write(self, objects: Sequence[Any]) -> list[bytes]:
        """See ObjectFormat."""
        return list(map(_packed, objects))


class _PackedPredictions:
    """The layout of one model."""

    def __init__(self, spec: ModelSpec, shown: Sequence[bool]) -> None:
        self._width = numbers_width(spec, sum(shown))
        self._fixed, self._dtype = _msgpack_layout(spec, shown)
        fields = 5 + (len(spec.quantiles) > 1) + any(shown)
        self._head = _map_header(fields) + _packed("stream")

    def fill(self, rows: PredictionRows) -> list[bytes]:
        count = len(rows.streams)
        table = np.frombuffer(bytearray(self._fixed * count), dtype=self._dtype)
        table["time"], table["steps"] = rows.time_ms, rows.steps
        for n in range(self._width):
            table[f"n{n}"] = rows.numbers[:, n]
        middles = table.view(f"V{self._dtype.itemsize}").tolist()
        sizes = [_TEXT_HEADERS[len(stream)] for stream in rows.streams]
        origins = [_ORIGINS_PACKED[code] for code in rows.origin.tolist()]
        head = self._head
        return [
            head + size + stream + middle + origin
            for size, stream, middle, origin in zip(sizes, rows.streams, middles, origins, strict=True)
        ]


def _header(count: int, fixed: int, fixed_most: int, *wider: bytes) -> bytes:
    """MessagePack's length of a text, map or array: in one byte if it fits, else behind the marker that does."""
    if count <= fixed_most:
        return bytes([fixed | count])
    if len(wider) > 1 and count < 256:
        return wider[0] + count.to_bytes(1, "big")
    return wider[-1] + count.to_bytes(2, "big")


_TEXT_HEADERS = tuple(_header(count, 0xA0, 31, b"\xd9", b"\xda") for count in range(LONGEST_SHOWN_BYTES + 1))


def _map_header(count: int) -> bytes:
    return _header(count, 0x80, 15, b"\xde")


def _array_header(count: int) -> bytes:
    return _header(count, 0x90, 15, b"\xdc")


class _Layout:
    """Bytes of a row with the places where an array's columns go."""

    def __init__(self) -> None:
        self.text = b""
        self._fields: dict[str, tuple[Any, int]] = {}

    def hole(self, name: str, marker: bytes, kind: str) -> None:
        """A number of fixed width behind its marker."""
        self.text += marker
        dtype = np.dtype(kind)
        self._fields[name] = (dtype, len(self.text))
        self.text += bytes(dtype.itemsize)

    def dtype(self) -> np.dtype[Any]:
        kinds, offsets = zip(*self._fields.values(), strict=True)
        return np.dtype(
            {"names": list(self._fields), "formats": kinds, "offsets": offsets, "itemsize": len(self.text)}
        )


def _msgpack_layout(spec: ModelSpec, shown: Sequence[bool]) -> tuple[bytes, np.dtype[Any]]:
    """From after the stream's name to before the origin; numbers are as the model gave them."""
    number = (b"\xcb", ">f8") if spec.precision == "float64" else (b"\xca", ">f4")
    layout, numbers = _Layout(), iter(range(numbers_width(spec, sum(shown))))

    def targets() -> None:
        layout.text += _map_header(len(spec.targets))
        for target in spec.targets:
            layout.text += _packed(target) + _array_header(len(spec.horizons))
            for _ in spec.horizons:
                layout.hole(f"n{next(numbers)}", *number)

    layout.text += _packed("time")
    layout.hole("time", b"\xd3", ">i8")
    layout.text += _packed("model") + _packed(spec.label) + _packed("prediction")
    targets()
    if len(spec.quantiles) > 1:
        layout.text += _packed("quantiles") + _map_header(len(spec.quantiles))
        for level in spec.quantiles:
            layout.text += _packed(f"{level:g}")
            targets()
    if any(shown):
        layout.text += _packed("residual") + _map_header(sum(shown))
        for target, is_shown in zip(spec.targets, shown, strict=True):
            if is_shown:
                layout.text += _packed(target)
                layout.hole(f"n{next(numbers)}", *number)
    layout.text += _packed("state") + _map_header(2) + _packed("steps")
    layout.hole("steps", b"\xd3", ">i8")
    return layout.text, layout.dtype()
