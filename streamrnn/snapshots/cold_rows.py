"""Rows of streams that memory no longer holds, found again in the parts of the newest snapshot.

Owns an index of 16 bytes a row: a 64-bit hash of the key, its part and its place in it. Keys are compared byte for
byte with those in the part, so equal hashes never give another stream's state. Knows no engine.

A row in a part is the stream's state at that snapshot's offset. It is right for as long as no tick of the stream
has been stepped since, and stale from then on; nothing here can tell. So the caller keeps one invariant: *a stream
that is not in memory has had no tick since the newest row of it in the noted parts*. That takes five things:

1. A row leaves memory only when it is clean: written, as it is now, in a snapshot that was finished. A row that
   changed after `capture` is not clean, and neither is one whose draft is still being written or was abandoned.
   Where memory is short of clean rows, take a snapshot early, and let the input wait for it.
2. A stream is asked for only while it is not in memory, and what is found is placed before the next tick of it is
   stepped, with no step of that stream between asking and placing.
3. The index is of the chain that memory was loaded from or last snapshotted to: `Shelf.load` begins it anew, a
   draft's `finish` takes it on. Whoever drops the rows in memory (warm-up, a lost partition) clears it.
4. What memory undoes must not be noted: snapshots are captured at committed positions, below every undo.
5. `Shelf.draft` comes before the engine's `capture`, and a draft and its capture are both full or both not.

A stream whose state has ended is in memory no more, and its older rows are void: whoever asks knows it, and does
not ask, until a row that tells of it (`has_ended`) overrides them here; a full draft writes neither.

A part that is missing or wrong raises Damaged: those rows are lost to this process, and it restores the partition
from a snapshot, which passes over what is damaged. Only a part read whole is checked against its checksum; single
rows of parts that were written or loaded by this process are not checked again, apart from their keys.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.errors import CaptureVoid, Damaged
from streamrnn.snapshots.chain import SnapshotPart
from streamrnn.snapshots.drawer import Drawer
from streamrnn.snapshots.index import Index, hash_keys
from streamrnn.snapshots.row_files import Ended, FileLayout, join, none_ended
from streamrnn.stores import ByteSpan
from streamrnn.ticks import StreamRows

NOTHING = StreamRows([], np.empty((0, 0), np.float32), np.empty((0, 0), np.int64))


class _View(NamedTuple):
    """What is noted at one moment."""

    parts: tuple[SnapshotPart, ...]
    entries: Index


class _FoundRows(NamedTuple):
    """Of the wanted streams, the numbers of those found, ascending; their entries in the index, and rows."""

    numbers: NDArray[np.int64]
    entries: NDArray[np.int64]
    rows: StreamRows


class ColdRows:
    """Finds rows in a partition's parts; any thread may ask while another notes."""

    def __init__(
        self,
        drawer: Drawer,
        hashed: Callable[[Collection[bytes]], NDArray[np.int64]] = hash_keys,
        has_ended: Ended = none_ended,
    ) -> None:
        self._drawer, self._hashed, self._has_ended = drawer, hashed, has_ended
        self._lock = threading.Lock()
        self._layouts: dict[str, FileLayout] = {}
        self._turns = 0
        """Times that this was cleared. A restore clears it and notes parts with the number that it got: what one
        that was given up still notes is passed over."""
        self._drafts = self._cleared = 0
        """Drafts begun, and how many of them before it was last cleared: memory does not go on from the rows of
        these. Drafts have numbers of their own, for `refuse` names one of several begun since it was cleared."""
        self._refused: set[int] = set()
        self.clear()

    @property
    def parts(self) -> tuple[SnapshotPart, ...]:
        """Those noted, oldest first."""
        return self._parts

    @property
    def since(self) -> int | None:
        """Where the ticks begin that made the rows it holds; None where it holds none."""
        return self._since

    def clear(self, since: int | None = None) -> int:
        """Hold nothing, or what is noted next, rows made of the ticks since then; the turn to note them with."""
        with self._lock:
            self._turns += 1
            self._cleared = self._drafts
            self._empty(since)
            return self._turns

    def _empty(self, since: int | None) -> None:
        self._since, self._parts = since, tuple[SnapshotPart, ...]()
        self._unsorted: list[tuple[int, NDArray[np.int64]]] = []
        self._sorted = _View((), Index.empty())
        self._layouts.clear()

    def hashes(self, streams: Collection[bytes]) -> NDArray[np.int64]:
        """(n,) int64 hashes of keys, for `note` and `turn`."""
        return self._hashed(streams)

    def note(self, part: SnapshotPart, hashes: NDArray[np.int64], turn: int | None = None) -> None:
        """A part that overrides all noted before; hashes (n,) of its keys, in their order."""
        with self._lock:
            if turn is not None and turn != self._turns:
                return  # of a restore that was given up
            self._unsorted.append((len(self._parts), hashes))
            self._parts = (*self._parts, part)

    def settle(self) -> None:
        """Sort what was noted: a quarter of a second for a million rows, so that the next who asks need not."""
        self._view()

    def _view(self) -> _View:
        """All that is noted; sorted when it is first asked for."""
        with self._lock:
            if self._unsorted:
                self._sorted = _View(self._parts, self._sorted.entries.with_parts(self._unsorted))
                self._unsorted = []
            return self._sorted

    def begin(self) -> int:
        """The number of a draft that is about to be made; `turn` refuses it if this is cleared meanwhile."""
        with self._lock:
            self._drafts += 1
            return self._drafts

    def turn(
        self, since: int, is_full: bool, noted: Iterable[tuple[SnapshotPart, NDArray[np.int64]]], draft: int
    ) -> None:
        """Take on a finished draft: its new parts in place of those noted where it is full, else on top of them.

        They are sorted before anybody who asks has to wait. CaptureVoid where this was cleared since the draft
        began, or was told to refuse it: its snapshot is right, but of rows that memory does not go on from.
        """
        parts, entries = _View((), Index.empty()) if is_full else self._view()
        new = list(noted)
        if new:
            entries = entries.with_parts([(len(parts) + n, hashes) for n, (_, hashes) in enumerate(new)])
        with self._lock:
            if draft <= self._cleared or draft in self._refused:
                raise CaptureVoid("the rows were restored or dropped while their snapshot was written")
            if is_full:
                self._empty(since)
            self._parts = (*parts, *(part for part, _ in new))
            self._sorted = _View(self._parts, entries)

    def refuse(self, draft: int) -> None:
        """Do not turn to this draft any more; waits for nobody."""
        self._refused.add(draft)

    def holds(self, streams: Collection[bytes]) -> NDArray[np.bool_]:
        """(n,) whether `find` may find them, without a look into any part: wrongly true for one in 2**64."""
        held: NDArray[np.bool_] = self._view().entries.newest(self._hashed(streams)) >= 0
        return held

    def find(self, streams: list[bytes]) -> StreamRows:
        """The newest rows of those of these streams that the parts hold, in their order, those that tell of an end
        among them; Damaged or OSError."""
        view = self._view()
        try:
            return self._search(view, streams).rows
        except Damaged:
            if view is self._view():
                raise
            return self._search(self._view(), streams).rows  # its parts were superseded and removed meanwhile

    def gather(self, without: Collection[bytes]) -> Iterator[StreamRows]:
        """The newest rows of all streams held but these, and the ended, part by part; Damaged or OSError."""
        view = self._view()
        for number, part in enumerate(view.parts):
            rows = self._drawer.read_part(part)
            wanted = np.array([s not in without for s in rows.streams], bool)
            wanted &= ~self._has_ended(rows)
            chosen = wanted & self._is_newest(view, number, rows.streams, wanted)
            if chosen.any():
                yield rows.take(chosen)

    def _is_newest(
        self, view: _View, number: int, streams: list[bytes], asked: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """(n,) of a part's streams, where asked, whether no later part overrides their rows in this one."""
        index, rows = view.entries, np.arange(len(streams))
        entries = index.newest(self._hashed(streams))
        newest: NDArray[np.bool_] = (index.parts[entries] == number) & (index.rows[entries] == rows)
        doubtful = np.flatnonzero(asked & ~newest)  # a later row, of this key or another with its hash
        found = self._search(view, [streams[row] for row in doubtful.tolist()])
        own = doubtful[found.numbers]
        newest[own] = (index.parts[found.entries] == number) & (index.rows[found.entries] == own)
        return newest

    def _search(self, view: _View, streams: list[bytes]) -> _FoundRows:
        """Newest first, an entry with a stream's hash whose key is the stream's."""
        index, hashes = view.entries, self._hashed(streams)
        entries = index.newest(hashes)
        pieces: list[_FoundRows] = []
        numbers = np.flatnonzero(entries >= 0)
        while numbers.size:
            rows = self._read(view, entries[numbers])
            wanted = zip(rows.streams, numbers.tolist(), strict=True)
            same = np.array([key == streams[number] for key, number in wanted], bool)
            pieces.append(_FoundRows(numbers[same], entries[numbers[same]], rows.take(same)))
            numbers = numbers[~same]
            entries[numbers] = index.before(entries[numbers])
            numbers = numbers[entries[numbers] >= 0]
        return _in_order(pieces)

    def _read(self, view: _View, entries: NDArray[np.int64]) -> StreamRows:
        """The rows of entries, in their order, keys included."""
        places = list(zip(view.entries.parts[entries].tolist(), view.entries.rows[entries].tolist(), strict=True))
        layouts = {number: self._layout(view.parts[number]) for number in {part for part, _ in places}}
        spans = [span for number, row in places for span in _spans(view.parts[number].name, layouts[number], row)]
        read = self._drawer.read_spans(spans)
        keys = [
            self._key_span(view.parts[number], layouts[number], row, ends)
            for (number, row), ends in zip(places, read[::3], strict=True)
        ]
        n = len(places)
        floats = np.frombuffer(b"".join(read[1::3]), "<f4").reshape(n, -1 if read[1] else 0)
        integers = np.frombuffer(b"".join(read[2::3]), "<i8").reshape(n, -1 if read[2] else 0)
        return StreamRows(self._drawer.read_spans(keys), floats, integers)

    def _key_span(self, part: SnapshotPart, layout: FileLayout, row: int, ends: bytes) -> ByteSpan:
        start, end = (0, *np.frombuffer(ends, "<i8").tolist())[-2:]
        if not 0 <= start <= end <= layout.key_bytes:
            raise Damaged(f"{self._drawer.place(part.name)}: the key of row {row} is at {start} to {end}")
        return ByteSpan(part.name, layout.keys_at + start, layout.keys_at + end)

    def _layout(self, part: SnapshotPart) -> FileLayout:
        layout = self._layouts.get(part.name)
        if layout is None:
            layout = self._layouts[part.name] = self._drawer.layout(part)
        return layout


def _spans(name: str, layout: FileLayout, row: int) -> tuple[ByteSpan, ByteSpan, ByteSpan]:
    """Of a row: the ends of the key before it and its own, its floats, its integers."""
    ends_at = layout.ends_at + 8 * row
    floats_at = layout.floats_at + 4 * layout.width * row
    integers_at = layout.integers_at + 8 * layout.integer_width * row
    return (
        ByteSpan(name, ends_at - 8 if row else ends_at, ends_at + 8),
        ByteSpan(name, floats_at, floats_at + 4 * layout.width),
        ByteSpan(name, integers_at, integers_at + 8 * layout.integer_width),
    )


def _in_order(pieces: list[_FoundRows]) -> _FoundRows:
    """All pieces as one, by the numbers of the wanted streams."""
    if not pieces:
        return _FoundRows(np.empty(0, np.int64), np.empty(0, np.int64), NOTHING)
    if len(pieces) == 1:
        return pieces[0]
    numbers = np.concatenate([piece.numbers for piece in pieces])
    order = np.argsort(numbers, kind="stable")
    rows = join([piece.rows for piece in pieces])
    entries = np.concatenate([piece.entries for piece in pieces])[order]
    return _FoundRows(numbers[order], entries, rows.take(order))
