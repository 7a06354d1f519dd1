"""What a format of values does, and what it is given and gives. Knows none of them.

Shapes: n rows, F features, M numbers of a row: the prediction by target and horizon, the quantiles by level,
target and horizon, then the residuals that are shown.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.input_form import InputForm
from streamrnn.codecs.value_columns import Reader
from streamrnn.nn.spec import ModelSpec

UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)
"""What the decoders of object formats raise for a value they cannot read."""


class PredictionRows(NamedTuple):
    """streams n keys as they are shown, in UTF-8; time_ms (n,); numbers (n, M) of the model's precision;
    steps (n,); origin (n,) codes of ORIGINS."""

    streams: Sequence[bytes]
    time_ms: NDArray[np.int64]
    numbers: NDArray[np.floating]
    steps: NDArray[np.int64]
    origin: NDArray[np.uint8]


class PredictionWriter(Protocol):
    """Writes the predictions of one model that show one set of residuals, many at once."""

    def fill(self, rows: PredictionRows) -> list[bytes]:
        """The n values."""


class Format(Protocol):
    """One way to write a tick."""

    def reader(self, spec: ModelSpec, form: InputForm) -> Reader:
        """Values to columns, for one model."""


class ObjectFormat(Format, Protocol):
    """One way to write objects: fields with names."""

    name: str

    def decoder(self, shape: Any) -> Callable[[bytes], Any]:
        """Reads a value as this msgspec type; raises one of UNREADABLE."""

    def decode(self, value: bytes | None) -> Any:
        """Whatever is in a value; raises one of UNREADABLE, or TypeError for None."""

    def repaired(self, value: bytes) -> bytes | None:
        """A value that is broken in a way that is known and means something, without the fault; else None."""

    def is_list(self, value: bytes) -> bool:
        """Whether a value of at least one byte begins as a list."""

    def split(self, value: bytes) -> list[msgspec.Raw]:
        """The elements of a list; raises one of UNREADABLE."""

    def predictions(self, spec: ModelSpec, shown: Sequence[bool]) -> PredictionWriter:
        """Writes predictions; `shown` tells which targets have a residual."""

    def write(self, objects: Sequence[Any]) -> list[bytes]:
        """The values of objects of any msgspec types."""


def numbers_width(spec: ModelSpec, residuals: int) -> int:
    """M, with so many residuals."""
    levels = len(spec.quantiles) if len(spec.quantiles) > 1 else 0
    return (1 + levels) * len(spec.targets) * len(spec.horizons) + residuals
