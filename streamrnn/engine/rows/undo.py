"""What takes steps back: for each live step the rows it moved as they were before, and who came and left.

Rows given up since the oldest layer are not freed before their layer is settled, so taking back is pointing back.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streamrnn.engine.rows.holding import Memory
from streamrnn.engine.rows.row_places import ABSENT, Index
from streamrnn.engine.rows.slab import Rows, Slab
from streamrnn.engine.rows.slots import DIRTY
from streamrnn.engine.rows.table import NOTHING, Moves, SlotTable
from streamrnn.errors import EngineError


@dataclass(slots=True)
class Layer:
    """What it takes to undo one step.

    slots: the rows that it moved. before, origin: what was in them. moves: who came and who left, by partition.
    stale: places given up outside the layers, which are not free before this one is settled.
    """

    slots: Index = field(default_factory=lambda: NOTHING)
    before: Rows | None = None
    origin: NDArray[np.uint8] | None = None
    moves: list[Moves] = field(default_factory=list)
    stale: list[Index] = field(default_factory=list)

    def note(self, slots: Index, before: Rows, origin: NDArray[np.uint8]) -> None:
        """The rows that the step moves, and what was in them."""
        self.slots, self.before, self.origin = slots, before, origin


class UndoLog:
    """The layers of the steps since the last commit, oldest first."""

    def __init__(self, table: SlotTable, slab: Slab) -> None:
        self._table, self._slab = table, slab
        self._layers: deque[Layer] = deque()

    def push(self) -> Layer:
        """A layer for the step that begins."""
        layer = Layer()
        self._layers.append(layer)
        return layer

    def is_waiting_for(self, partitions: set[int]) -> bool:
        """Whether a step of one of them could still be taken back."""
        return any(moves.partition in partitions for layer in self._layers for moves in layer.moves)

    def free(self, places: list[Index]) -> None:
        """Let others have places that were given up outside the layers, once no layer points there."""
        if self._layers:
            self._layers[-1].stale += places
        else:
            _free(self._table.memory, places)

    def settle(self, steps: int) -> None:
        """Let go of the `steps` oldest layers; EngineError when there are fewer."""
        if steps > len(self._layers):
            raise EngineError(f"{steps} steps are to be settled, {len(self._layers)} could be undone")
        for _ in range(steps):
            layer = self._layers.popleft()
            for moves in layer.moves:
                _free(self._table.memory, moves.left)
            _free(self._table.memory, layer.stale)

    def forget(self, partition: int) -> None:
        """Its steps are not to be taken back any more: its streams are gone."""
        for layer in self._layers:
            for moves in layer.moves:
                if moves.partition == partition:
                    self.free(moves.left)
            layer.moves = [moves for moves in layer.moves if moves.partition != partition]

    def undo(self) -> set[int]:
        """Take all steps back, the newest first; their partitions."""
        partitions: set[int] = set()
        freed: list[Index] = []
        while self._layers:
            layer = self._layers.pop()
            partitions |= {moves.partition for moves in layer.moves}
            self._restore_rows(layer)
            for moves in reversed(layer.moves):
                freed.append(self._take_back(moves))
            freed += layer.stale
        _free(self._table.memory, freed)
        for partition in partitions:
            self._table.holding(partition).forget_order()
        return partitions

    def _restore_rows(self, layer: Layer) -> None:
        if layer.before is None:
            return
        device, slots = self._table.memory.device, layer.slots
        self._slab.scatter(self._slab.index(slots), layer.before)
        device.used[slots] = layer.before["last_offset"].cpu().numpy()
        device.origin[slots] = layer.origin
        device.dirty[slots] = DIRTY

    def _take_back(self, moves: Moves) -> Index:
        """Streams that left return; streams that arrived are removed. Places that nobody needs any more.

        Rows that the cold tier gave stay, as they came, since the tier may meanwhile hold a later state.
        """
        memory, holding = self._table.memory, self._table.holding(moves.partition)
        left = np.concatenate((NOTHING, *moves.left))
        came = np.setdiff1d(np.concatenate((NOTHING, *moves.claimed)), moves.found)
        self._table.take_away(holding, np.setdiff1d(came, left))
        freed = [came]
        for slots, at, chosen in memory.split(back := np.setdiff1d(left, came)):
            numbers = slots.numbers[chosen]
            again = memory.keys.places(numbers)  # given back by the cold tier since this step let them go
            freed.append(again[again != ABSENT])
            self._table.take_away(holding, freed[-1])
            slots.give_back(moves.partition, chosen)
            holding.put(numbers, back[at])
            holding.on_device += len(chosen) if slots is memory.device else 0
        for stream, state in moves.ended.items():
            holding.ended.pop(stream, None)
            if state is not None:
                holding.ended[stream] = DIRTY
        return np.concatenate(freed)


def _free(memory: Memory, places: list[Index]) -> None:
    if places:
        for slots, _, chosen in memory.split(np.concatenate(places)):
            slots.free(chosen)
