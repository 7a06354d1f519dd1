"""Predictions to records, in columns: rows that show the same residuals are written together.

Knows no format. Shapes: n rows, K horizons, O targets, Q quantiles, M numbers of a row (see formats.format).
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.formats.format import PredictionRows, PredictionWriter
from streamrnn.codecs.formats.known import OBJECT_FORMATS
from streamrnn.codecs.headers import prediction_headers
from streamrnn.codecs.keys import shown as shown_keys
from streamrnn.config.input import KeyKind
from streamrnn.nn.spec import ModelSpec, middle_of
from streamrnn.ticks import OutRecord, PredictionBatch, as_out_record

MOST_WRITERS = 256
"""Kept for the next batch: a model of many targets could show 2^O different sets of residuals."""
Indexes = NDArray[np.intp]


class Encoder:
    """Prediction records of one model; key, partition and timestamp are the tick's.

    Within a value the stream stands as its key is shown, which `key` says.
    """

    def __init__(self, spec: ModelSpec, codec: Literal["json", "msgpack"] = "json", key: KeyKind = "text") -> None:
        self._spec, self._key = spec, key
        self._format = OBJECT_FORMATS[codec]
        self._writers: dict[tuple[bool, ...], PredictionWriter] = {}

    def encode(self, batch: PredictionBatch) -> list[OutRecord]:
        """Records of the rows that are ok, in row order."""
        at = np.flatnonzero(batch.ok)
        if not len(at):
            return []
        ticks = batch.ticks if len(at) == len(batch.ok) else batch.ticks.take(at)
        columns = (
            ticks.partition.tolist(),
            ticks.arrival_ms.tolist(),
            ticks.streams,
            self._values(batch, at),
            prediction_headers(ticks, self._spec.label),
            ticks.places(),
        )
        return list(map(as_out_record, zip(*columns, strict=True)))

    def _values(self, batch: PredictionBatch, at: Indexes) -> list[bytes]:
        values = [b""] * len(batch.ok)
        for shown, rows in _by_shown(batch.residual, at):
            filled = self._writer(shown).fill(_rows(batch, shown, rows, self._key))
            if len(rows) == len(values):
                return filled
            for row, value in zip(rows.tolist(), filled, strict=True):
                values[row] = value
        return [values[row] for row in at.tolist()]

    def _writer(self, shown: tuple[bool, ...]) -> PredictionWriter:
        writer = self._writers.get(shown)
        if writer is None:
            if len(self._writers) == MOST_WRITERS:
                self._writers.clear()
            writer = self._writers[shown] = self._format.predictions(self._spec, shown)
        return writer


def _by_shown(residual: NDArray[np.floating], at: Indexes) -> Iterator[tuple[tuple[bool, ...], Indexes]]:
    """Which targets show a residual (those where it is known), and the rows where it is just these."""
    known = ~np.isnan(residual[at])
    if known.all() or not known.any():
        yield tuple(known[0].tolist()), at
        return
    sets, which = np.unique(known, axis=0, return_inverse=True)
    for number, shown in enumerate(sets.tolist()):
        yield tuple(shown), at[which.ravel() == number]


def _rows(batch: PredictionBatch, shown: tuple[bool, ...], at: Indexes, key: KeyKind) -> PredictionRows:
    """The columns of rows `at` in the order of a writer's numbers."""
    ticks = batch.ticks
    by_level = batch.values[at].transpose(0, 3, 2, 1)  # (n, Q, O, K)
    count, levels = by_level.shape[:2]
    numbers = [by_level[:, middle_of(levels)].reshape(count, -1)]
    if levels > 1:
        numbers.append(by_level.reshape(count, -1))
    if any(shown):
        numbers.append(batch.residual[at][:, list(shown)])
    streams = ticks.streams if count == len(ticks) else [ticks.streams[row] for row in at.tolist()]
    names, joined = shown_keys(streams, key), np.concatenate(numbers, axis=1)
    return PredictionRows(names, ticks.time_ms[at], joined, batch.steps[at], batch.origin[at])
