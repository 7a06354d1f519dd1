"""What the engine asks of a tier below memory: rows of streams that were let go. Knows no snapshot."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streamrnn.ticks import StreamRows


class Cold(Protocol):
    """Rows that were captured and confirmed, or loaded as restored, by partition and stream."""

    def holds(self, partition: int, streams: list[bytes]) -> NDArray[np.bool_]:
        """(n,) whether the newest confirmed row of each stream could be found again."""

    def find(self, partition: int, streams: list[bytes]) -> StreamRows:
        """The newest confirmed rows of those of the streams that have one, in any order."""


def rows_before(rows: StreamRows, streams: list[bytes], offsets: NDArray[np.int64], last_offset: int) -> StreamRows:
    """The rows that have not seen their streams' ticks at `offsets` yet; others are of a time that was undone, or
    tell that the state has ended. last_offset: its place among the integers."""
    ticked = dict(zip(streams, offsets.tolist(), strict=True))
    seen = rows.integers[:, last_offset].tolist()
    fit = [i for i, (stream, last) in enumerate(zip(rows.streams, seen, strict=True)) if 0 <= last < ticked[stream]]
    return rows.take(np.array(fit, np.intp))
