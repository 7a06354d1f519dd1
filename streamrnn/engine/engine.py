"""The sole owner of the device: places ticks, plans their waves and has an executor step them.

Executors: compiled.py on the CPU, blocks.py on CUDA; each gives a stream the same bits whatever shares its
batches (law 2). Beside the device's rows there are those parked on the host (parking.py) and those that a cold
tier may hold (cold.py). What changes or reads rows is called
by one thread alone (thread.py); the counters may be read by any. Knows no Kafka.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import compress
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from streamrnn.engine.owned import Owned, by_owner
from streamrnn.engine.rows.capture import Capture, Captures
from streamrnn.engine.rows.cold import Cold as Cold
from streamrnn.engine.rows.cold import rows_before
from streamrnn.engine.rows.columns import check_rows, fresh_rows, text_of
from streamrnn.engine.rows.parking import Parking
from streamrnn.engine.rows.placing import Below, Placement, place_ticks
from streamrnn.engine.rows.slab import Slab
from streamrnn.engine.rows.slots import DIRTY, Index
from streamrnn.engine.rows.table import Moves, SlotTable
from streamrnn.engine.rows.undo import Layer, UndoLog
from streamrnn.engine.rows.view import StreamView, view_of
from streamrnn.engine.step.executors import Kind, make_executor, pick_device
from streamrnn.engine.step.origins import origins_of
from streamrnn.engine.step.outcome import no_predictions, predictions_of
from streamrnn.engine.step.policies import Order, Quarantine, rules_of
from streamrnn.engine.step.score import Scorer
from streamrnn.engine.step.waves import plan_waves
from streamrnn.errors import EngineError
from streamrnn.nn.model import NEVER_MS, Model
from streamrnn.nn.truths import truths_of
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
        cold: Cold | None = None,
    ) -> None:
        self.device = pick_device(device)
        self.model = model.to(self.device).eval()
        self.spec = model.spec
        self.cold = cold
        self.evicted_total = self.forgotten_total = self.brought_back_total = 0
        self._table = SlotTable(max_streams, max_parked)
        self._scorer = Scorer(self.spec, self.device)
        self._slab = Slab(fresh_rows(model, self._scorer), self.device)
        self._parking = Parking(self._table, self._slab, idle_after_ms)
        self._undo = UndoLog(self._table, self._slab)
        self._captures = Captures(self._table, self._parking.copy, self._parking.blank)
        self._executor = make_executor(
            executor, block, self.model, self._slab, self._scorer, rules_of(order, quarantine)
        )
        self._truths = truths_of(self.model, self.spec.scored_horizons)
        self._dtype = np.dtype(self.spec.precision)
        self._targets = list(self.spec.target_columns)
        self._found: list[tuple[int, StreamRows]] = []

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

    def columns(self) -> str:
        """The layout of StreamRows in one line: rows fit another engine if and only if theirs is the same."""
        return text_of(self._slab.columns)

    def has_ended(self, rows: StreamRows) -> NDArray[np.bool_]:
        """(n,) which rows tell that the stream's state has ended: it is nowhere, and older rows are void."""
        return rows.integers[:, self._slab.columns["last_offset"].start] < 0

    @by_owner
    def step(self, ticks: TickBatch, warm: bool = False) -> PredictionBatch:
        """Move each tick's stream one step, in arrival order per stream, and end the states that end between.

        A live step can be undone until it is settled; `warm` marks a rebuilt state, and cannot. EngineError for a
        warm step of a partition that has steps to undo.
        """
        ticks = self._in_precision(ticks)
        layer = self._begin(ticks, warm)
        if not len(ticks) and ticks.endings is None:
            return no_predictions(ticks, self.spec)
        moves: list[Moves] = [] if layer is None else layer.moves
        placed = self._place(ticks, moves)
        for moved in moves:
            for places in moved.left:
                self._captures.save(places)
        said = self._move(ticks, placed, layer, warm) if len(ticks) else no_predictions(ticks, self.spec)
        self._make_room(said, moves)
        if layer is None:
            self._undo.free([places for moved in moves for places in moved.left])
        return replace(
            said, evicted=sum(moved.evicted for moved in moves), forgotten=sum(moved.forgotten for moved in moves)
        )

    def _in_precision(self, ticks: TickBatch) -> TickBatch:
        """The ticks with their values as the model takes them."""
        if ticks.values.dtype == self._dtype:
            return ticks
        with np.errstate(over="ignore"):
            return replace(ticks, values=ticks.values.astype(self._dtype))

    def _begin(self, ticks: TickBatch, warm: bool) -> Layer | None:
        if not warm:
            return self._undo.push()
        partitions = set(np.unique(ticks.partition).tolist())
        if ticks.endings is not None:
            partitions.update(ticks.endings.partition.tolist())
        self._refuse_to_undo(partitions, "rebuilt")
        return None

    def _move(self, ticks: TickBatch, placed: Placement, layer: Layer | None, warm: bool) -> PredictionBatch:
        """Step at least one tick, once what that changes is copied where captures and undoing need it."""
        plan, device = plan_waves(placed.slots), self._table.memory.device
        self._captures.save(plan.rows)
        if layer is not None:
            self._undo.note_rows(layer, plan.rows)
        outcome = self._executor.run(ticks, plan, placed.fresh)
        device.dirty[plan.rows] = DIRTY
        origin = origins_of(device, placed.slots, plan, outcome, warm)
        return predictions_of(ticks, plan.sizes, outcome, origin, self._targets, self._truths)

    def _refuse_to_undo(self, partitions: set[int], verb: str) -> None:
        """What a layer does not know of cannot be changed under it."""
        if self._undo.is_waiting_for(partitions):
            raise EngineError(f"partitions {sorted(partitions)} cannot be {verb}: they have steps to undo")

    def _place(self, ticks: TickBatch, moves: list[Moves]) -> Placement:
        """Have every tick's stream on the device."""
        self._found.clear()
        self._table.keeps_all = self.cold is not None
        below = None if self.cold is None else Below(self._seek, self.cold.holds)
        placed = place_ticks(self._table, ticks, moves, below)
        self._parking.grow()
        for moved in moves:
            self._parking.unpark(moved)
            self.brought_back_total += len(moved.unparked[0]) + len(moved.found)
        found = dict(self._found)
        for moved in moves:
            if len(moved.found):
                self._parking.write(moved.found, found[moved.partition])
        return placed

    def _seek(self, partition: int, streams: list[bytes], offsets: Index) -> list[bytes]:
        """Ask the cold tier; a row that has seen these ticks already is of an undone time, and not theirs."""
        assert self.cold is not None
        rows = self.cold.find(partition, streams)
        if not rows.streams:
            return []
        check_rows(rows, self._slab)
        known = rows_before(rows, streams, offsets, self._slab.columns["last_offset"].start)
        self._found.append((partition, known))
        return known.streams

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
            if self.cold is not None:
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
        check_rows(rows, self._slab)
        self._refuse_to_undo({partition}, "loaded")
        self._captures.void(partition)
        moved = Moves(partition)
        rows = self._without_ended(partition, rows, moved)
        used = np.array(rows.integers[:, self._slab.columns["last_offset"].start])
        places = self._table.admit(partition, rows.streams, used, moved)
        self._parking.grow()
        self._parking.write(places, rows)
        for slots, _, chosen in self._table.memory.split(places):
            slots.origin[chosen] = ORIGINS.index(origin)
        self._park(self._table.surplus(partition), moved)
        self._trim(moved)
        self._undo.free(moved.left)

    def _without_ended(self, partition: int, rows: StreamRows, moved: Moves) -> StreamRows:
        has_ended = self.has_ended(rows)
        if not has_ended.any():
            return rows
        self._table.expel(partition, list(compress(rows.streams, has_ended.tolist())), moved)
        return rows.take(~has_ended)

    def _trim(self, moved: Moves) -> None:
        """Let the oldest streams go that are more than a partition's room, unless they would be lost for it."""
        cold, partition = self.cold, moved.partition
        if cold is None:
            self._table.trim(partition, moved)
        else:
            self._table.release(partition, moved, lambda streams: cold.holds(partition, streams))

    @by_owner
    def relieve(self, partition: int) -> None:
        """Let parked rows beyond max_parked go that the cold tier holds by now, as the next step would."""
        if self.cold is not None and not self._undo.is_waiting_for({partition}):
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
    def streams(self, limit: int, is_asked: Callable[[bytes], bool] = bool) -> list[tuple[int, bytes, int]]:
        """Up to `limit` (partition, stream, steps) whose key is asked for, parked ones included."""
        found: list[tuple[int, bytes, int]] = []
        for partition, stream, place in self._table.streams():
            if len(found) >= limit:
                break
            if is_asked(stream):
                found.append((partition, stream, place))
        steps = self._slab.columns["steps"].start
        places, counts = np.array([place for *_, place in found], np.int64), np.zeros(len(found), np.int64)
        for slots, at, chosen in self._table.memory.split(places):
            counts[at] = self._parking.read(slots, chosen).integers[:, steps]
        return [(p, s, n) for (p, s, _), n in zip(found, counts.tolist(), strict=True)]

    @by_owner
    def inspect(self, partition: int | None, stream: bytes) -> StreamView | None:
        """All that is held of one stream, parked or not; None if nothing is."""
        if partition is None:
            partition = next(iter(self._table.partitions_of(stream)), -1)
        place = self._table.find(partition, stream)
        if place is None:
            return None
        ((slots, _, chosen),) = self._table.memory.split(np.array([place]))
        rows = self._slab.view(*self._parking.read(slots, chosen)[1:])
        return view_of(stream, partition, rows, self.model, self._scorer)
