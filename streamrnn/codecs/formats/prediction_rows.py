"""How a format writes predictions: the pieces of a model's values, and the loop that puts rows between them.

Shapes: n rows, K horizons, O targets, Q quantiles, M forecasts of a row.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.compiled.surveys import total
from streamrnn.codecs.filling import filled
from streamrnn.config.input import KeyKind
from streamrnn.nn.spec import ModelSpec
from streamrnn.ticks import PredictionBatch, Spans
from streamrnn.ticks.byte_spans import uniform

_MOST_BESIDE = 64
"""Bytes of a row at most beside pieces, key and numbers: the time and the steps in digits, signs and lengths."""


class Pieces(NamedTuple):
    """The bytes that are the same in every value of a model, by where they stand.

    head: before the stream's name; time: before the event time; after: behind the last forecast; residual: before
    the first residual, where one is known; state: before the steps; origins: four endings; forecasts: M, one before
    each number; residuals: O, one before each target's.
    """

    head: bytes
    time: bytes
    after: bytes
    residual: bytes
    state: bytes
    origins: Sequence[bytes]
    forecasts: Sequence[bytes]
    residuals: Sequence[bytes]

    def spans(self) -> Spans:
        """All of them, as compiled/prediction_texts.py counts them."""
        return Spans.of([*self[:5], *self.origins, *self.forecasts, *self.residuals])


class PredictionRows:
    """Writes batches of one model by a loop of compiled/, as `pieces` say."""

    def __init__(self, spec: ModelSpec, key: KeyKind, pieces: Pieces, put: Callable[..., int]) -> None:
        from streamrnn.codecs.compiled.key_texts import MOST_SHOWN, SHOWN_AS
        from streamrnn.codecs.compiled.prediction_texts import gather  # numba is loaded only where it is used

        held = pieces.spans()
        self._pieces, self._forecasts, self._kind = held.parts(), len(pieces.forecasts), SHOWN_AS[key]
        self._fixed, self._by_key = int(held.sizes.sum()) + _MOST_BESIDE, MOST_SHOWN
        self._put, self._gather, self._dtype = put, gather, np.dtype(spec.precision)

    def numbers(self, said: PredictionBatch) -> NDArray[np.floating]:
        """All numbers of a batch, in the order in which its values say them."""
        count, targets = said.residual.shape
        into = np.empty(count * (self._forecasts + targets), self._dtype)
        return into[: self._gather(into, self._floats(said.values), self._floats(said.residual))]

    def write(self, said: PredictionBatch, keys: Spans, size: int, *numbers: Any) -> Spans:
        """The values; `numbers` is how the loop takes them, `size` how many bytes they become."""
        count, held = len(keys), keys.parts()
        room = count * self._fixed + self._by_key * total(held[2]) + size
        said_by = (self._pieces, self._kind, held, uniform(said.ticks.time_ms), self._forecasts)
        state = (self._floats(said.residual), uniform(said.steps), uniform(said.origin))
        return filled(self._put, count, room, *said_by, *state, *numbers)

    def _floats(self, numbers: NDArray[np.floating]) -> NDArray[np.floating]:
        return uniform(numbers.astype(self._dtype, copy=False))
