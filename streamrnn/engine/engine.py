"""The sole owner of the device: places ticks, plans their waves and has an executor step them.

Executors: compiled.py on the CPU, blocks.py on CUDA; each gives a stream the same bits whatever shares its batches
(law 2). Beside the device's rows there are those parked on the host and those a cold tier may hold. What changes
or reads rows is called by one thread alone (thread.py); the counters may be read by any. Knows no Kafka.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import compress
from typing import Literal

import numpy as np

from streamrnn.engine.owned import Owned, by_owner
from streamrnn.engine.rows.capture import Capture, Captures
from streamrnn.engine.rows.cold import ColdTier, ask_cold
from streamrnn.engine.rows.columns import fresh_rows
from streamrnn.engine.rows.layout import RowLayout
from streamrnn.engine.rows.looking import FromCold, are_on_device, look
from streamrnn.engine.rows.parking import Parking
from streamrnn.engine.rows.placing import Placement, place_ticks
from streamrnn.engine.rows.row_places import Index
from streamrnn.engine.rows.slab import Slab
from streamrnn.engine.rows.table import Moves, SlotTable
from streamrnn.engine.rows.undo import Layer, UndoLog
from streamrnn.engine.rows.view import StreamView, view_of
from streamrnn.engine.rows.walk import Walk, every
from streamrnn.engine.step.executors import Kind, make_executor, pick_device
from streamrnn.engine.step.outcome import no_predictions
from streamrnn.engine.step.policies import Order, Quarantine, rules_of
from streamrnn.engine.step.score import Scorer
from streamrnn.engine.step.waves import Waves
from streamrnn.errors import EngineError
from streamrnn.nn.model import NEVER_MS, Model
from streamrnn.ticks import ORIGINS, PredictionBatch, StreamRows, TickBatch


class Engine(Owned):
    """One model, the state of every stream this worker serves, and the step that moves it.

    max_streams caps the rows of each partition on the device, max_parked those beyond on the host; a stream idle
    for idle_after_ms of event time is parked as well. executor: `auto` is `compiled` on the CPU and `blocks`
    elsewhere; block is the fixed number of rows of every execution of `blocks`.
    """

    def __init__(
        self,
        model: Model,
        *,
        max_streams: int,
        max_parked: int = 1_000_000,
        idle_after_ms: int | None = None,
        device: str = "auto",
        block: int = 256,
        executor: Kind = "auto",
        order: Order = Order(),  # noqa: B008
        quarantine: Quarantine = Quarantine(),  # noqa: B008
        cold: ColdTier | None = None,
    ) -> None:
        self.device = pick_device(device)
        self.model = model.to(self.device).eval()
        self.spec = model.spec
        self._cold = cold
        self.evicted_total = self.forgotten_total = self.brought_back_total = 0
        self._table = SlotTable(max_streams, max_parked, keeps_all=cold is not None)
        self._scorer = Scorer(self.spec, self.device)
        self._slab = Slab(fresh_rows(model, self._scorer), self.device)
        self._parking = Parking(self._table, self._slab, idle_after_ms)
        self._undo = UndoLog(self._table, self._slab)
        self._captures = Captures(self._table, self._parking.copy, self._parking.blank)
        self._waves, slots = Waves(), self._table.memory.device
        rules = rules_of(order, quarantine)
        self._executor = make_executor(executor, block, self.model, self._slab, slots, self._scorer, rules)
        self._dtype = np.dtype(self.spec.precision)

    @property
    def resident(self) -> int:
        """Streams that own a row on the device."""
        return self._table.memory.device.live

    @property
    def parked(self) -> int:
        """Streams whose rows wait in the host's memory."""
        return self._table.memory.host.live

    def parked_of(self, partitions: Collection[int]) -> int:
        """Streams of these partitions whose rows wait in the host's memory."""
        return sum(self._table.parked_of(partition) for partition in partitions)

    @property
    def slab_bytes(self) -> int:
        """Bytes of state allocated on the device."""
        return self._slab.nbytes

    @property
    def row_bytes(self) -> int:
        """Bytes one stream takes."""
        return self._slab.row_bytes

    @property
    def layout(self) -> RowLayout:
        """How the rows of StreamRows lie."""
        return self._slab.layout

    def is_at_hand(self, ticks: TickBatch) -> bool:
        """Whether every tick's row is on the device, and none ends; to be asked while no call runs."""
        return ticks.endings is None and are_on_device(self._table, ticks)

    @by_owner
    def step(self, ticks: TickBatch, warm: bool = False, has_misses: bool = False) -> PredictionBatch:
        """Move each tick's stream one step, in arrival order per stream, and end the states that end between.

        A live step can be undone until it is settled; `warm` marks a rebuilt state, and cannot: EngineError where
        its partition has steps to undo. has_misses: each tick's errors are told, for who compares two models.
        """
        ticks = self._in_precision(ticks)
        # 1. Open a layer of the undo log, or refuse a warm step under which one is open.
        layer = self._begin(ticks, warm)
        if not len(ticks) and ticks.endings is None:
            return no_predictions(ticks, self.spec)
        # 2. Give each tick a row. The cold tier may fail here, before anything has moved. `moves` is the layer's
        #    own list, so that a step that fails half way can be undone.
        moves: list[Moves] = [] if layer is None else layer.moves
        placed = self._place(ticks, moves)
        # 3. Rows given up still hold what they held. Copy those a capture waits for before anybody else gets them.
        for moved in moves:
            for places in moved.left:
                self._captures.save(places)
        # 4. Move the rows, each copied first where a capture waits for it or an undo would need it.
        said = self._move(ticks, placed, layer, has_misses) if len(ticks) else no_predictions(ticks, self.spec)
        # 5. Park and let go only now: who leaves is chosen by last ticks, this batch's included, and a stream that
        #    has just stepped takes the row along that the step made.
        self._make_room(said, moves)
        # 6. A warm step is never undone, so what it gave up is free at once; a live step's is once it is settled.
        if layer is None:
            self._undo.free([places for moved in moves for places in moved.left])
        return said

    def _in_precision(self, ticks: TickBatch) -> TickBatch:
        """The ticks with their values as the model takes them."""
        with np.errstate(over="ignore"):
            values = ticks.values.astype(self._dtype, copy=False)
        return ticks if values is ticks.values else replace(ticks, values=values)

    def _begin(self, ticks: TickBatch, warm: bool) -> Layer | None:
        if not warm:
            return self._undo.push()
        partitions = set(np.unique(ticks.partition).tolist())
        if ticks.endings is not None:
            partitions.update(ticks.endings.partition.tolist())
        self._refuse_to_undo(partitions, "rebuilt")
        return None

    def _move(self, ticks: TickBatch, placed: Placement, layer: Layer | None, has_misses: bool) -> PredictionBatch:
        """Step at least one tick, once what that changes is copied where captures and undoing need it."""
        plan = self._waves.plan(placed.slots, self._table.memory.device.size)
        self._captures.save(plan.rows)
        return self._executor.run(ticks, plan, placed.fresh, layer, has_misses)

    def _refuse_to_undo(self, partitions: set[int], verb: str) -> None:
        """What a layer does not know of cannot be changed under it."""
        if self._undo.is_waiting_for(partitions):
            raise EngineError(f"partitions {sorted(partitions)} cannot be {verb}: they have steps to undo")

    def _place(self, ticks: TickBatch, moves: list[Moves]) -> Placement:
        """Have every tick's stream on the device: look, ask the cold tier for the absent, place, copy."""
        groups, cold = look(self._table, ticks), self._cold
        below = [FromCold() if cold is None else ask_cold(cold, group, self.layout) for group in groups]
        placed = place_ticks(self._table, ticks, groups, below, moves)
        self._parking.grow()
        for moved, given in zip(moves, below, strict=True):
            self._parking.unpark(moved)
            if given.rows is not None:
                self._parking.write(moved.found, given.rows)
            self.brought_back_total += len(moved.unparked[0]) + len(moved.found)
        return placed

    def _make_room(self, said: PredictionBatch, moves: list[Moves]) -> None:
        """Park what is too much or idle; let go what the cold tier holds."""
        for moved in moves:
            self._park(self._table.surplus(moved.partition), moved)
            if self._parking.idle_after_ms is not None:
                is_ours = (said.ticks.partition == moved.partition) & said.ok
                newest_ms = int(said.ticks.time_ms[is_ours].max(initial=NEVER_MS))
                if self._parking.is_due(moved.partition, newest_ms):
                    while len(idle := self._parking.idle(moved.partition)):
                        self._park(idle, moved)
            if self._cold is not None:
                self._trim(moved)
            self.evicted_total += moved.evicted
            self.forgotten_total += moved.forgotten

    def _park(self, slots: Index, moved: Moves) -> None:
        if len(slots):
            self._captures.save(slots)
            self._parking.park(moved.partition, slots, moved)

    @by_owner
    def settle(self, steps: int) -> None:
        """The `steps` oldest live steps are not to be undone any more; EngineError when there are fewer."""
        self._undo.settle(steps)

    @by_owner
    def undo(self) -> set[int]:
        """Take back every live step that is not settled; the partitions they moved.

        Who is on the device, parked or gone is as before. Captures of these partitions that are not confirmed
        become void, and the rows count as changed since.
        """
        partitions = self._undo.undo()
        for partition in partitions:
            self._captures.void(partition)
        return partitions

    @by_owner
    def drop(self, partition: int) -> None:
        """Forget the state of a partition that now belongs to another worker, and how to undo its steps."""
        self._captures.void(partition)
        self._undo.forget(partition)
        self._undo.free([self._table.drop(partition)])

    @by_owner
    def load(self, partition: int, rows: StreamRows, origin: Literal["restored", "warmed"] = "restored") -> None:
        """Take over the state of n distinct streams, in place of what is held of them; they count as captured.

        Call it for part after part: the last ticked stay on the device, the others are parked, the oldest beyond
        both leave; a row that tells of an ended state is that of no stream, and takes the place of an older one.
        EngineError for rows of another layout or a partition that has steps to undo.
        """
        self.layout.check(rows)
        self._refuse_to_undo({partition}, "loaded")
        self._captures.void(partition)
        moved = Moves(partition)
        rows = self._without_ended(partition, rows, moved)
        places = self._table.admit(partition, rows.streams, self.layout.numbers(rows, "last_offset").copy(), moved)
        self._parking.grow()
        self._parking.write(places, rows)
        for slots, _, chosen in self._table.memory.split(places):
            slots.origin[chosen] = ORIGINS.index(origin)
        self._park(self._table.surplus(partition), moved)
        self._trim(moved)
        self._undo.free(moved.left)

    def _without_ended(self, partition: int, rows: StreamRows, moved: Moves) -> StreamRows:
        has_ended = self.layout.has_ended(rows)
        if not has_ended.any():
            return rows
        self._table.expel(partition, list(compress(rows.streams, has_ended.tolist())), moved)
        return rows.take(~has_ended)

    def _trim(self, moved: Moves) -> None:
        """Let the oldest streams go that are more than a partition's room, unless they would be lost for it."""
        cold, partition = self._cold, moved.partition
        if cold is None:
            self._table.trim(partition, moved)
        else:
            self._table.release(partition, moved, lambda streams: cold.holds(partition, streams))

    @by_owner
    def relieve(self, partition: int) -> None:
        """Let parked rows beyond max_parked go that the cold tier holds by now, as the next step would."""
        if self._cold is not None and not self._undo.is_waiting_for({partition}):
            moved = Moves(partition)
            self._trim(moved)
            self._undo.free(moved.left)

    @by_owner
    def capture(self, partition: int, full: bool) -> Capture:
        """Begin to copy the partition's rows as they are now: all, or those that changed since the last."""
        capture = self._captures.begin(partition, full)
        capture.owner = self.owner
        return capture

    @by_owner
    def walk(self, limit: int, is_asked: Callable[[bytes], bool] = every) -> Walk:
        """Begin to look for up to `limit` streams whose key is asked for, parked ones included."""
        walk = Walk(self._table, self._parking, limit, is_asked)
        walk.owner = self.owner
        return walk

    @by_owner
    def inspect(self, partition: int | None, stream: bytes) -> StreamView | None:
        """All that is held of one stream, parked or not; None if nothing is."""
        owner = next(iter(self._table.partitions_of(stream)), -1) if partition is None else partition
        place = self._table.find(owner, stream)
        if place is None:
            return None
        ((slots, _, chosen),) = self._table.memory.split(np.array([place]))
        rows = self._slab.view(*self._parking.read(slots, chosen)[1:])
        return view_of(stream, owner, rows, self.model, self._scorer)
