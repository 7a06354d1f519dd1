"""What the engine asks of a tier below memory: rows of streams that were let go. Knows no snapshot."""

from itertools import compress
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streamrnn.engine.rows.layout import RowLayout
from streamrnn.engine.rows.looking import FromCold, PartitionTicks
from streamrnn.ticks import StreamRows


class ColdTier(Protocol):
    """Rows that were captured and confirmed, or loaded as restored, by partition and stream."""

    def holds(self, partition: int, streams: list[bytes]) -> NDArray[np.bool_]:
        """(n,) whether the newest confirmed row of each stream could be found again."""

    def find(self, partition: int, streams: list[bytes]) -> StreamRows:
        """The newest confirmed rows of those of the streams that have one, in any order."""


def ask_cold(cold: ColdTier, ticks: PartitionTicks, layout: RowLayout) -> FromCold:
    """The rows of a partition's absent streams, and which of the ending ones it may hold; EngineError for rows of
    another layout."""
    away = [stream for _, stream in ticks.endings]
    held = frozenset(compress(away, cold.holds(ticks.partition, away).tolist()) if away else ())
    if not (sought := ticks.sought()):
        return FromCold(None, held)
    rows = cold.find(ticks.partition, list(sought))
    if not rows.streams:
        return FromCold(None, held)
    layout.check(rows)
    return FromCold(_before(rows, sought, ticks, layout), held)


def _before(rows: StreamRows, sought: dict[bytes, int], ticks: PartitionTicks, layout: RowLayout) -> StreamRows:
    """The rows that can take their streams' next ticks.

    A row that has already seen its stream's tick was written by steps that were undone later. A row without a last
    offset tells that the state has ended. Neither is used.
    """
    next_offsets = ticks.offsets[[sought[stream] for stream in rows.streams]]
    last_offsets = layout.numbers(rows, "last_offset")
    return rows.take((last_offsets >= 0) & (last_offsets < next_offsets))
