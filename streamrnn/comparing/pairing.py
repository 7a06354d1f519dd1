"""What of two models belongs together: targets and horizons that both score, and ticks that both took.

Shapes: n ticks of the champion's, m of the challenger's, E cells.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.comparing import paired_loops
from streamrnn.nn.spec import ModelSpec
from streamrnn.ticks import NO_INDEX, TickBatch
from streamrnn.ticks.byte_spans import uniform

Index = NDArray[np.int64]


class ScoredCell(NamedTuple):
    """What is forecast, and how many ticks ahead."""

    target: str
    horizon: int


class CommonCells(NamedTuple):
    """The E cells that two models score both; (E,) the places of each among either's misses, horizon by horizon."""

    cells: tuple[ScoredCell, ...]
    champion: Index
    challenger: Index


def common_cells(champion: ModelSpec, challenger: ModelSpec) -> CommonCells:
    """By the names of targets, in the champion's order."""
    ours, theirs = _cells_of(champion), _cells_of(challenger)
    both = tuple(cell for cell in ours if cell in theirs)
    places = (np.array([own[cell] for cell in both], np.int64) for own in (ours, theirs))
    return CommonCells(both, *places)


def _cells_of(spec: ModelSpec) -> dict[ScoredCell, int]:
    cells = [ScoredCell(target, horizon) for horizon in spec.scored_horizons for target in spec.targets]
    return {cell: place for place, cell in enumerate(cells)}


def chosen(misses: NDArray[np.float64], places: Index) -> NDArray[np.float64]:
    """(n, E) of a model's misses (n, K', O)."""
    ticks, horizons, targets = misses.shape
    flat = misses.reshape(ticks, horizons * targets)
    if len(places) == horizons * targets and (np.diff(places) == 1).all():
        return uniform(flat)
    return uniform(np.take(flat, places, axis=1))


def rows_in(challenger: TickBatch, champion: TickBatch) -> Index:
    """(n,) in which row of the challenger's each of the champion's ticks is, -1 where it is in none.

    Both are of the same records, in their order; either may lack some.
    """
    return uniform(np.arange(len(champion))) if _are_same(champion, challenger) else matched(challenger, champion)


def matched(challenger: TickBatch, champion: TickBatch) -> Index:
    """As `rows_in`, looked for place by place."""
    row = np.empty(len(champion), np.int64)
    partitions = 1 + max(int(ticks.partition.max(initial=-1)) for ticks in (champion, challenger))
    heads, following = np.full(partitions, -1, np.int64), np.empty(len(challenger), np.int64)
    paired_loops.match(*_places(champion), *_places(challenger), heads, following, row)
    return uniform(row)


def _are_same(one: TickBatch, other: TickBatch) -> bool:
    """Whether both have the same ticks; mostly they are even the same arrays."""
    if len(one) != len(other):
        return False
    pairs = ((one.offset, other.offset), (one.partition, other.partition))
    if not all(ours is theirs or np.array_equal(ours, theirs) for ours, theirs in pairs):
        return False
    return one.index is other.index or np.array_equal(_index(one), _index(other))


def _places(ticks: TickBatch) -> tuple[NDArray[np.int32], Index, NDArray[np.int32]]:
    return uniform(ticks.partition), uniform(ticks.offset), uniform(_index(ticks))


def _index(ticks: TickBatch) -> NDArray[np.int32]:
    return np.full(len(ticks), NO_INDEX, np.int32) if ticks.index is None else ticks.index
