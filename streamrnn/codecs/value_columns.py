"""What every reader of values gives: one row for every value, refused or not. Knows no format.

What a refused value leaves in its row means nothing. Shapes: n values, F features.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.reasons import Refused
from streamrnn.codecs.times import Time
from streamrnn.nn.spec import ModelSpec
from streamrnn.ticks import Spans


class Columns(NamedTuple):
    """features (n, F) of the model's precision, NaN = missing; streams, times and orders may be None.

    streams: names as text, or as UTF-8 in Spans. times and orders: objects, or arrays of int64; times also float64,
    or datetime64[ms] of text, whatever the unit of numbers.
    """

    features: NDArray[np.floating]
    streams: Sequence[str | None] | Spans | None
    times: Sequence[Time] | NDArray[Any] | None
    orders: Sequence[int | None] | NDArray[np.int64] | None = None


Reader = Callable[[Sequence[bytes], dict[int, Refused]], Columns]
"""n values, a list or Spans without None, to columns; adds to the refused, by index, whatever it cannot read."""


def in_precision(numbers: NDArray[np.float64], spec: ModelSpec) -> NDArray[np.floating]:
    """As the model takes them; what float32 cannot hold becomes infinite, and is refused for it by every model."""
    with np.errstate(over="ignore", invalid="ignore"):  # a NaN that signals is one like any other
        narrow = numbers.astype(np.float32, order="C")
    if spec.precision == "float32":
        return narrow
    return np.ascontiguousarray(np.where(np.isinf(narrow), narrow, numbers))
