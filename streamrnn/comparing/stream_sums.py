"""Sums by stream, compiled: of so many at most, half of which are let go each time there are more.

Where a stream is looked for is a secret of the process, so that nobody can choose keys that are slow to find.
Who stays is chosen by the hash of partition and key: in the end it depends on the keys alone, and whoever stays has
all of its ticks in its sums. Two streams with one hash of 64 bits would be one.
Shapes: E cells, N most streams, C places to look at, a power of two.
"""

import os
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.comparing.moment_sums import HELD, SHRUNK, make_look
from streamrnn.engine.rows.key_records import hash_of
from streamrnn.process.compiling import called, prefetch, spliced

HASH, TICKS, FIRST, LATEST = range(4)
"""Of a stream: the hash of its key, how many ticks had a pair, the times of the first and the last of these."""
SECRET = 2
"""In `counts`, an odd number."""
BLOCK = 64
"""Ticks whose streams are fetched together."""


class StreamSums(NamedTuple):
    """Sums by stream, of those whose hash ends in counts[SHRUNK] zeros.

    held (N, 4) by columns as above; difference (N, E) as of MomentSums; look (C,) int32 a row + 1 where a stream is
    found, or 0; hashed (BLOCK,) room for hashes.
    """

    counts: NDArray[np.int64]
    held: NDArray[np.int64]
    difference: NDArray[np.float64]
    look: NDArray[np.int32]
    hashed: NDArray[np.int64]


def make_streams(most: int, cells: int) -> StreamSums:
    """Without any."""
    held, hashed = np.zeros((most, 4), np.int64), np.zeros(BLOCK, np.int64)
    counts = np.array([0, 0, int.from_bytes(os.urandom(7)) | 1])
    return StreamSums(counts, held, np.zeros((most, cells)), make_look(most), hashed)


@spliced
def _home(streams: Any, hashed: Any) -> Any:
    """Where in `look` a stream is looked for first."""
    return ((hashed * streams.counts[SECRET]) >> 32) & (len(streams.look) - 1)


@spliced
def _find_stream(streams: Any, hashed: Any) -> Any:
    """Where in `look` a stream is, or is to be."""
    mask, at = len(streams.look) - 1, _home(streams, hashed)
    while streams.look[at] != 0 and streams.held[streams.look[at] - 1, HASH] != hashed:
        at = (at + 1) & mask
    return at


@spliced
def _is_chosen(streams: Any, hashed: Any) -> Any:
    return hashed & ((1 << streams.counts[SHRUNK]) - 1) == 0


@called
def _halve(streams: Any) -> None:
    """Keep every other stream, as chosen by their hashes."""
    counts, held = streams.counts, streams.held
    counts[SHRUNK] += 1
    for at in range(len(streams.look)):
        streams.look[at] = 0
    kept = 0
    for row in range(counts[HELD]):
        if _is_chosen(streams, held[row, HASH]):
            streams.look[_find_stream(streams, held[row, HASH])] = kept + 1
            for column in range(held.shape[1]):
                held[kept, column] = held[row, column]
            for cell in range(streams.difference.shape[1]):
                streams.difference[kept, cell] = streams.difference[row, cell]
            kept += 1
    counts[HELD] = kept


@spliced
def stream_of(streams: Any, hashed: Any, time_ms: Any) -> Any:
    """The row of a stream, made if there is none, or -1 for one not chosen; fewer are, until there is room."""
    counts, held = streams.counts, streams.held
    while _is_chosen(streams, hashed):
        at = _find_stream(streams, hashed)
        if streams.look[at] != 0:
            return streams.look[at] - 1
        if counts[HELD] < len(held):
            row = counts[HELD]
            counts[HELD] = row + 1
            streams.look[at] = row + 1
            held[row, HASH], held[row, TICKS], held[row, FIRST], held[row, LATEST] = hashed, 0, time_ms, time_ms
            for cell in range(streams.difference.shape[1]):
                streams.difference[row, cell] = 0.0
            return row
        _halve(streams)
    return -1


@called
def approach(streams: Any, partitions: Any, keys: int, starts: Any, sizes: Any, first: int, stop: int) -> None:
    """Hash the keys of a block, and have what finding them will read be on its way."""
    look, held = streams.look.ctypes.data, streams.held.ctypes.data
    for i in range(first, stop):
        hashed = np.int64(hash_of(0, 0, partitions[i], keys + starts[i], sizes[i]))
        streams.hashed[i - first] = hashed
        if _is_chosen(streams, hashed):
            prefetch(look + 4 * _home(streams, hashed))
    for i in range(stop - first):
        if _is_chosen(streams, streams.hashed[i]):
            row = streams.look[_home(streams, streams.hashed[i])]
            if row > 0:
                prefetch(held + 32 * (row - 1))
                prefetch(streams.difference.ctypes.data + 8 * streams.difference.shape[1] * (row - 1))
