"""Rows on their way between the device and the host's memory. Owns the rows on the host, and who is idle.

Which of the two a row is in changes no bit of it.
"""

from collections.abc import Callable

import numpy as np
import torch

from streamrnn.engine.rows.copying import SideStream
from streamrnn.engine.rows.row_places import Index
from streamrnn.engine.rows.slab import Rows, Slab
from streamrnn.engine.rows.slots import Slots
from streamrnn.engine.rows.table import Moves, SlotTable
from streamrnn.ticks import StreamRows

LOOKS = 16
"""Times within idle_after_ms that a partition is looked through for idle streams."""
LONGEST_BATCHES = 64
"""Or once in so many batches: a tick from the far future is the newest for long."""
AT_ONCE = 256


class Parking:
    """Moves rows of `slab` to the host and back; idle_after_ms of event time make a stream idle, None never."""

    def __init__(self, table: SlotTable, slab: Slab, idle_after_ms: int | None) -> None:
        self._table, self._slab, self.idle_after_ms = table, slab, idle_after_ms
        self._side = SideStream(slab.rows.floats.device)
        self._host = Slab({name: slab.fresh[name].cpu() for name in slab.fresh.names()}, torch.device("cpu"))

    def grow(self) -> None:
        """Have memory for every slot there is."""
        self._slab.grow(self._table.memory.device.size)
        self._host.grow(self._table.memory.host.size)

    def park(self, partition: int, slots: Index, moves: Moves) -> None:
        """Move rows from the device to the host."""
        parked = self._table.park(partition, slots, moves)
        self.grow()
        rows = self._slab.gather(self._slab.index(slots))
        there = Rows(rows.floats.cpu(), rows.integers.cpu(), rows.columns)
        self._host.scatter(torch.from_numpy(parked), there)

    def unpark(self, moves: Moves) -> None:
        """Copy the rows that placing has called back to the device."""
        parked, slots = moves.unparked
        if len(parked):
            self._slab.write(slots, *self._host.read(parked))

    def read(self, slots: Slots, chosen: Index) -> StreamRows:
        """Copies of rows of the device or the host, with their streams, also of rows given up and not yet free."""
        slab = self._slab if slots is self._table.memory.device else self._host
        return StreamRows(list(self._table.memory.keys.names(slots.numbers[chosen])), *slab.read(chosen))

    def numbers(self, slots: Slots, chosen: Index, name: str) -> Index:
        """An integer column of rows of the device or the host."""
        slab = self._slab if slots is self._table.memory.device else self._host
        return slab.gather(slab.index(chosen))[name].cpu().numpy()

    def copy(self, slots: Slots, chosen: Index) -> Callable[[], StreamRows]:
        """`read`, but the answer is to be called to have the rows: on another thread, the step need not wait."""
        if slots is not self._table.memory.device:
            rows = self.read(slots, chosen)
            return lambda: rows
        names = self._table.memory.keys.names(slots.numbers[chosen])
        copied = self._side.copy(self._slab.gather(self._slab.index(chosen)))
        return lambda: StreamRows(list(names), *copied())

    def blank(self, streams: list[bytes]) -> StreamRows:
        """Rows as they are before a stream's first tick."""
        fresh, n = self._host.fresh, len(streams)
        return StreamRows(streams, fresh.floats.numpy().repeat(n, 0), fresh.integers.numpy().repeat(n, 0))

    def write(self, places: Index, rows: StreamRows) -> None:
        """Overwrite the rows at these places."""
        for slots, at, chosen in self._table.memory.split(places):
            slab = self._slab if slots is self._table.memory.device else self._host
            slab.write(chosen, rows.floats[at], rows.integers[at])

    def is_due(self, partition: int, newest_ms: int) -> bool:
        """Whether a partition that has come to this event time is to be looked through for idle streams."""
        holding = self._table.holding(partition)
        holding.newest_ms = max(holding.newest_ms, newest_ms)
        if self.idle_after_ms is None:
            return False
        holding.batches_since += 1
        is_early = holding.newest_ms - holding.looked_ms < self.idle_after_ms / LOOKS
        if is_early and holding.batches_since < LONGEST_BATCHES:
            return False
        holding.looked_ms, holding.batches_since = holding.newest_ms, 0
        return True

    def idle(self, partition: int) -> Index:
        """Take some slots of streams whose newest event time is too far behind the partition's, oldest ticks first
        and up to the first that is not idle; they are to be parked at once."""
        assert self.idle_after_ms is not None
        holding = self._table.holding(partition)
        oldest, slots = holding.next_on_device(AT_ONCE)
        times = self._slab.gather(self._slab.index(slots))["newest_time"].cpu().numpy()
        is_idle = times < holding.newest_ms - self.idle_after_ms
        return oldest.take(int(np.append(is_idle, False).argmin()))
