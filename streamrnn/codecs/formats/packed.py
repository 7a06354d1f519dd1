"""Ticks as packed float32: the model's features in their order, little-endian, and nothing else.

Shapes: n values, F features.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.input_form import InputForm
from streamrnn.codecs.reasons import Refused
from streamrnn.codecs.value_columns import Columns, Reader
from streamrnn.nn.spec import ModelSpec
from streamrnn.ticks import Spans


class PackedFloats:
    """F numbers a value, without names."""

    def reader(self, spec: ModelSpec, form: InputForm) -> Reader:
        """See Format."""
        return _reader(len(spec.features), spec)


def _reader(count: int, spec: ModelSpec) -> Reader:
    width = 4 * count

    def read(values: Sequence[bytes], refused: dict[int, Refused]) -> Columns:
        if isinstance(values, Spans) and (values.sizes == width).all():
            held = values.data[values.starts[:, None] + np.arange(width)].view("<f4").astype(np.float32, copy=False)
            return Columns(held.astype(spec.precision, copy=False), None, None)
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


def write_packed(numbers: NDArray[np.floating]) -> list[bytes]:
    """The n values of numbers (n, F)."""
    packed: NDArray[Any] = np.ascontiguousarray(numbers, dtype="<f4")
    values: list[bytes] = packed.view(f"V{4 * packed.shape[1]}").ravel().tolist()
    return values
