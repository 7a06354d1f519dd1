"""A model judged by the service's own step: every stream from its beginning, state carried, tick by tick.

Knows no truth. Shapes: n windows, K horizons, O targets, Q quantiles.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from streamrnn.engine.engine import Engine
from streamrnn.nn.model import Model
from streamrnn.ticks import TickBatch
from streamrnn.train.history import Extent, History
from streamrnn.train.windows import Windows, count_origins

TICKS_AT_ONCE = 1 << 16


class Served:
    """The predictions the daemon would have published. `horizons` are the model's, or some of them; `poisoned`
    counts ticks whose state or prediction was not finite, which the daemon would refuse."""

    def __init__(self, name: str, kind: str, model: Model, horizons: Sequence[int], device: str = "cpu") -> None:
        self.name, self.kind = name, kind
        self.levels = model.spec.quantiles
        self._model, self._device = model, device
        self._kept = [model.spec.horizons.index(horizon) for horizon in horizons]
        self._longest = max(horizons)
        self.poisoned = 0

    def forecast(self, history: History, windows: Windows) -> NDArray[np.float32]:
        """(n, K, O, Q)."""
        spec = self._model.spec
        columns = [history.features.index(feature) for feature in spec.features]
        shape = (len(windows.origins), len(self._kept), len(spec.targets), max(1, len(spec.quantiles)))
        said = np.empty(shape, np.float32)
        engine = Engine(self._model, max_streams=max(1, len(windows.extents)), device=self._device)
        for batch, ticks, places in _batches(history, windows.extents, columns, self._longest):
            predictions = engine.step(batch)
            self.poisoned += int((~predictions.ok).sum())
            said[places] = predictions.values[ticks][:, self._kept]
        return said


def _batches(
    history: History, extents: Sequence[Extent], columns: list[int], longest: int
) -> Iterator[tuple[TickBatch, NDArray[np.int64], NDArray[np.int64]]]:
    """Batches of every stream's ticks from its beginning to the extents' last origins, streams side by side; with
    each the rows that are origins, and their places among all origins."""
    origins = [count_origins(extent, longest) for extent in extents]
    firsts = np.cumsum([0, *map(len, origins)])
    each = max(1, TICKS_AT_ONCE // len(extents))
    length = max(own.stop - extent.stream_start for own, extent in zip(origins, extents, strict=True))
    for begin in range(0, length, each):
        at: list[NDArray[np.int64]] = []
        owners: list[int] = []
        for number, (own, extent) in enumerate(zip(origins, extents, strict=True)):
            start = extent.stream_start + begin
            own_ticks = np.arange(start, min(start + each, own.stop))
            at.append(own_ticks)
            owners += [number] * len(own_ticks)
        ticks, owner = np.concatenate(at), np.array(owners)
        starts = np.array([own.start for own in origins])[owner]
        rows = np.flatnonzero(ticks >= starts)
        places = firsts[owner[rows]] + ticks[rows] - starts[rows]
        yield _batch(history, ticks, owners, columns), rows, places


def _batch(history: History, at: NDArray[np.int64], owners: list[int], columns: list[int]) -> TickBatch:
    time_ms = np.asarray(history.time_ms[at])
    return TickBatch(
        partition=np.zeros(len(at), np.int32),
        offset=at,
        time_ms=time_ms,
        arrival_ms=time_ms,
        streams=[b"%d" % owner for owner in owners],
        values=np.asarray(history.values[at][:, columns]),
    )
