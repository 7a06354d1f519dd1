"""Pieces of streams side by side, chunk after chunk: what truncated back-propagation through time reads.

A long stream is cut into pieces so that few streams still make wide batches; a piece that does not begin its
stream runs `burn_in` ticks before it counts. Knows losses and optimisers not.
Shapes: T ticks of a chunk, B pieces, D input columns, F features, K horizons, O targets.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamrnn.nn.model import NEVER_MS, Model
from streamrnn.train.history import Extent, History


class Piece(NamedTuple):
    """Ticks start .. stop - 1 of a stream; those before `counts_from` only warm the state up.

    A prediction counts only where its truth lies before `limit`, the end of the part it is in.
    """

    start: int
    stop: int
    counts_from: int
    stream_start: int
    limit: int


class Chunk(NamedTuple):
    """T ticks of B pieces: x (T, B, D); base (T, B, O) last values of the targets; truth (T, B, K, O), NaN where
    it is missing or does not count; scale (B, 1, O) by which a stream's standardised errors are divided; relative
    (T B, O, P) what the skip sees, None for a model without lags."""

    x: Tensor
    base: Tensor
    truth: Tensor
    scale: Tensor
    relative: Tensor | None = None


def cut_pieces(extents: Sequence[Extent], longest: int, burn_in: int, offset: int = 0) -> list[Piece]:
    """Pieces of at most `longest` counting ticks each; the first of an extent is shorter by `offset`."""
    pieces = []
    for extent in extents:
        edge = extent.start
        stop = min(extent.stop, edge + max(1, longest - offset))
        while edge < extent.stop:
            start = max(extent.stream_start, edge - burn_in)
            pieces.append(Piece(start, stop, edge, extent.stream_start, extent.stop))
            edge, stop = stop, min(extent.stop, stop + longest)
    return pieces


def group(pieces: Sequence[Piece], width: int) -> list[list[Piece]]:
    """Batches of at most `width` pieces of like length, longest first."""
    ordered = sorted(pieces, key=lambda piece: (piece.start - piece.stop, piece.start))
    return [ordered[at : at + width] for at in range(0, len(ordered), width)]


class ChunkReader:
    """Reads a history as a model's inputs and truths."""

    def __init__(self, history: History, model: Model, chunk: int, scales: NDArray[np.float32]) -> None:
        """scales (S, O): see Chunk.scale."""
        self._history, self._model, self._chunk = history, model, chunk
        self._scales = torch.from_numpy(scales).to(model.channel_mean.device)
        self._targets = list(model.spec.target_columns)
        self._horizons = np.array(model.spec.horizons)

    def read(self, pieces: Sequence[Piece]) -> Iterator[Chunk]:
        """The pieces from their starts to the end of the longest, `chunk` ticks at a time."""
        start = np.array([piece.start for piece in pieces])
        longest = max(piece.stop - piece.start for piece in pieces)
        for first in range(0, longest, self._chunk):
            ahead = np.arange(first, min(longest, first + self._chunk))
            yield self._read(pieces, start + ahead[:, None])

    def _read(self, pieces: Sequence[Piece], at: NDArray[np.int64]) -> Chunk:
        """The chunk of ticks at (T, B); what is past a piece's end repeats its last tick and counts nothing."""
        stop, begin = (np.array([getattr(piece, name) for piece in pieces]) for name in ("stop", "stream_start"))
        inside = np.minimum(at, stop - 1)
        begins = np.broadcast_to(begin, at.shape)
        x, filled = self._inputs(inside.ravel(), begins.ravel())
        truth = self._truth(pieces, at)
        shape = at.shape
        base = filled[:, self._targets].reshape(*shape, -1)
        stream = np.searchsorted(self._history.starts, begin, side="right") - 1
        scale = self._scales[torch.from_numpy(stream)][:, None]
        relative = self._relative(inside.ravel(), begins.ravel()) if self._model.spec.lags else None
        return Chunk(x.reshape(*shape, -1), base, torch.from_numpy(truth).to(x.device), scale, relative)

    def _relative(self, at: NDArray[np.int64], begin: NDArray[np.int64]) -> Tensor:
        """(n, O, P) of the ticks `at` (n,), through the model's own arithmetic."""
        back = at[:, None] + np.arange(-self._model.spec.lags, 0)
        values = self._history.carried[np.maximum(back, 0)][..., self._targets]
        values = np.where((back >= begin[:, None])[..., None], values, np.float32(np.nan))
        now = self._history.carried[at][:, self._targets]
        device = self._model.channel_mean.device
        with torch.no_grad():
            given = (torch.from_numpy(part).to(device, self._model.dtype) for part in (values, now))
            return self._model.relative(*given)

    def _inputs(self, at: NDArray[np.int64], begin: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Through the model's own transforms, all ticks as one batch: each carries what its stream last said."""
        history = self._history
        has_before = at > begin
        before = np.maximum(at - 1, 0)
        last = np.where(has_before[:, None], history.carried[before], np.float32(np.nan))
        last_time = np.where(has_before, history.time_ms[before], NEVER_MS)
        device = self._model.channel_mean.device
        columns = (history.values[at], history.time_ms[at], last, last_time)
        values, time_ms, last_t, last_time_t = (torch.from_numpy(np.asarray(c)).to(device) for c in columns)
        state = {"last": last_t.to(self._model.dtype), "last_time": last_time_t}
        with torch.no_grad():
            x, filled, _ = self._model.inputs(values.to(self._model.dtype), time_ms, state)
        return x, filled

    def _truth(self, pieces: Sequence[Piece], at: NDArray[np.int64]) -> NDArray[np.float32]:
        """(T, B, K, O) observed values `horizon` ticks after those at (T, B)."""
        stop, counts_from, limit = (
            np.array([getattr(piece, name) for piece in pieces]) for name in ("stop", "counts_from", "limit")
        )
        counts = (at >= counts_from) & (at < stop)
        ahead = at[:, :, None] + self._horizons
        known = counts[:, :, None] & (ahead < limit[:, None])
        truth = self._history.values[np.where(known, ahead, 0)][..., self._targets]
        return np.where(known[..., None], truth, np.float32(np.nan))
