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
    """features (n, F) float32, NaN = missing; streams and times None where the values hold none."""

    features: NDArray[np.float32]
    streams: Sequence[str | None] | None
    times: Sequence[Time] | None


Reader = Callable[[Sequence[bytes], dict[int, Refused]], Columns]
"""n values to columns; adds to the refused, by index, whatever it cannot read."""


def object_reader(spec: ModelSpec, codec: Codec, stream_field: str | None, time_field: str | None) -> Reader:
    """A reader of JSON or MessagePack objects: a struct with just the fields the model needs."""
    shape, has_stream, has_time = _struct(spec, stream_field, time_field)
    module: Any = msgspec.json if codec == "json" else msgspec.msgpack
    decode, nothing = module.Decoder(shape).decode, shape()

    def read(values: Sequence[bytes], refused: dict[int, Refused]) -> Columns:
        rows: list[Any] = []
        append = rows.append
        for value in values:
            try:
                append(decode(value))
            except (msgspec.DecodeError, ValueError, RecursionError) as error:
                refused.setdefault(len(rows), reading_refusal(error, codec, time_field))
                append(nothing)
        columns: list[Any] = list(zip(*map(msgspec.structs.astuple, rows), strict=True))
        streams = columns.pop() if has_stream else None
        times = columns.pop() if has_time else None
        return Columns(_float32(np.array(columns, dtype=np.float64).T), streams, times)

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
        return Columns(numbers.reshape(-1, count), None, None)

    return read


def _struct(spec: ModelSpec, stream_field: str | None, time_field: str | None) -> tuple[Any, bool, bool]:
    """A struct of features, time, stream, and whether it has the latter two."""
    fields: list[tuple[str, Any, Any]] = [(f"f{n}", float | None, None) for n in range(len(spec.features))]
    names = {f"f{n}": name for n, name in enumerate(spec.features)}
    for own, field, kind in (("time", time_field, Time), ("stream", stream_field, str | None)):
        if field is not None and field not in spec.features:
            fields.append((own, kind, None))
            names[own] = field
    try:
        shape = msgspec.defstruct("Tick", fields, rename=names, gc=False)
    except ValueError as error:  # a quote, a backslash or a control character
        raise BundleError(f"{spec.label}: no tick can have a field of this name: {error}") from error
    return shape, "stream" in names, "time" in names


def _float32(numbers: NDArray[np.float64]) -> NDArray[np.float32]:
    """What float32 cannot hold becomes infinite, and is refused for it."""
    with np.errstate(over="ignore"):
        return numbers.astype(np.float32, order="C")
