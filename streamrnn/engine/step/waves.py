"""The order of a batch's ticks: wave k holds each row's k-th tick. Compiled; knows no torch.

Rows are sorted by how many ticks they have, most first, so wave k is the first n_k rows: a prefix.
"""

from typing import Any, NamedTuple

import numpy as np

from streamrnn.engine.rows.row_places import Index
from streamrnn.process.compiling import borrowing


class Plan(NamedTuple):
    """rows (U,) distinct slots; order (n,) tick indices by wave, then row; sizes of the waves, descending.

    The ticks of wave k, order[sum(sizes[:k]) :][: sizes[k]], step rows 0 .. sizes[k] - 1 in that order. Rows with
    as many ticks are in the order in which they came.
    """

    rows: Index
    order: Index
    sizes: Index


class Waves:
    """Plans batches, one after the other; holds a number for each slot there is, so that nothing is sorted."""

    def __init__(self) -> None:
        self._seen = np.zeros(0, np.int32)
        self._room = np.zeros((4, 0), np.int64)

    def plan(self, slots: Index, size: int) -> Plan:
        """Plan n >= 1 ticks given their slots (n,) < size in arrival order."""
        n = len(slots)
        if size > len(self._seen):
            self._seen = np.zeros(2 * size, np.int32)
        if n + 2 > self._room.shape[1]:
            self._room = np.zeros((4, 2 * n + 2), np.int64)
        rows, order, sizes = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
        row_count, wave_count = _plan(slots, self._seen, self._room, rows, order, sizes)
        return Plan(rows[:row_count], order, sizes[:wave_count])


@borrowing
def _plan(slots: Any, seen: Any, room: Any, rows: Any, order: Any, sizes: Any) -> tuple[int, int]:
    """Fill a plan: how many rows and waves it has. `seen` is 0 for every slot before and after."""
    waves, came, following, begins = room[0], room[1], room[2], room[3]
    row_count = wave_count = 0
    for i in range(len(slots)):
        wave = seen[slots[i]]
        seen[slots[i]] = wave + 1
        waves[i], order[i] = wave, i
        if wave == 0:
            came[row_count] = rows[row_count] = slots[i]
            row_count += 1
        if wave == wave_count:
            wave_count += 1
            sizes[wave] = 0
        sizes[wave] += 1
    if wave_count > 1:
        # 1. The rows that have k ticks come behind those that have more: from sizes[k] on, as that many have more.
        following[wave_count] = begins[0] = 0
        for wave in range(1, wave_count):
            following[wave], begins[wave] = sizes[wave], begins[wave - 1] + sizes[wave - 1]
        for r in range(row_count):
            ticks = seen[came[r]]
            rows[following[ticks]], seen[came[r]] = came[r], following[ticks]
            following[ticks] += 1
        # 2. Within a wave a tick has the place of its row.
        for i in range(len(slots)):
            order[begins[waves[i]] + seen[slots[i]]] = i
    for r in range(row_count):
        seen[rows[r]] = 0
    return row_count, wave_count


def compile_waves() -> None:
    """Compile the planning, or find it compiled."""
    Waves().plan(np.zeros(1, np.int64), 1)
