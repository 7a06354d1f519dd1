"""Says which features step finer than the float32 of the serving model tells: a meter that counts single units at
987,654,324. Owns the samples that it looks at; refuses nothing.

What was decoded for the model no longer shows it, so all records of some batches in a row are read once more, as
float64: at the start, then once an hour. The rule is the one by which retrain takes float64 (train/fineness.py).
"""

import logging
import time
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs import make_decoder
from streamrnn.codecs.formats.known import objects_in
from streamrnn.config import Settings
from streamrnn.nn.spec import ModelSpec
from streamrnn.ticks import Record, TickBatch
from streamrnn.train.fineness import LOST_STEP, NOISE, find_fine

log = logging.getLogger(__name__)
ENOUGH_STEPS, MOST_BATCHES = 200, 64
"""A sample ends with the batch in which it has so many steps or, without a verdict, is of so many batches."""
MOST_STREAMS = 1024
AGAIN_S = 3600.0


class TooFine:
    """What was said so far, and the sample under way: the exact values of some streams, tick after tick."""

    def __init__(self, spec: ModelSpec, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._features, self._clock = spec.features, clock
        self._decoder = make_decoder(msgspec.structs.replace(spec, precision="float64"), settings)
        self._is_off = spec.precision == "float64" or objects_in(settings.input.codec) is None
        self._said = np.zeros(len(spec.features), np.bool_)
        self._due_s = -np.inf
        self._rows: dict[bytes, list[NDArray[np.floating]]] = {}
        self._batches = self._steps = 0

    def note(self, records: Sequence[Record]) -> None:
        """Take note of a batch's records; nearly always nothing is done."""
        if self._is_off or not records or self._clock() < self._due_s:
            return
        self._add(self._decoder.decode(records)[0])
        if self._steps >= ENOUGH_STEPS:
            self._judge()
        if self._steps >= ENOUGH_STEPS or self._batches >= MOST_BATCHES:
            self._rows, self._batches, self._steps = {}, 0, 0
            self._due_s = self._clock() + AGAIN_S

    def _add(self, ticks: TickBatch) -> None:
        self._batches += 1
        for stream, row in zip(ticks.streams, ticks.values, strict=True):
            rows = self._rows.get(stream)
            if rows is not None:
                rows.append(row)
                self._steps += 1
            elif len(self._rows) < MOST_STREAMS:
                self._rows[stream] = [row]

    def _judge(self) -> None:
        values = np.concatenate([np.stack(rows) for rows in self._rows.values()]).astype(np.float64, copy=False)
        starts = np.cumsum([0, *map(len, self._rows.values())])
        for f in np.flatnonzero(find_fine(values, starts) & ~self._said).tolist():
            self._said[f] = True
            log.warning(
                "%s steps finer than the float32 of this model tells: %s. Retrain: the next one takes float64",
                self._features[f],
                _example(values[:, f], starts),
            )


def _example(exact: NDArray[np.float64], starts: NDArray[np.int64]) -> str:
    """A lost step of one feature (N,), of which there is one; streams begin at starts."""
    told = exact.astype(np.float32).astype(np.float64)
    step = np.diff(exact)
    is_lost = np.abs(np.diff(told) - step) > LOST_STEP * np.abs(step)
    is_lost &= np.abs(step) > NOISE * np.abs(exact[1:])
    is_lost[starts[1:-1] - 1] = False
    at = int(np.flatnonzero(is_lost)[0])
    return f"{exact[at]:.17g} to {exact[at + 1]:.17g} is {told[at]:.17g} to {told[at + 1]:.17g} for it"
