"""A model judged by the service's own step: every stream from its beginning, state carried, tick by tick.

Knows no truth. Shapes: n windows, K horizons, O targets, Q quantiles.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.engine.engine import Engine
from streamrnn.nn.model import Model
from streamrnn.ticks import TickBatch
from streamrnn.train.history import Extent, History
from streamrnn.train.windows import Windows

TICKS_AT_ONCE = 1 << 16
NUMBERS_AT_ONCE = 1 << 24
"""Ticks of a batch, and predicted numbers in it, at most."""


class _UnderWay(NamedTuple):
    """An engine that has stepped one extent's stream up to the tick `at`."""

    history: History
    extent: Extent
    at: int
    engine: Engine

    def is_before(self, history: History, windows: Windows) -> bool:
        """Whether these windows go on where it was left."""
        is_next = tuple(windows.extents) == (self.extent,) and windows.spans[0].start == self.at
        return is_next and history is self.history


class Served:
    """The predictions the daemon would have published. `horizons` are the model's, or some of them; `poisoned`
    counts ticks whose state or prediction was not finite, which the daemon would refuse."""

    def __init__(
        self,
        name: str,
        kind: str,
        model: Model,
        horizons: Sequence[int],
        device: str = "cpu",
        ticks_at_once: int = TICKS_AT_ONCE,
    ) -> None:
        self.name, self.kind = name, kind
        self._ticks_at_once = ticks_at_once
        self.levels = model.spec.quantiles
        self._model, self._device = model, device
        self._kept = [model.spec.horizons.index(horizon) for horizon in horizons]
        self.poisoned = 0
        self._under_way: _UnderWay | None = None

    def forecast(self, history: History, windows: Windows) -> NDArray[np.floating]:
        """(n, K, O, Q)."""
        spec = self._model.spec
        columns = history.columns(spec.features)
        shape = (len(windows.origins), len(self._kept), len(spec.targets), spec.levels)
        numbers = len(spec.horizons) * shape[2] * shape[3]
        most = min(self._ticks_at_once, max(1, NUMBERS_AT_ONCE // numbers))
        said = np.empty(shape, np.dtype(spec.precision))
        engine, begins = self._take_up(history, windows)
        for at, owners, ticks, places in _batches(windows.spans, begins, most):
            predictions = engine.step(_batch(history, at, owners, columns))
            engine.settle(1)
            self.poisoned += int((~predictions.ok).sum())
            said[places] = predictions.values[ticks][:, self._kept]
        if len(windows.extents) == 1:
            self._under_way = _UnderWay(history, windows.extents[0], windows.spans[0].stop, engine)
        return said

    def _take_up(self, history: History, windows: Windows) -> tuple[Engine, list[int]]:
        """An engine and the tick to begin with in each extent: its stream's first, or where it was left."""
        left, self._under_way = self._under_way, None
        if left is not None and left.is_before(history, windows):
            return left.engine, [left.at]
        engine = Engine(self._model, max_streams=max(1, len(windows.extents)), device=self._device)
        return engine, [extent.stream_start for extent in windows.extents]


Ticks = NDArray[np.int64]


def _batches(
    spans: Sequence[range], begins: Sequence[int], most: int
) -> Iterator[tuple[Ticks, list[int], Ticks, Ticks]]:
    """Every stream's ticks from where it begins to its last origin, side by side, about `most` at a time: ticks,
    whose they are, which of them are origins, and these origins' places among all."""
    firsts = np.cumsum([0, *map(len, spans)])
    each = max(1, most // len(spans))
    length = max(span.stop - begin for span, begin in zip(spans, begins, strict=True))
    starts = np.array([span.start for span in spans])
    for done in range(0, length, each):
        parts = [
            np.arange(begin + done, min(begin + done + each, span.stop))
            for span, begin in zip(spans, begins, strict=True)
        ]
        owners = [number for number, part in enumerate(parts) for _ in range(len(part))]
        at, owner = np.concatenate(parts), np.array(owners)
        rows = np.flatnonzero(at >= starts[owner])
        yield at, owners, rows, firsts[owner[rows]] + at[rows] - starts[owner[rows]]


def _batch(history: History, at: NDArray[np.int64], owners: list[int], columns: list[int]) -> TickBatch:
    time_ms = np.asarray(history.time_ms[at])
    return TickBatch(
        partition=np.zeros(len(at), np.int32),
        offset=at,
        time_ms=time_ms,
        arrival_ms=time_ms,
        streams=[b"%d" % owner for owner in owners],
        values=np.asarray(history.values[at][:, columns]),
        order=time_ms,
    )
