"""Packed float32, little-endian, and nothing else: the model's features in their order, or all its forecasts.

Shapes: n values, F features, K horizons, O targets, Q quantiles.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.compiled.loop_arguments import laid_out
from streamrnn.codecs.compiled.packed_numbers import copy_packed
from streamrnn.codecs.formats.format import PredictionWriter
from streamrnn.codecs.input_form import InputForm
from streamrnn.codecs.reasons import Refused
from streamrnn.codecs.value_columns import Columns, Reader
from streamrnn.config.input import KeyKind
from streamrnn.nn.spec import ModelSpec
from streamrnn.ticks import PredictionBatch, Spans


class PackedFloats:
    """F numbers a value, without names."""

    def reader(self, spec: ModelSpec, form: InputForm) -> Reader:
        """See Format."""
        return _PackedReader(spec).read

    def predictions(self, spec: ModelSpec, key: KeyKind) -> PredictionWriter:
        """See Format. Key, timestamp and headers say whose they are; residuals and state are left out."""
        return _ForecastFloats()


class _PackedReader:
    """Reads values for one model; those in one buffer by compiled code, the others as its slow twin."""

    def __init__(self, spec: ModelSpec) -> None:
        self._count, self._precision = len(spec.features), spec.precision
        self._width = 4 * self._count
        self.read(Spans.of([]), {})  # compiles now, not at the first tick

    def read(self, values: Sequence[bytes], refused: dict[int, Refused]) -> Columns:
        """See Reader."""
        numbers = self._unpacked(values, refused) if isinstance(values, Spans) else self._joined(values, refused)
        features = numbers.view("<f4").astype(np.float32, copy=False).reshape(-1, self._count)
        return Columns(features.astype(self._precision, copy=False), None, None)

    def _unpacked(self, values: Spans, refused: dict[int, Refused]) -> NDArray[np.uint8]:
        numbers = np.empty(len(values) * self._width, np.uint8)
        if copy_packed(*laid_out(values), self._width, numbers):
            for row in np.flatnonzero(values.sizes != self._width).tolist():
                refused.setdefault(row, self._refusal(int(values.sizes[row])))
        return numbers

    def _joined(self, values: Sequence[bytes], refused: dict[int, Refused]) -> NDArray[np.uint8]:
        if set(map(len, values)) != {self._width}:
            for index, value in enumerate(values):
                if len(value) != self._width:
                    refused.setdefault(index, self._refusal(len(value)))
            values = [bytes(self._width) if index in refused else value for index, value in enumerate(values)]
        return np.frombuffer(bytearray().join(values), np.uint8)  # torch warns of arrays that cannot be written

    def _refusal(self, size: int) -> Refused:
        return Refused("wrong_width", f"{size} bytes, {self._count} float32 take {self._width}")


class _ForecastFloats:
    """The numbers of each prediction, K times O times Q of them, in the order in which they lie."""

    def write(self, said: PredictionBatch, keys: Spans) -> Spans:
        """See PredictionWriter."""
        with np.errstate(over="ignore", invalid="ignore"):
            numbers = np.array(said.values, "<f4", order="C")
        count, width = len(numbers), 4 * math.prod(numbers.shape[1:])
        return Spans(numbers.reshape(-1).view(np.uint8), np.arange(count) * width, np.full(count, width))


def read_forecasts(value: bytes | None) -> dict[str, list[float]]:
    """What a prediction of packed numbers says; ValueError where it is none."""
    if not value:
        raise ValueError("no number")
    return {"prediction": np.frombuffer(value, "<f4").tolist()}


def write_packed(numbers: NDArray[np.floating]) -> list[bytes]:
    """The n values of numbers (n, F)."""
    packed: NDArray[Any] = np.ascontiguousarray(numbers, dtype="<f4")
    values: list[bytes] = packed.view(f"V{4 * packed.shape[1]}").ravel().tolist()
    return values
