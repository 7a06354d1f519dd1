"""What two models said, made by hand: a log of ticks, which of them each took, what each missed."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.ticks import NO_INDEX, Errors, PredictionBatch, Spans, TickBatch


def spec(name: str, targets: tuple[str, ...] = ("temp",), horizons: tuple[int, ...] = (1,)) -> ModelSpec:
    return ModelSpec(
        name=name, features=targets, targets=targets, channels=(Channel(targets[0]),), horizons=horizons, hidden=4
    )


CHAMPION, CHALLENGER = spec("old"), spec("new")


class Log(NamedTuple):
    """n ticks as records lie: partitions, offsets, indexes, times, keys."""

    partition: NDArray[np.int32]
    offset: NDArray[np.int64]
    index: NDArray[np.int32]
    time_ms: NDArray[np.int64]
    streams: list[bytes]

    def ticks(self, rows: NDArray[np.intp]) -> TickBatch:
        index = self.index[rows]
        return TickBatch(
            self.partition[rows],
            self.offset[rows],
            self.time_ms[rows],
            self.time_ms[rows],
            Spans.of([self.streams[row] for row in rows]) if len(rows) % 2 else [self.streams[row] for row in rows],
            np.zeros((len(rows), 1), np.float32),
            self.time_ms[rows],
            index=None if (index == NO_INDEX).all() else index,
        )


def said(ticks: TickBatch, misses: NDArray[np.float64] | None) -> PredictionBatch:
    """misses (n, K', O)."""
    n = len(ticks)
    none, codes = np.zeros((n, 1)), np.zeros(n, np.uint8)
    errors = Errors(*[np.zeros((1, 1))] * 6)
    return PredictionBatch(ticks, none[:, None, None], none, ticks.offset, codes, codes, errors, [], misses)


def regular(misses: NDArray[np.float64], step_ms: int = 1000, first: int = 0) -> PredictionBatch:
    """StreamSums that tick together: misses (T, S) or (T, S, K', O), the moments from number `first` on."""
    moments, streams = misses.shape[:2]
    at = np.repeat(np.arange(first, first + moments), streams)
    keys = np.tile(np.arange(streams), moments)
    data, starts = keys.astype(">u4").view(np.uint8), 4 * np.arange(len(keys))
    ticks = TickBatch(
        np.zeros(len(at), np.int32),
        at * streams + keys,
        at * step_ms,
        at * step_ms,
        Spans(data, starts, np.full(len(keys), 4)),
        np.zeros((len(at), 1), np.float32),
        at,
    )
    return said(ticks, misses.reshape(len(at), *(misses.shape[2:] or (1, 1))))


def make_log(rng: np.random.Generator, n: int, streams: int, span_ms: int = 100_000) -> Log:
    """Records of three partitions in turns, some of them lists; times that go back now and then."""
    partition = rng.integers(0, 3, n).astype(np.int32)
    offset, index = np.zeros(n, np.int64), np.full(n, NO_INDEX, np.int32)
    ends, row = np.zeros(3, np.int64), 0
    while row < n:
        own, many = partition[row], 1 if rng.random() < 0.7 else int(rng.integers(1, 5))
        rows = slice(row, min(row + many, n))
        partition[rows], offset[rows] = own, ends[own]
        if many > 1:
            index[rows] = np.arange(rows.stop - row)
        ends[own] += 1 + rng.integers(0, 3)
        row = rows.stop
    times = np.sort(rng.integers(-1000, span_ms, n)) + rng.integers(-50, 50, n)
    return Log(partition, offset, index, times, [b"s%d" % s for s in rng.integers(0, streams, n)])
