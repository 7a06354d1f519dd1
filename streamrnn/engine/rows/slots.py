"""The rows of one memory: whose each is, when it was last used, what is owed to it. Knows no torch and no bytes.

A row given up is not free before free() says so: what was in it can be given back (undo.py) or copied.
"""

import numpy as np

from streamrnn.engine.rows.key_table import KeyTable
from streamrnn.engine.rows.reserved import Reserved
from streamrnn.engine.rows.row_places import UNKNOWN, Index

SCRATCH = 0
"""The row of the device that pads a block; no stream ever owns it."""
NOBODY = -1
MORE = 1024
"""Rows by which there is room for more; few, since to mark them as nobody's takes a step's time."""
COLUMNS = {
    "owner": np.int32,
    "used": np.int64,
    "origin": np.uint8,
    "dirty": np.uint8,
    "marked": np.int32,
    "numbers": np.int64,
}
CLEAN, DIRTY, CAPTURED = 0, 1, 2
"""What the snapshots know of a row: its state now, an older one or none, or its state once a capture is confirmed.

claimed, stepped, undone  -> DIRTY     a row that is captured goes back to DIRTY, too: the capture has its old state
a capture begins          -> CAPTURED  those that are DIRTY, or all where it is a full one; `marked` until copied
the capture is confirmed  -> CLEAN     those that are still CAPTURED
it fails or is void       -> DIRTY     those that are still CAPTURED
loaded from a snapshot    -> CLEAN
the cold tier lacks it    -> DIRTY     so that the next capture has it again
Only a row that is CLEAN may leave memory for the cold tier.
"""


class Slots:
    """S rows, the first `reserved` of which nobody ever owns.

    Arrays by slot: owner its partition or NOBODY; used the offset of its stream's last tick; origin what the
    stream's next tick is to say of its state, 0 for nothing; dirty CLEAN, DIRTY or CAPTURED; marked the partition
    whose capture is still to copy the row, or NOBODY; numbers those of the streams' keys, also
    of a row given up but not yet free.
    No slot number outlives a call of the engine: streams are asked for by name (law 5).
    """

    def __init__(self, keys: KeyTable, reserved: int = 0) -> None:
        self._keys = keys
        self.size = reserved
        self.live = 0
        self._columns = {name: Reserved(dtype) for name, dtype in COLUMNS.items()}
        self.owner, self.used, self.origin, self.dirty, self.marked, self.numbers = (
            column.rows for column in self._columns.values()
        )
        self._make_room(reserved)
        self._free: list[int] = []

    def claim(self, partition: int, numbers: Index, used: Index | int, origin: int = 0) -> Index:
        """Rows for the streams of n keys that have none; their contents are what the last owner left."""
        n = len(numbers)
        reused = self._free[len(self._free) - n :] if n < len(self._free) else self._free.copy()
        del self._free[len(self._free) - len(reused) :]
        fresh = np.arange(self.size, self.size + n - len(reused))
        self._grow(self.size + len(fresh))
        slots = np.concatenate((np.array(reused, np.int64), fresh))
        self.owner[slots] = partition
        self.used[slots] = used
        self.origin[slots] = origin
        self.dirty[slots] = DIRTY
        self.marked[slots] = NOBODY
        self.numbers[slots] = numbers
        self._keys.hold(numbers)
        self.live += n
        return slots

    def _grow(self, size: int) -> None:
        self.size = size
        if size > len(self.owner):
            self._make_room(max(size, len(self.owner) + MORE))

    def _make_room(self, room: int) -> None:
        """Nothing that is there moves, and what is new is nobody's."""
        before = len(self.owner)
        for name, column in self._columns.items():
            column.grow(room)
            setattr(self, name, column.rows)
        self.owner[before:] = self.marked[before:] = NOBODY
        self.numbers[before:] = UNKNOWN

    def give_up(self, slots: Index) -> None:
        """Take rows from their streams; the contents stay."""
        self.owner[slots] = NOBODY
        self.live -= len(slots)

    def give_back(self, partition: int, slots: Index) -> None:
        """Undo giving up rows that are not yet free; a snapshot may hold a later state of them."""
        self.owner[slots] = partition
        self.dirty[slots] = DIRTY
        self.live += len(slots)

    def free(self, slots: Index) -> None:
        """Let other streams have rows that were given up."""
        assert (self.numbers[slots] != UNKNOWN).all(), "a row is freed that is free already"
        self._keys.release(self.numbers[slots])
        self.numbers[slots] = UNKNOWN
        self._free.extend(slots.tolist())

    def of(self, partition: int) -> Index:
        """The rows that a partition's streams own."""
        return np.flatnonzero(self.owner[: self.size] == partition)
