"""Columns of ticks, of what they yield and of streams' state; never an object per tick.

Shapes: n ticks, F features, O targets, K horizons, Q quantiles (Q = 1 for point heads).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.ticks.byte_spans import RowChoice, taken
from streamrnn.ticks.record import NO_INDEX, Place

ORIGINS = ("new", "carried", "restored", "warmed")
"""Where a stream's state came from before this tick, by code 0..3."""
STATUS = ("ok", "not_finite", "quarantined", "duplicate", "out_of_order", "late")
"""What became of a tick, by code 0..5: stepped, rolled back, or refused unstepped for the reason named."""


FAR_MS = 86_400_000
"""A day: what an event time may differ from its record's timestamp without being counted."""


class StreamRows(NamedTuple):
    """The state of n streams: keys, floats (n, W) float32 and integers (n, V) int64 as Engine.layout says.

    A row without a last offset tells that the stream's state has ended (see RowLayout.has_ended).
    """

    streams: list[bytes]
    floats: NDArray[np.float32]
    integers: NDArray[np.int64]

    def take(self, rows: RowChoice) -> "StreamRows":
        """Some of the rows; as views if they are a slice."""
        return StreamRows(taken(self.streams, rows), self.floats[rows], self.integers[rows])


@dataclass(frozen=True, slots=True)
class Endings:
    """m >= 1 streams whose state ends, in arrival order: a tick before it steps the old state, one after it a new.

    before (m,) int64 ascending: how many of the batch's ticks come before; partition (m,) int32; streams m keys.
    """

    before: NDArray[np.int64]
    partition: NDArray[np.int32]
    streams: list[bytes]

    def __len__(self) -> int:
        return len(self.streams)

    def by_tick(self) -> dict[int, list[tuple[int, bytes]]]:
        """(partition, stream) of those that come right before a tick of the batch, by its row."""
        found: dict[int, list[tuple[int, bytes]]] = {}
        for row, partition, stream in zip(self.before.tolist(), self.partition.tolist(), self.streams, strict=True):
            found.setdefault(row, []).append((partition, stream))
        return found


@dataclass(frozen=True, slots=True)
class TickBatch:
    """n accepted ticks in arrival order; offsets of one partition ascend, and are equal within a list.

    partition (n,) int32; offset (n,) int64; time_ms (n,) int64 event time, ms since the epoch;
    arrival_ms (n,) int64 the records' timestamps; streams n keys, a list or Spans;
    values (n, F) of the model's precision, NaN = missing;
    order (n,) int64 what a stream's ticks are ordered by, the event time or a sequence number; endings the
    states that end between them, if any; skipped how many null values beside them meant nothing; index (n,) int32
    where in its record's list each tick was, or NO_INDEX; None where no record is a list; outliers (F,)
    how many values of each feature were outside its bounds, those of refused ticks too, None for none; missing (F,)
    how many ticks miss each feature, None for none; far how many event times are far (see far_times).
    """

    partition: NDArray[np.int32]
    offset: NDArray[np.int64]
    time_ms: NDArray[np.int64]
    arrival_ms: NDArray[np.int64]
    streams: Sequence[bytes]
    values: NDArray[np.floating]
    order: NDArray[np.int64]
    endings: Endings | None = None
    skipped: int = 0
    index: NDArray[np.int32] | None = None
    outliers: NDArray[np.int64] | None = None
    missing: NDArray[np.int64] | None = None
    far: int = 0

    def __len__(self) -> int:
        return len(self.streams)

    def take(self, rows: RowChoice) -> "TickBatch":
        """Some of the ticks, without what is between them and without the counts beside them."""
        return TickBatch(
            self.partition[rows],
            self.offset[rows],
            self.time_ms[rows],
            self.arrival_ms[rows],
            taken(self.streams, rows),
            self.values[rows],
            self.order[rows],
            index=None if self.index is None else self.index[rows],
        )

    def places(self, rows: RowChoice = slice(None)) -> list[Place]:
        """The places of some of the ticks, or of all."""
        index = repeat(NO_INDEX) if self.index is None else self.index[rows].tolist()
        return list(zip(self.partition[rows].tolist(), self.offset[rows].tolist(), index, strict=False))


def tallied(ticks: TickBatch) -> TickBatch:
    """The same ticks with `missing` and `far` counted; costs little where there are none of either."""
    missing = None if np.isfinite(ticks.values).all() else np.isnan(ticks.values).sum(axis=0)
    ahead = ticks.time_ms - ticks.arrival_ms
    is_near = not len(ticks) or (ahead.min() >= -FAR_MS and ahead.max() <= FAR_MS)
    far = 0 if is_near else int(far_times(ticks).sum())
    return replace(ticks, missing=missing, far=far)


def far_times(ticks: TickBatch) -> NDArray[np.bool_]:
    """(n,) whether the event time is more than a day from the record's timestamp, where that has one."""
    after = ticks.arrival_ms + FAR_MS < ticks.time_ms
    return (after | (ticks.arrival_ms - FAR_MS > ticks.time_ms)) & (ticks.arrival_ms >= 0)


@dataclass(frozen=True, slots=True)
class Errors:
    """Sums over the ticks whose truth arrived, per scored horizon and target, all (K', O) float64.

    count; sum of squared and absolute errors of the model and of persistence at the same horizon; beyond, how many
    more truths arrived that are left out of these because they, or what they were forecast from, are absurd.
    """

    count: NDArray[np.float64]
    squared: NDArray[np.float64]
    absolute: NDArray[np.float64]
    persistence_squared: NDArray[np.float64]
    persistence_absolute: NDArray[np.float64]
    beyond: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PredictionBatch:
    """What n ticks yield, row i for tick i of `ticks`.

    values (n, K, O, Q) raw units, of the model's precision; residual (n, O) truth minus the one-step prediction
    made at the stream's previous tick, NaN where there was none; steps (n,) int64 ticks the state has seen,
    this one included if it is ok; origin (n,) uint8 codes of ORIGINS; status (n,) uint8 codes of STATUS: all but
    ok left the state as it was, their values mean nothing, and the tick is to be refused; misses (n, K', O) float64
    the errors that `errors` sums, truth minus the prediction made that many ticks ago, NaN where none counts, or
    None where they were not asked for.
    """

    ticks: TickBatch
    values: NDArray[np.floating]
    residual: NDArray[np.floating]
    steps: NDArray[np.int64]
    origin: NDArray[np.uint8]
    status: NDArray[np.uint8]
    errors: Errors
    wave_sizes: list[int] = field(default_factory=list)
    misses: NDArray[np.float64] | None = None

    @property
    def ok(self) -> NDArray[np.bool_]:
        """(n,) whether the tick was stepped."""
        return np.equal(self.status, 0)
