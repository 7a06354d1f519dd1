"""Errors added up while the judge walks: by horizon and target, by stream, and by moment of time.

Every stream counts alike: the mean over streams of each one's mean, in units of its own scale. Streams come whole
one after the other, or one in parts. Shapes: n windows, F forecasters, G streams that end, K horizons, O targets,
S streams, T moments.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.train.moments import Timeline

Numbers = NDArray[np.float64]
LONG = 16
"""Windows of a stream from which on it is added up by itself."""


class JudgedWindows(NamedTuple):
    """Windows of one or more streams: streams (n,), at (n,) their moments; truth (n, K, O), what was said F times
    (n, K, O), and known (n, K, O), which truths count."""

    streams: NDArray[np.int64]
    at: NDArray[np.int64]
    truth: Numbers
    said: list[NDArray[np.floating]]
    known: NDArray[np.bool_]

    def some(self, rows: slice) -> "JudgedWindows":
        """These windows alone."""
        said = [one[rows] for one in self.said]
        return JudgedWindows(self.streams[rows], self.at[rows], self.truth[rows], said, self.known[rows])


class _Ended(NamedTuple):
    """Sums over streams: squared and absolute (F, G, K, O), truths (G, K, O)."""

    squared: Numbers
    absolute: Numbers
    truths: NDArray[np.int64]

    def plus(self, more: "_Ended") -> "_Ended":
        return _Ended(self.squared + more.squared, self.absolute + more.absolute, self.truths + more.truths)


class Tally:
    """All sums. squared, absolute and count are over all truths, in raw units; the rest over streams with a scale.

    stream_error (S, F) is NaN for a stream without a score; loss (F, T) and weight (T,) add up to its sum.
    """

    def __init__(self, scales: Numbers, timeline: Timeline, forecasters: int, horizons: int) -> None:
        shape = (forecasters, horizons, scales.shape[1])
        self._inverse = np.where(np.isfinite(scales), 1 / scales, 0.0)
        self.squared, self.absolute, self.count = np.zeros(shape), np.zeros(shape), np.zeros(shape[1:], np.int64)
        self.std_squared, self.std_absolute = np.zeros(shape), np.zeros(shape)
        self.streams = np.zeros(shape[1:], np.int64)
        self.stream_error = np.full((len(scales), forecasters), np.nan)
        self.stream_truths = np.zeros(len(scales), np.int64)
        self.loss = np.zeros((forecasters, len(timeline.begins)))
        self.weight = np.zeros(len(timeline.begins))
        self._open: _Open | None = None

    def add(self, batch: JudgedWindows) -> None:
        """Windows in the order of their streams; the last stream may go on in the next batch."""
        firsts = np.flatnonzero(np.diff(batch.streams, prepend=-1)).tolist()
        if self._open is not None and self._open.stream == batch.streams[0]:
            begun = firsts[1] if len(firsts) > 1 else len(batch.at)
            self._go_on(batch.some(slice(0, begun)))
            firsts = firsts[1:]
        if len(firsts) > 1:
            self.close()
            self._add_whole(batch.some(slice(firsts[0], firsts[-1])))
        if firsts:
            self.close()
            self._go_on(batch.some(slice(firsts[-1], None)))

    def _go_on(self, batch: JudgedWindows) -> None:
        """More of the stream that is open, or a new one."""
        ended, losses, truths = self._sums(batch, np.zeros(1, np.int64))
        before = self._open or _Open.begun(int(batch.streams[0]), ended, self.loss.shape)
        self._open = before.after(ended, batch.at, losses, truths)

    def _add_whole(self, batch: JudgedWindows) -> None:
        """Streams none of which goes on."""
        firsts = np.flatnonzero(np.diff(batch.streams, prepend=-1))
        ended, losses, truths = self._sums(batch, firsts)
        self._end(batch.streams[firsts], ended)
        share = 1 / np.maximum(np.add.reduceat(truths, firsts), 1)
        own = np.repeat(share, np.diff([*firsts, len(batch.at)]))
        size = len(self.weight)
        self.weight += np.bincount(batch.at, truths * own, size)
        self.loss += [np.bincount(batch.at, loss * own, size) for loss in losses]

    def close(self) -> None:
        """No more of the stream that was open."""
        done, self._open = self._open, None
        if done is None:
            return
        self._end(np.array([done.stream]), done.sums)
        if total := done.weight.sum():
            self.weight += done.weight / total
            self.loss += done.loss / total

    def _sums(self, batch: JudgedWindows, firsts: NDArray[np.int64]) -> tuple[_Ended, list[Numbers], Numbers]:
        """The streams' sums; each window's squared errors in units of its stream's scales (F times (n,)), and how
        many these are."""
        inverse = self._inverse[batch.streams]
        squared, absolute, losses = [], [], []
        error, unknown = np.empty_like(batch.truth), ~batch.known  # one array for all: pages cost
        for said in batch.said:
            np.subtract(batch.truth, said, out=error)
            np.abs(error, out=error)
            error[unknown] = 0.0
            absolute.append(_by_stream(error, firsts))
            np.square(error, out=error)
            squared.append(_by_stream(error, firsts))
            losses.append((error.sum(axis=1) * np.square(inverse)).sum(axis=1))
        truths = (batch.known.sum(axis=1) * (inverse > 0)).sum(axis=1).astype(np.float64)
        count = _by_stream(batch.known.astype(np.int64), firsts)
        return _Ended(np.stack(squared), np.stack(absolute), count), losses, truths

    def _end(self, streams: NDArray[np.int64], ended: _Ended) -> None:
        """Put whole streams beside those before."""
        squared, absolute, count = ended
        self.squared += squared.sum(axis=1)
        self.absolute += absolute.sum(axis=1)
        self.count += count.sum(axis=0)
        inverse = self._inverse[streams][:, None]
        scored = count * (inverse > 0)
        some = np.maximum(scored, 1)
        self.std_squared += (squared / some * np.square(inverse)).sum(axis=1)
        self.std_absolute += (absolute / some * inverse).sum(axis=1)
        self.streams += (scored > 0).sum(axis=0)
        truths = scored.sum(axis=(1, 2))
        errors = (squared * np.square(inverse)).sum(axis=(2, 3)) / np.maximum(truths, 1)
        self.stream_error[streams] = np.where(truths > 0, errors, np.nan).T
        self.stream_truths[streams] = truths


class _Open(NamedTuple):
    """A stream that comes in parts: its sums so far, and its losses (F, T) and truths (T,) by moment."""

    stream: int
    sums: _Ended
    loss: Numbers
    weight: Numbers

    @staticmethod
    def begun(stream: int, like: _Ended, shape: tuple[int, int]) -> "_Open":
        nothing = _Ended(np.zeros_like(like.squared), np.zeros_like(like.absolute), np.zeros_like(like.truths))
        return _Open(stream, nothing, np.zeros(shape), np.zeros(shape[1]))

    def after(self, part: _Ended, at: NDArray[np.int64], losses: list[Numbers], truths: Numbers) -> "_Open":
        size = len(self.weight)
        loss = self.loss + [np.bincount(at, loss, size) for loss in losses]
        return _Open(self.stream, self.sums.plus(part), loss, self.weight + np.bincount(at, truths, size))


def _by_stream(cells: NDArray[Any], firsts: NDArray[np.int64]) -> NDArray[Any]:
    """(G, K, O) sums; reduceat adds row by row, which takes several times as long as a sum of many."""
    if len(cells) < LONG * len(firsts):
        return np.asarray(np.add.reduceat(cells, firsts, axis=0))
    total = np.empty((len(firsts), *cells.shape[1:]), cells.dtype)
    ends = [*firsts[1:].tolist(), len(cells)]
    for own, first, end in zip(total, firsts.tolist(), ends, strict=True):
        np.add.reduce(cells[first:end], axis=0, out=own)
    return total
