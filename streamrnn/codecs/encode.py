"""Predictions to records, columns to columns: the key, partition and timestamp of a tick, and a value and headers.

Knows no format.
"""

from dataclasses import replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.formats.known import FORMATS
from streamrnn.codecs.headers import PlaceHeaders
from streamrnn.config.input import Codec, KeyKind
from streamrnn.nn.spec import Channel, ModelSpec, Precision
from streamrnn.ticks import NO_INDEX, Errors, OutColumns, PredictionBatch, RowChoice, Spans, TickBatch


class Encoder:
    """Prediction records of one model; key, partition and timestamp are the tick's.

    Within a value the stream stands as its key is shown, which `key` says. Its loops are compiled when it is made,
    for some seconds once on a machine.
    """

    def __init__(self, spec: ModelSpec, codec: Codec = "json", key: KeyKind = "text") -> None:
        self._values = FORMATS[codec].predictions(spec, key)
        self._headers = PlaceHeaders(spec.label)
        self._none = np.full(64, NO_INDEX, np.int32)
        self.encode(_no_predictions(spec))

    def encode(self, batch: PredictionBatch) -> OutColumns:
        """Records of the rows that are ok, in row order."""
        has_refused = np.count_nonzero(batch.status)
        return self._records(_take(batch, np.flatnonzero(batch.ok)) if has_refused else batch)

    def _records(self, batch: PredictionBatch) -> OutColumns:
        ticks = batch.ticks
        keys = ticks.streams if isinstance(ticks.streams, Spans) else Spans.of(ticks.streams)
        index = self._no_indexes(len(keys)) if ticks.index is None else ticks.index
        return OutColumns(
            partition=ticks.partition,
            timestamp_ms=ticks.arrival_ms,
            keys=keys,
            values=self._values.write(batch, keys),
            headers=self._headers.write(ticks.partition, ticks.offset, index),
            offset=ticks.offset,
            element=index,
        )

    def _no_indexes(self, count: int) -> NDArray[np.int32]:
        """(count,) NO_INDEX, of one array for all batches, which nobody writes to."""
        if count > len(self._none):
            self._none = np.full(2 * count, NO_INDEX, np.int32)
        return self._none[:count]


def _take(batch: PredictionBatch, rows: RowChoice) -> PredictionBatch:
    """Some rows; the counts beside them stay the whole batch's."""
    return replace(
        batch,
        ticks=batch.ticks.take(rows),
        values=batch.values[rows],
        residual=batch.residual[rows],
        steps=batch.steps[rows],
        origin=batch.origin[rows],
        status=batch.status[rows],
    )


def _no_predictions(spec: ModelSpec) -> PredictionBatch:
    """Of a batch without ticks."""
    whole, codes = np.zeros(0, np.int64), np.zeros(0, np.uint8)
    numbers = np.zeros((0, len(spec.targets)), spec.precision)
    ticks = TickBatch(whole.astype(np.int32), whole, whole, whole, [], numbers, whole)
    values = np.zeros((0, len(spec.horizons), len(spec.targets), spec.levels), spec.precision)
    return PredictionBatch(ticks, values, numbers, whole, codes, codes, Errors(*[np.zeros((0, 0))] * 6))


def compile_encoders() -> None:
    """Compile what writes predictions, or find it compiled."""
    for precision in get_args(Precision):
        spec = ModelSpec(name="any", features=("a",), targets=("a",), channels=(Channel("a"),), precision=precision)
        Encoder(spec, "json")
        Encoder(spec, "msgpack")
