"""MessagePack: ticks walked into columns; predictions written with numbers of the model's precision."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from streamrnn.codecs.compiled.list_elements import ListElements, elements_in_packs
from streamrnn.codecs.compiled.pack_walk import walk_packs
from streamrnn.codecs.formats.format import PredictionWriter
from streamrnn.codecs.formats.prediction_rows import Pieces, PredictionRows
from streamrnn.codecs.input_form import InputForm
from streamrnn.codecs.objects import ObjectReader
from streamrnn.codecs.value_columns import Reader
from streamrnn.codecs.walked_objects import WalkedReader
from streamrnn.config.input import KeyKind
from streamrnn.nn.spec import ModelSpec
from streamrnn.ticks import ORIGINS, PredictionBatch, Spans
from streamrnn.ticks.byte_spans import uniform

_packed = msgspec.msgpack.Encoder().encode
_LIST = msgspec.msgpack.Decoder(list[msgspec.Raw])
_LISTS = {*range(0x90, 0xA0), 0xDC, 0xDD}
"""First bytes of an array."""


class MessagePack:
    """Objects as MessagePack."""

    name = "msgpack"

    def reader(self, spec: ModelSpec, form: InputForm) -> Reader:
        """See Format."""
        return WalkedReader(spec, ObjectReader(spec, form, self), walk_packs).read

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

    def split_all(self, values: Spans, most: int) -> ListElements | None:
        """See ObjectFormat."""
        return elements_in_packs(values, most)

    def predictions(self, spec: ModelSpec, key: KeyKind) -> PredictionWriter:
        """See Format."""
        return _PackedPredictions(spec, key)

    def write(self, objects: Sequence[Any]) -> list[bytes]:
        """See ObjectFormat."""
        return list(map(_packed, objects))


class _PackedPredictions:
    """The layout of one model's values."""

    def __init__(self, spec: ModelSpec, key: KeyKind) -> None:
        from streamrnn.codecs.compiled.prediction_packs import put_packs  # numba is loaded only where it is used

        self._rows = PredictionRows(spec, key, _msgpack_pieces(spec), put_packs)
        self._fields = 5 + (len(spec.quantiles) > 1)

    def write(self, said: PredictionBatch, keys: Spans) -> Spans:
        """See PredictionWriter."""
        numbers = self._rows.numbers(said)
        packed = numbers.astype(numbers.dtype.newbyteorder("<"), copy=False).view(np.uint8)
        packed = packed.reshape(len(numbers), numbers.itemsize)
        return self._rows.write(said, keys, packed.size, uniform(packed), self._fields)


def _map_header(count: int) -> bytes:
    return bytes([0x80 | count]) if count < 16 else b"\xde" + count.to_bytes(2, "big")


def _array_header(count: int) -> bytes:
    return bytes([0x90 | count]) if count < 16 else b"\xdc" + count.to_bytes(2, "big")


def _msgpack_pieces(spec: ModelSpec) -> Pieces:
    """Numbers are as the model gave them, each behind the byte that says so."""
    number = b"\xcb" if spec.precision == "float64" else b"\xca"
    targets = _map_header(len(spec.targets))
    names = [_packed(target) for target in spec.targets]
    forecasts = list(_before_each(spec, names, number))
    forecasts[0] = _packed("model") + _packed(spec.label) + _packed("prediction") + targets + forecasts[0]
    for nth, level in enumerate(spec.quantiles if len(spec.quantiles) > 1 else ()):
        first, *rest = _before_each(spec, names, number)
        opening = b"" if nth else _packed("quantiles") + _map_header(len(spec.quantiles))
        forecasts += [opening + _packed(f"{level:g}") + targets + first, *rest]
    return Pieces(
        head=_packed("stream"),
        time=_packed("time") + b"\xd3",
        after=b"",
        residual=_packed("residual"),
        state=_packed("state") + _map_header(2) + _packed("steps") + b"\xd3",
        origins=[_packed("origin") + _packed(origin) for origin in ORIGINS],
        forecasts=forecasts,
        residuals=[name + number for name in names],
    )


def _before_each(spec: ModelSpec, names: list[bytes], number: bytes) -> Iterator[bytes]:
    """What stands before each number of one prediction, by target and horizon."""
    for name in names:
        yield name + _array_header(len(spec.horizons)) + number
        yield from [number] * (len(spec.horizons) - 1)
