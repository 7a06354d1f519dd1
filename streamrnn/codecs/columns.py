"""Values of a batch to raw columns, one row for every value, refused or not. Owns the formats that are read.

The common case costs one call a value and nothing in Python per field; what a refused value leaves in its
row means nothing. Shapes: n values, F features.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.reasons import Refused, Time, reading_refusal
from streamrnn.errors import BundleError
from streamrnn.nn.spec import ModelSpec

Codec = Literal["json", "msgpack", "float32"]


class Columns(NamedTuple):
    """features (n, F) of the model's precision, NaN = missing; streams, times and orders may be None."""

    features: NDArray[np.floating]
    streams: Sequence[str | None] | None
    times: Sequence[Time] | None
    orders: Sequence[int | None] | None = None


Reader = Callable[[Sequence[bytes], dict[int, Refused]], Columns]
"""n values to columns; adds to the refused, by index, whatever it cannot read."""


class Fields(NamedTuple):
    """What the fields are called that are no features; None: there is none."""

    stream: str | None
    time: str | None
    sequence: str | None


def object_reader(spec: ModelSpec, codec: Codec, fields: Fields) -> Reader:
    """A reader of JSON or MessagePack objects: a struct with just the fields the model needs."""
    shape, own = _struct(spec, fields)
    module: Any = msgspec.json if codec == "json" else msgspec.msgpack
    decode, nothing = module.Decoder(shape).decode, shape()

    def read(values: Sequence[bytes], refused: dict[int, Refused]) -> Columns:
        rows: list[Any] = []
        append = rows.append
        for value in values:
            try:
                append(decode(value))
            except (msgspec.DecodeError, ValueError, RecursionError) as error:
                refused.setdefault(len(rows), reading_refusal(error, codec, fields.time, fields.sequence))
                append(nothing)
        columns: list[Any] = list(zip(*map(msgspec.structs.astuple, rows), strict=True))
        special = {name: columns.pop() for name in reversed(own)}
        features = _in_precision(np.array(columns, dtype=np.float64).T, spec)
        return Columns(features, *(special.get(name) for name in Fields._fields))

    return read


def packed_reader(spec: ModelSpec) -> Reader:
    """A reader of F little-endian float32, in the order of the model's features."""
    count = len(spec.features)
    width = 4 * count

    def read(values: Sequence[bytes], refused: dict[int, Refused]) -> Columns:
        if set(map(len, values)) != {width}:
            for index, value in enumerate(values):
                if len(value) != width:
                    message = f"{len(value)} bytes, {count} float32 take {width}"
                    refused.setdefault(index, Refused("wrong_width", message))
            values = [bytes(width) if index in refused else value for index, value in enumerate(values)]
        # Joined in a bytearray: torch warns of arrays that cannot be written.
        numbers = np.frombuffer(bytearray().join(values), dtype="<f4").astype(np.float32, copy=False)
        return Columns(numbers.reshape(-1, count).astype(spec.precision, copy=False), None, None)

    return read


_KINDS: dict[str, Any] = {"stream": str | None, "time": Time, "sequence": int | None}


def _struct(spec: ModelSpec, fields: Fields) -> tuple[Any, list[str]]:
    """A struct of the features and then those of `fields` that are no features, whose names are the second."""
    if fields.sequence in spec.features:
        raise BundleError(f"{spec.label}: {fields.sequence} is a feature, and cannot be the ticks' sequence too")
    if fields.sequence is not None and fields.sequence in (fields.stream, fields.time):
        raise BundleError(f"{spec.label}: {fields.sequence} cannot be the ticks' sequence and their stream or time")
    shown: list[tuple[str, Any, Any]] = [(f"f{n}", float | None, None) for n in range(len(spec.features))]
    names = {f"f{n}": name for n, name in enumerate(spec.features)}
    named = fields._asdict().items()
    own = {name: field for name, field in named if field is not None and field not in spec.features}
    shown += [(name, _KINDS[name], None) for name in own]
    try:
        return msgspec.defstruct("Tick", shown, rename=names | own, gc=False), list(own)
    except ValueError as error:  # a quote, a backslash or a control character
        raise BundleError(f"{spec.label}: no tick can have a field of this name: {error}") from error


def _in_precision(numbers: NDArray[np.float64], spec: ModelSpec) -> NDArray[np.floating]:
    """As the model takes them; what float32 cannot hold becomes infinite, and is refused for it by every model."""
    with np.errstate(over="ignore"):
        narrow = numbers.astype(np.float32, order="C")
    if spec.precision == "float32":
        return narrow
    return np.ascontiguousarray(np.where(np.isinf(narrow), narrow, numbers))
