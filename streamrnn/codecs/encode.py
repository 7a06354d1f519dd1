"""Predictions to records, columns to columns: the key, partition and timestamp of a tick, and a value and headers.

Knows no format.
"""

from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from streamrnn.codecs.formats.known import OBJECT_FORMATS
from streamrnn.codecs.headers import PlaceHeaders
from streamrnn.config.input import KeyKind
from streamrnn.nn.spec import Channel, ModelSpec, Precision
from streamrnn.ticks import NO_INDEX, Errors, OutColumns, PredictionBatch, RowChoice, Spans, TickBatch


class Encoder:
    """Prediction records of one model; key, partition and timestamp are the tick's.

    Within a value the stream stands as its key is shown, which `key` says. Its loops are compiled when it is made,
    for some seconds once on a machine.
    """

    def __init__(self, spec: ModelSpec, codec: Literal["json", "msgpack"] = "json", key: KeyKind = "text") -> None:
        self._values = OBJECT_FORMATS[codec].predictions(spec, key)
        self._headers = PlaceHeaders(spec.label)
        self.encode(_no_predictions(spec))

    def encode(self, batch: PredictionBatch) -> OutColumns:
        """Records of the rows that are ok, in row order."""
        ok = batch.ok
        return self._records(batch if ok.all() else _take(batch, np.flatnonzero(ok)))

    def _records(self, batch: PredictionBatch) -> OutColumns:
        ticks = batch.ticks
        keys = ticks.streams if isinstance(ticks.streams, Spans) else Spans.of(ticks.streams)
        index = np.full(len(keys), NO_INDEX, np.int32) if ticks.index is None else ticks.index
        return OutColumns(
            partition=ticks.partition,
            timestamp_ms=ticks.arrival_ms,
            keys=keys,
            values=self._values.write(batch, keys),
            headers=self._headers.write(ticks.partition, ticks.offset, index),
            offset=ticks.offset,
            element=index,
        )


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
