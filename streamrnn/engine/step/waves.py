"""The order of a batch's ticks: wave k holds each row's k-th tick. Plain numpy; knows no torch.

Rows are sorted by how many ticks they have, most first, so wave k is the first n_k rows: a prefix.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Plan(NamedTuple):
    """rows (U,) distinct slots; order (n,) tick indices by wave, then row; sizes of the waves, descending.

    The ticks of wave k, order[sum(sizes[:k]) :][: sizes[k]], step rows 0 .. sizes[k] - 1 in that order.
    """

    rows: NDArray[np.int64]
    order: NDArray[np.int64]
    sizes: list[int]


def plan_waves(slots: NDArray[np.int64]) -> Plan:
    """Plan n >= 1 ticks given their slots (n,) in arrival order."""
    by_slot = np.argsort(slots, kind="stable")
    ordered = slots[by_slot]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    if len(starts) == len(slots):
        return Plan(ordered, by_slot, [len(slots)])
    counts = np.diff(np.append(starts, len(slots)))
    busiest = np.argsort(-counts, kind="stable")
    row_of_group = np.empty_like(busiest)
    row_of_group[busiest] = np.arange(len(busiest))
    wave = np.arange(len(slots)) - np.repeat(starts, counts)
    order = by_slot[np.lexsort((np.repeat(row_of_group, counts), wave))]
    return Plan(ordered[starts][busiest], order, np.bincount(wave).tolist())
