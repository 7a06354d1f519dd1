"""Dead letters that come to be after decoding: which record a refused row was, and what is said of it. No I/O."""

import time
from collections.abc import Iterable

from streamrnn.codecs import dead_letter_record
from streamrnn.ticks import DeadLetter, OutRecord, PredictionBatch, Record, TickBatch


def poisoned(records: list[Record], predictions: PredictionBatch) -> list[DeadLetter]:
    """Dead letters of ticks whose step gave NaN or Inf and was rolled back."""
    if predictions.ok.all():
        return []
    bad = {
        (int(predictions.ticks.partition[i]), int(predictions.ticks.offset[i]))
        for i in (~predictions.ok).nonzero()[0]
    }
    message = "the model gave a state or prediction that is not finite; the stream keeps its earlier state"
    return [DeadLetter(r, "step", "not_finite", message) for r in _at(records, bad)]


def source_of(records: list[Record], ticks: TickBatch, row: int) -> Record:
    """The record that tick `row` was decoded from."""
    return _at(records, {(int(ticks.partition[row]), int(ticks.offset[row]))})[0]


def reason_alone(letter: DeadLetter, topic: str, model: str) -> OutRecord:
    """Where the record came from and why it was refused, of its own nothing: not even its timestamp."""
    record = letter.record._replace(timestamp_ms=int(time.time() * 1000), key=None, value=None, headers=())
    return dead_letter_record(letter._replace(record=record), topic, model)


def _at(records: Iterable[Record], positions: set[tuple[int, int]]) -> list[Record]:
    return [r for r in records if (r.partition, r.offset) in positions]
