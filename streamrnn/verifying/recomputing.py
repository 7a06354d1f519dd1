"""What ticks must yield: the service's own decoder, engine and encoder, one partition at a time from fresh rows.

Knows no topic and what nobody published. Shapes: m predictions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs import Encoder, make_decoder
from streamrnn.config import Settings
from streamrnn.engine.making import make_engine
from streamrnn.nn.model import Model
from streamrnn.ticks import STATUS, OutRecord, PredictionBatch, Record
from streamrnn.verifying.content import DIGEST_BYTES, Content
from streamrnn.worker.letters import is_dropped

NO_LIMIT = (1 << 31) - 1
"""Streams that are parked where none is ever forgotten."""


class Refusal(NamedTuple):
    """A tick that yields no prediction; without a code it yields no dead letter either."""

    record: Record
    code: str | None


class Expected(NamedTuple):
    """Of a list of records: offsets (m,) of the accepted ticks, digest (m, 2) and records m of their predictions;
    the refused ones by offset."""

    offsets: NDArray[np.int64]
    digest: NDArray[np.uint64]
    records: list[OutRecord]
    refused: dict[int, Refusal]


class Recomputing:
    """One engine for one partition after the other."""

    def __init__(self, settings: Settings, model: Model) -> None:
        self.engine = make_engine(model, _remembering(settings))
        self.may_drop = any(is_dropped(status, settings) for status in STATUS)
        self._settings = settings
        self._decoder = make_decoder(model.spec, settings)
        self._encoder = Encoder(model.spec, settings.output.codec)
        self._digest = Content(settings.output.codec).digest

    def forget(self, partition: int) -> None:
        """Fresh rows again."""
        self.engine.drop(partition)

    def warm(self, records: Sequence[Record]) -> None:
        """Step, for the state alone."""
        self.engine.step(self._decoder.decode(records)[0], warm=True)

    def step(self, records: Sequence[Record]) -> Expected:
        """What these records, next in their partition's order, must yield."""
        ticks, dead = self._decoder.decode(records)
        predictions = self.engine.step(ticks, warm=True)
        said = self._encoder.encode(predictions)
        refused = {letter.record.offset: Refusal(letter.record, letter.code) for letter in dead}
        refused |= self._refused(records, predictions)
        digests = b"".join([self._digest(record.key, record.value) for record in said])
        digest = np.frombuffer(digests, np.uint64).reshape(-1, DIGEST_BYTES // 8)
        return Expected(ticks.offset[predictions.ok], digest, said, refused)

    def _refused(self, records: Sequence[Record], predictions: PredictionBatch) -> dict[int, Refusal]:
        """Ticks that the step refused."""
        if predictions.ok.all():
            return {}
        record_of = {record.offset: record for record in records}
        found = {}
        for row in np.flatnonzero(~predictions.ok).tolist():
            offset, status = int(predictions.ticks.offset[row]), STATUS[predictions.status[row]]
            code = None if is_dropped(status, self._settings) else status
            found[offset] = Refusal(record_of[offset], code)
        return found


def _remembering(settings: Settings) -> Settings:
    """With snapshots, the service finds there what it lets go of memory: no stream is ever forgotten."""
    if settings.snapshots.url is None:
        return settings
    return settings.model_copy(update={"engine": settings.engine.model_copy(update={"max_parked": NO_LIMIT})})
