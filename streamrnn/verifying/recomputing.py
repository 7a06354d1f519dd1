"""What ticks must yield: the service's own decoder, engine and encoder, one partition at a time from fresh rows.

Knows no topic and what nobody published. Shapes: m predictions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.config import Settings
from streamrnn.nn.model import Model
from streamrnn.ticks import NO_INDEX, STATUS, OutColumns, PredictionBatch, Record
from streamrnn.verifying.content import DIGEST_BYTES, Content
from streamrnn.verifying.places import place_of
from streamrnn.worker.letters import is_dropped
from streamrnn.worker.line import Line, make_reading_line

NO_LIMIT = (1 << 31) - 1
"""Streams that are parked where none is ever forgotten."""


class Refusal(NamedTuple):
    """A tick that yields no prediction; without a code it yields no dead letter either."""

    record: Record
    code: str | None


class Expected(NamedTuple):
    """Of a list of records: places (m,) of the accepted ticks, digest (m, 2) and records m of their predictions;
    the refused ones by place."""

    places: NDArray[np.int64]
    digest: NDArray[np.uint64]
    records: OutColumns
    refused: dict[int, Refusal]


class Recomputing:
    """Steps again what a line served, one partition after the other; on the thread of the line's engine."""

    def __init__(self, settings: Settings, line: Line) -> None:
        self._engine, self._decoder, self._encoder = line.engine, line.decoder, line.encoder
        self.may_drop = any(is_dropped(status, settings) for status in STATUS)
        self._settings = settings
        self.content = Content(settings.output.codec, line.spec.precision)

    def places(self, records: Sequence[Record]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Of all ticks in these records, and of each whether it may leave neither prediction nor dead letter: null
        values, and a list as a whole, for its ticks do."""
        found: list[tuple[int, bool]] = []
        for record in records:
            count = self._decoder.count(record)
            found.append((place_of(record.offset), count is not None or self._is_silent(record)))
            found += [(place_of(record.offset, index), False) for index in range(count or 0)]
        return np.array([place for place, _ in found], np.int64), np.array([may for _, may in found], np.bool_)

    def _is_silent(self, record: Record) -> bool:
        return record.value is None and self._settings.input.tombstones != "dead-letter"

    def forget(self, partition: int) -> None:
        """Fresh rows again."""
        self._engine.drop(partition)

    def warm(self, records: Sequence[Record]) -> None:
        """Step, for the state alone."""
        self._engine.step(self._decoder.decode(records)[0], warm=True)

    def step(self, records: Sequence[Record]) -> Expected:
        """What these records, next in their partition's order, must yield."""
        ticks, dead = self._decoder.decode(records)
        predictions = self._engine.step(ticks, warm=True)
        said = self._encoder.encode(predictions)
        silent = [record for record in records if self._is_silent(record)]
        refused = {place_of(record.offset): Refusal(record, None) for record in silent}
        refused |= {place_of(d.record.offset, d.element): Refusal(d.record, d.code) for d in dead}
        refused |= self._refused(records, predictions)
        digests = b"".join(map(self.content.digest, said.keys.tolist(), said.values.tolist()))
        digest = np.frombuffer(digests, np.uint64).reshape(-1, DIGEST_BYTES // 8)
        places = place_of(ticks.offset, NO_INDEX if ticks.index is None else ticks.index.astype(np.int64))
        return Expected(places[predictions.ok], digest, said, refused)

    def _refused(self, records: Sequence[Record], predictions: PredictionBatch) -> dict[int, Refusal]:
        """Ticks that the step refused."""
        if predictions.ok.all():
            return {}
        record_of = {record.offset: record for record in records}
        found = {}
        rows = np.flatnonzero(~predictions.ok)
        for row, (_, offset, index) in zip(rows.tolist(), predictions.ticks.places(rows), strict=True):
            status = STATUS[predictions.status[row]]
            code = None if is_dropped(status, self._settings) else status
            found[place_of(offset, index)] = Refusal(self._decoder.element(record_of[offset], index), code)
        return found


def make_recomputing_line(model: Model, settings: Settings) -> Line:
    """A line that forgets a stream only where the service does.

    With snapshots, the service finds there what it lets go of memory, so no stream is ever forgotten.
    """
    if settings.snapshots.url is not None:
        roomy = settings.engine.model_copy(update={"max_parked": NO_LIMIT})
        settings = settings.model_copy(update={"engine": roomy})
    return make_reading_line(model, settings)
