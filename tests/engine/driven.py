"""An engine driven through a log as a worker drives it: steps, commits, undoing, snapshots, starting again.

Every prediction is held against the oracle as it is made, every snapshot when it is whole.
"""

from collections import Counter, deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.engine.engine import Engine
from streamrnn.engine.rows.capture import Capture
from streamrnn.errors import CaptureVoid
from streamrnn.ticks import StreamRows, TickBatch

from .oracle import Oracle, Row, part, said_of


class Shelf:
    """Snapshots of one partition after another in a dict, and the cold tier made of them."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[bytes, Row]] = {}
        self.found, self.widths = 0, (0, 0)

    def add(self, partition: int, rows: StreamRows) -> None:
        kept = self.rows.setdefault(partition, {})
        for i, stream in enumerate(rows.streams):
            kept[stream] = rows.floats[i].tobytes(), rows.integers[i].tobytes()

    def of(self, partition: int, streams: list[bytes]) -> StreamRows:
        kept = self.rows.get(partition, {})
        there = [stream for stream in streams if stream in kept]
        floats = np.frombuffer(b"".join(kept[stream][0] for stream in there), "f4")
        integers = np.frombuffer(b"".join(kept[stream][1] for stream in there), "i8")
        shapes = [(len(there), width) for width in self.widths]
        return StreamRows(there, floats.reshape(shapes[0]), integers.reshape(shapes[1]))

    def holds(self, partition: int, streams: list[bytes]) -> np.ndarray:
        kept = self.rows.get(partition, {})
        return np.array([stream in kept for stream in streams], np.bool_)

    def find(self, partition: int, streams: list[bytes]) -> StreamRows:
        rows = self.of(partition, streams)
        self.found += len(rows.streams)
        return rows


class Driven:
    """One life after another of an engine over one log; `rng` decides what comes next."""

    def __init__(
        self,
        log: TickBatch,
        ends: NDArray[np.bool_],
        oracle: Oracle,
        rng: np.random.Generator,
        is_cold: bool,
        **given: Any,
    ) -> None:
        self.ends = ends
        self.log, self.oracle, self.rng, self.given = log, oracle, rng, given
        self.partitions = sorted(set(log.partition.tolist()))
        self.at = {p: np.flatnonzero(log.partition == p).tolist() for p in self.partitions}
        self.position = dict.fromkeys(self.partitions, 0)
        self.committed = dict(self.position)
        self.after: deque[dict[int, int]] = deque()
        self.shelf, self.is_cold = Shelf(), is_cold
        self.kept_at: dict[int, int] = {}
        self.happened: Counter[str] = Counter()
        self.capture: tuple[Capture, int, list[StreamRows], bool] | None = None
        self.engine = self.make()

    def make(self) -> Engine:
        engine = Engine(device="cpu", cold=self.shelf if self.is_cold else None, **self.given)
        fresh = engine._slab.fresh
        self.shelf.widths = (fresh.floats.shape[1], fresh.integers.shape[1])
        spoil_what_is_freed(engine)
        return engine

    def is_done(self) -> bool:
        return all(self.position[p] == len(self.at[p]) for p in self.partitions)

    def go_on(self) -> None:
        """One of the things that happen."""
        what = self.rng.choice(
            ["step", "settle", "undo", "take", "confirm", "restart", "drop"],
            p=[0.4, 0.14, 0.06, 0.25, 0.12, 0.015, 0.015],
        )
        self.happened[what] += 1
        getattr(self, what)()

    def next_ticks(self, most: int = 6) -> list[int]:
        chosen = [
            i
            for p in self.partitions
            for i in self.at[p][self.position[p] : self.position[p] + int(self.rng.integers(0, most))]
        ]
        if self.rng.random() < 0.5:
            chosen.sort()
        return chosen

    def step(self, warm: bool = False, at: list[int] | None = None) -> None:
        at = self.next_ticks() if at is None else at
        said_now = said_of(self.engine.step(part(self.log, at, self.ends), warm))
        assert len(said_now) == int((~self.ends[at]).sum())
        for place, said in said_now.items():
            assert said == self.oracle.said[place], place
        for p in self.partitions:
            self.position[p] += int((self.log.partition[at] == p).sum())
        if not warm:
            self.after.append(dict(self.position))

    def settle(self) -> None:
        steps = int(self.rng.integers(0, 2 * len(self.after) + 1).clip(max=len(self.after)))
        self.engine.settle(steps)
        for _ in range(steps):
            self.committed = self.after.popleft()

    def undo(self) -> None:
        before = dict(self.position)
        undone = self.engine.undo()
        assert undone == {p for p in self.partitions if before[p] != self.committed[p]}
        self.after.clear()
        self.position = dict(self.committed)
        if self.capture is not None and self.capture[0].partition in undone:
            assert self.capture[0].is_void
            assert not self.capture[0].confirm()
            self.capture = None

    def commit_all(self) -> None:
        self.engine.settle(len(self.after))
        self.committed = dict(self.position)
        self.after.clear()

    def begin_capture(self, p: int) -> None:
        full = not self.is_cold or p not in self.kept_at or bool(self.rng.random() < 0.2)
        self.capture = self.engine.capture(p, full), self.position[p], [], False

    def take(self) -> None:
        if self.capture is None:
            return self.begin_capture(int(self.rng.choice(self.partitions)))
        capture, position, rows, is_whole = self.capture
        if not is_whole:
            taken = capture.take(int(self.rng.integers(1, 5)))
            if taken is not None:
                assert 1 <= len(taken.streams) <= 4
                rows.append(taken)
            self.capture = capture, position, rows, taken is None
        return None

    def confirm(self) -> None:
        """When the position is committed, as a keeper would; or the store fails."""
        if self.capture is None or not self.capture[3]:
            return
        capture, position, rows, _ = self.capture
        if self.rng.random() < 0.2:
            capture.fail()
            self.capture = None
        elif self.committed[capture.partition] >= position:
            if not self.is_cold:  # then only a full one is whole: nobody tells of the forgotten
                self.shelf.rows.pop(capture.partition, None)
            for taken in rows:
                self.happened["told"] += int(self.engine.layout.has_ended(taken).sum())
                self.shelf.add(capture.partition, taken)
            assert capture.confirm()
            self.kept_at[capture.partition], self.capture = position, None
            self.check_snapshot(capture.partition, position)

    def check_snapshot(self, p: int, position: int) -> None:
        """What is on the shelf is the oracle's state at that offset, bit for bit, and who has ended."""
        assert self.living(p) == dict(self.oracle.held[p, position])

    def living(self, p: int) -> dict[bytes, Row]:
        """The rows on the shelf of streams whose state has not ended."""
        kept = self.shelf.of(p, list(self.shelf.rows.get(p, {})))
        alive = kept.take(~self.engine.layout.has_ended(kept)).streams
        return {stream: self.shelf.rows[p][stream] for stream in alive}

    def restart(self) -> None:
        """Another process: what is in memory is gone."""
        self.commit_all()
        self.note_totals()
        self.engine, self.capture = self.make(), None
        for p in self.partitions:
            self.restore(p)

    def drop(self) -> None:
        """Another worker had a partition for a while."""
        p = int(self.rng.choice(self.partitions))
        self.commit_all()
        capture = self.capture[0] if self.capture else self.engine.capture(p, True)
        self.engine.drop(p)
        if capture.partition == p:
            try:
                capture.take(1)
            except CaptureVoid:
                self.capture = None
            else:
                raise AssertionError("a dropped partition is copied")
        self.restore(p)

    def restore(self, p: int) -> None:
        """The newest snapshot in parts, and what was committed since."""
        parts = list(self.shelf.rows.get(p, {}))
        while parts:
            count = int(self.rng.integers(1, 5))
            self.engine.load(p, self.shelf.of(p, parts[:count]))
            del parts[:count]
        now, self.position[p] = self.position[p], self.kept_at.get(p, 0)
        while self.position[p] < now:
            stop = min(now, self.position[p] + int(self.rng.integers(1, 9)))
            self.step(warm=True, at=self.at[p][self.position[p] : stop])

    def note_totals(self) -> None:
        for name in ("evicted", "forgotten", "brought_back"):
            self.happened[name] += getattr(self.engine, f"{name}_total")
        assert not (self.is_cold and self.engine.forgotten_total)

    def check_end(self) -> None:
        """Every stream is held, once, with the oracle's row, as a full capture of each partition shows."""
        self.commit_all()
        self.note_totals()
        for p in self.partitions:
            capture, held = self.engine.capture(p, True), self.living(p) if self.is_cold else {}
            captured: set[bytes] = set()
            while (rows := capture.take(5)) is not None:
                for i, has_ended in enumerate(self.engine.layout.has_ended(rows).tolist()):
                    stream = rows.streams[i]
                    assert stream not in captured
                    captured.add(stream)
                    held[stream] = rows.floats[i].tobytes(), rows.integers[i].tobytes()
                    if has_ended:
                        del held[stream]
            assert held == dict(self.oracle.held[p, len(self.at[p])])


def spoil_what_is_freed(engine: Engine) -> None:
    """Rows that nobody owns hold NaN and nonsense, so that whoever sees them shows it."""
    memory, parking = engine._table.memory, engine._parking
    for slots, slab in ((memory.device, engine._slab), (memory.host, parking._host)):

        def free(freed: np.ndarray, slots=slots, slab=slab, really=slots.free) -> None:
            assert (slots.owner[freed] == -1).all()
            assert not set(freed.tolist()) & set(slots._free), "a row is freed twice"
            slab.rows.floats[freed] = float("nan")
            slab.rows.integers[freed] = -7
            really(freed)

        slots.free = free
