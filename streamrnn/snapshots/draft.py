"""A snapshot being written: parts as their rows come, the manifest last. Knows no order among snapshots.

Until the manifest is there, nothing is; whatever fails removes what was written and leaves all older ones as they
were.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
from numpy.typing import NDArray

from streamrnn.snapshots.chain import (
    FORMAT,
    LARGEST_MANIFEST_BYTES,
    MOST_ROWS,
    Chain,
    Identity,
    SnapshotManifest,
    SnapshotPart,
    check_parts,
    name_manifest,
    name_part,
    seal,
)
from streamrnn.snapshots.cold_rows import ColdRows
from streamrnn.snapshots.damage import Damaged
from streamrnn.snapshots.drawer import Drawer
from streamrnn.snapshots.row_files import Ended, RowSlice, none_ended, piece_of
from streamrnn.ticks import StreamRows

MOST_PART_BYTES = 8 * 2**20
"""Of rows in one part, unless a single one is larger: to copy them stops other threads for some milliseconds."""


class Draft:
    """Rows of one partition at one offset, on top of `base` where they are not all.

    A call that fails abandons the draft and raises an OSError that names the place, or Damaged.
    """

    def __init__(
        self,
        drawer: Drawer,
        identity: Identity,
        since: int,
        offset: int,
        base: Chain | None,
        cold: ColdRows | None,
        born: str,
        has_ended: Ended = none_ended,
    ) -> None:
        self._born, self._has_ended = born, has_ended
        self._drawer, self._identity, self._cold = drawer, identity, cold
        self._since, self._offset, self._base = since, offset, base
        self._token, self._is_open = secrets.token_hex(4), True
        self._number = 0 if cold is None else cold.begin()
        self._pending: list[RowSlice] = []
        self._hashed: list[NDArray[np.int64]] = []
        self._rows = self._bytes = 0
        self._parts: list[SnapshotPart] = []
        self._hashes: list[NDArray[np.int64]] = []
        self._carries = base is None and cold is not None and bool(cold.parts)
        self._streams: set[bytes] = set()
        self._carried: Iterator[StreamRows] | None = None

    @property
    def bytes(self) -> int:
        """Written so far."""
        return sum(part.bytes for part in self._parts)

    def add(self, rows: StreamRows) -> None:
        """More rows, no stream twice in a draft; the arrays must not change until the draft is finished.

        Of streams whose state has ended a full one says nothing: there is no older row to override.
        Written in parts of at most 65,536 rows and 8 MiB, each as soon as it is full.
        """
        with self._abandoning():
            if self._carries:
                self._streams.update(rows.streams)
            if self._base is None and (has_ended := self._has_ended(rows)).any():
                rows = rows.take(~has_ended)
            self._buffer(rows)

    def _buffer(self, rows: StreamRows) -> None:
        row_bytes = rows.floats.shape[1] * 4 + (rows.integers.shape[1] + 1) * 8
        lengths = np.fromiter(map(len, rows.streams), np.int64, len(rows.streams))
        through = np.cumsum(lengths + row_bytes)
        start = before = 0
        while start < len(rows.streams):
            fit = int(np.searchsorted(through, before + MOST_PART_BYTES - self._bytes, "right"))
            end = min(fit, start + MOST_ROWS - self._rows)
            if end <= start:
                if self._rows:
                    self._write()
                    continue
                end = start + 1
            piece = piece_of(rows.take(slice(start, end)), lengths[start:end])
            self._pending.append(piece)
            if self._cold is not None:  # here and not for a part at once: it holds the interpreter
                self._hashed.append(self._cold.hashes(piece.rows.streams))
            self._rows += end - start
            self._bytes += int(through[end - 1]) - before
            start, before = end, int(through[end - 1])

    def _write(self) -> None:
        """The pending rows become a part."""
        pieces, self._pending, self._rows, self._bytes = self._pending, [], 0, 0
        name = name_part(self._offset, self._token, len(self._parts))
        self._parts.append(SnapshotPart(name, "", 0, 0))  # what fails from here on leaves a file to remove
        self._parts[-1] = self._drawer.write_part(name, pieces)
        if self._cold is not None:
            self._hashes.append(np.concatenate(self._hashed))
            self._hashed = []

    def finish(self) -> Chain:
        """Write what is pending and the manifest, once the parts of the base proved to be there still.

        A full draft takes over the rows of streams that only the cold tier has. Damaged where a part of the base
        or of the cold tier is gone or wrong, or one of its own was removed: take a full snapshot then.
        """
        while self.carry():
            pass
        with self._abandoning():
            if self._rows:
                self._write()
            chain = self._seal()
        self._is_open, self._streams = False, set()
        if self._cold is not None:
            noted = zip(self._parts, self._hashes, strict=True)
            self._cold.turn(self._since, self._base is None, noted, self._number)
        return chain

    def carry(self) -> bool:
        """Take over a part's worth of rows that only the cold tier has; whether there may be more.

        `finish` does what is left; who would not wait for all of it at once calls this before.
        """
        with self._abandoning():
            if not self._carries or self._cold is None:
                return False
            if self._carried is None:
                self._carried = self._cold.gather(without=self._streams)
            rows = next(self._carried, None)
            if rows is not None:
                self._buffer(rows)
            return rows is not None

    def refuse(self) -> None:
        """Whatever becomes of this draft, the cold tier is not to take it on; waits for nothing, on any thread."""
        if self._cold is not None:
            self._cold.refuse(self._number)

    def _seal(self) -> Chain:
        identity, own = self._identity, tuple(self._parts)
        base, parts = (len(own), own) if self._base is None else (self._base.base, (*self._base.parts, *own))
        try:
            check_parts(parts, self._drawer.files())
        except Damaged as error:
            raise Damaged(f"{self._drawer.place()}: a snapshot cannot be finished: {error}") from error
        name = name_manifest(self._offset, self._token)
        raw, digest = seal(
            SnapshotManifest(
                format=FORMAT,
                model=identity.model,
                fingerprint=identity.fingerprint,
                partition=identity.partition,
                since=self._since,
                born=self._born,
                offset=self._offset,
                columns=identity.columns,
                device=identity.device,
                base=base,
                parts=parts,
            )
        )
        if len(raw) > LARGEST_MANIFEST_BYTES:
            raise Damaged(f"{self._drawer.place(name)}: {len(parts)} parts are more than a manifest holds")
        self._drawer.write(name, raw)
        at = (self._offset, self._since, self._born)
        return Chain(name, digest, identity.partition, *at, identity.device, base, parts)

    def abandon(self) -> None:
        """Remove what was written; nothing after `finish`. Never raises: what cannot be removed is nobody's."""
        if not self._is_open:
            return
        self._is_open = False
        self._pending, self._streams = [], set()
        with suppress(OSError):  # a manifest whose writing failed may be there: without its parts it must not be
            self._drawer.delete([name_manifest(self._offset, self._token), *(part.name for part in self._parts)])

    @contextmanager
    def _abandoning(self) -> Iterator[None]:
        if not self._is_open:
            raise ValueError("a draft that was finished or abandoned takes no more")
        try:
            yield
        except BaseException:
            self.abandon()
            raise
