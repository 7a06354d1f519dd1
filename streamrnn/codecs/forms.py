"""What a written format is given and must give. Knows neither format.

A form is made for the targets whose residual is shown, and fills many rows at once. Shapes: n rows, M numbers
of a row: the prediction by target and horizon, the quantiles by level, target and horizon, then the residuals
that are shown.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from streamrnn.nn.spec import ModelSpec


class Rows(NamedTuple):
    """streams n keys as they are shown, in UTF-8; time_ms (n,); numbers (n, M) of the model's precision;
    steps (n,); origin (n,) codes of ORIGINS."""

    streams: Sequence[bytes]
    time_ms: NDArray[np.int64]
    numbers: NDArray[np.floating]
    steps: NDArray[np.int64]
    origin: NDArray[np.uint8]


class Form(Protocol):
    """One format with one set of residuals."""

    def fill(self, rows: Rows) -> list[bytes]:
        """The n values."""


def numbers_width(spec: ModelSpec, residuals: int) -> int:
    levels = len(spec.quantiles) if len(spec.quantiles) > 1 else 0
    return (1 + levels) * len(spec.targets) * len(spec.horizons) + residuals
