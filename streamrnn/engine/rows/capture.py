"""The state of a partition as it is at one moment, copied in slices while it goes on.

Rows are marked when the capture begins; whoever is about to change or give up a marked row has it copied first.
All on the engine thread. Knows no snapshot.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from streamrnn.engine.owned import Owned, by_owner
from streamrnn.engine.rows.holding import Holding
from streamrnn.engine.rows.row_places import Index
from streamrnn.engine.rows.slots import CAPTURED, CLEAN, DIRTY, NOBODY, Slots
from streamrnn.engine.rows.table import SlotTable
from streamrnn.errors import CaptureVoid
from streamrnn.ticks import StreamRows

Reading = Callable[[], StreamRows]
"""Rows that may be on their way from the device still; whoever calls it, on any thread, waits for them."""
Copy = Callable[[Slots, Index], Reading]
Blank = Callable[[list[bytes]], StreamRows]
"""Rows that tell of these streams that their state has ended."""


class _Copied(NamedTuple):
    rows: int
    reading: Reading


class Capture(Owned):
    """The rows of one partition that have changed since the last capture, or all; behind them one for each stream
    whose state ended since.

    Take slices until there is none, then confirm() that they are kept, or fail(). Undoing a step of the partition,
    dropping it, loading it and beginning another capture of it end this one unless it is confirmed: is_void.
    """

    def __init__(self, partition: int, table: SlotTable, copy: Copy, blank: Blank, full: bool) -> None:
        self.partition, self.is_void = partition, False
        self._table, self._copy, self._blank, self._done = table, copy, blank, False
        self._to_copy: deque[tuple[Slots, Index]] = deque()
        self._copied: deque[_Copied] = deque()
        self.rows = 0
        for slots in (table.memory.host, table.memory.device):
            is_chosen = slots.owner == partition
            if not full:
                is_chosen &= slots.dirty != CLEAN
            slots.marked[is_chosen] = partition
            slots.dirty[is_chosen] = CAPTURED
            self._to_copy.append((slots, np.flatnonzero(is_chosen)))
            self.rows += len(self._to_copy[-1][1])
        self._ended = _turned(table.holding(partition), DIRTY, CAPTURED)
        self.rows += len(self._ended)

    def take(self, count: int) -> StreamRows | None:
        """`take_soon`, and wait for them."""
        reading = self.take_soon(count)
        return None if reading is None else reading()

    @by_owner
    def take_soon(self, count: int) -> Reading | None:
        """Up to `count` >= 1 of the rows, None when there are no more; CaptureVoid when they are gone."""
        if self.is_void:
            raise CaptureVoid(f"the capture of partition {self.partition} was overtaken")
        if self._copied:
            return self._take_copied(count)
        while self._to_copy:
            slots, chosen = self._to_copy.popleft()
            marked = chosen[:count][slots.marked[chosen[:count]] != NOBODY]
            if len(chosen) > count:
                self._to_copy.appendleft((slots, chosen[count:]))
            if len(marked):
                slots.marked[marked] = NOBODY
                return self._copy(slots, marked)
        if self._ended:
            rows, self._ended = self._blank(self._ended[:count]), self._ended[count:]
            return lambda: rows
        return None

    def _take_copied(self, count: int) -> Reading:
        rows, reading = self._copied.popleft()
        if rows <= count:
            return reading
        self._copied.appendleft(_Copied(rows - count, lambda: reading().take(slice(count, None))))
        return lambda: reading().take(slice(count))

    def save(self, slots: Slots, marked: Index) -> None:
        """Copy rows that are about to change; they were marked, and are not any more."""
        slots.marked[marked] = NOBODY
        self._copied.append(_Copied(len(marked), self._copy(slots, marked)))

    @by_owner
    def confirm(self) -> bool:
        """The rows are kept: what did not change meanwhile is clean. False when the capture is void."""
        return self._end(CLEAN)

    @by_owner
    def fail(self) -> None:
        """They are not: the next capture is to have them too."""
        self._end(DIRTY)

    def void(self) -> None:
        """What was to be copied is no more."""
        self._end(DIRTY)

    def _end(self, state: int) -> bool:
        if self.is_void or self._done:
            return self._done and state == CLEAN
        for slots in (self._table.memory.host, self._table.memory.device):
            slots.dirty[(slots.owner == self.partition) & (slots.dirty == CAPTURED)] = state
            slots.marked[slots.marked == self.partition] = NOBODY
        holding = self._table.holding(self.partition)
        holding.has_no_clean = False
        _turned(holding, CAPTURED, state)
        self._ended = []
        self._copied.clear()
        self._to_copy.clear()
        self._done, self.is_void = state == CLEAN, state != CLEAN
        return state == CLEAN


def _turned(holding: Holding, before: int, after: int) -> list[bytes]:
    """Turn the ended streams of one state to another, or of which a snapshot tells by now into nothing: which."""
    turned = [stream for stream, state in holding.ended.items() if state == before]
    for stream in turned:
        if after == CLEAN:
            del holding.ended[stream]
        else:
            holding.ended[stream] = after
    return turned


class Captures:
    """The capture of each partition that is not confirmed yet."""

    def __init__(self, table: SlotTable, copy: Copy, blank: Blank) -> None:
        self._table, self._copy, self._blank = table, copy, blank
        self._open: dict[int, Capture] = {}

    def begin(self, partition: int, full: bool) -> Capture:
        """Mark what is to be copied."""
        self.void(partition)
        capture = self._open[partition] = Capture(partition, self._table, self._copy, self._blank, full)
        return capture

    def void(self, partition: int) -> None:
        """End the capture of a partition."""
        if partition in self._open:
            self._open.pop(partition).void()

    def save(self, places: Index) -> None:
        """Have rows that are about to change or were given up copied where a capture waits for them."""
        if not self._open:
            return
        for slots, _, chosen in self._table.memory.split(places):
            waiting = slots.marked[chosen]
            for partition in np.unique(waiting[waiting != NOBODY]).tolist():
                self._open[partition].save(slots, chosen[waiting == partition])
