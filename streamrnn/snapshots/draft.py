"""A snapshot being written. Knows no order among snapshots.

Parts are written as their rows come, the manifest last. A snapshot without a manifest does not exist, so a crash at
any moment leaves files that nobody reads. A failure removes what was written; older snapshots are never touched.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.errors import Damaged
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
from streamrnn.snapshots.drawer import Drawer
from streamrnn.snapshots.row_files import Ended, RowSlice, none_ended, piece_of
from streamrnn.ticks import StreamRows


class PartBounds(NamedTuple):
    """How large a part may become, in rows, and in bytes of rows unless a single row is larger; and a manifest.

    To copy a part's rows stops other threads; 8 MiB do so for some milliseconds.
    """

    rows: int = MOST_ROWS
    bytes: int = 8 * 2**20
    manifest_bytes: int = LARGEST_MANIFEST_BYTES


PART_BOUNDS = PartBounds()


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
        bounds: PartBounds = PART_BOUNDS,
    ) -> None:
        self._born, self._has_ended, self._bounds = born, has_ended, bounds
        self._drawer, self._identity, self._cold = drawer, identity, cold
        self._since, self._offset, self._base = since, offset, base
        self._token, self._is_open = secrets.token_hex(4), True
        self._writing, self._is_given_up = Lock(), False
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
        """Add rows, no stream twice in a draft; the arrays must not change until the draft is finished.

        Rows are written in parts within the bounds, each as soon as it is full. A full draft leaves out streams
        whose state has ended: there is no older row to override.
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
            fit = int(np.searchsorted(through, before + self._bounds.bytes - self._bytes, "right"))
            end = min(fit, start + self._bounds.rows - self._rows)
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
        """Write the pending rows and then the manifest; the snapshot exists once this returns.

        A full draft takes over the rows of streams that only the cold tier has. Damaged where a part of the base
        or of the cold tier is gone or wrong, or where one of its own parts was removed: take a full snapshot then.
        """
        while self.carry():  # 1. rows that only the cold tier has
            pass
        with self._abandoning():
            if self._rows:
                self._write()  # 2. the last part
        with self._abandoning():
            chain = self._seal()  # 3. all parts proved to be there; then the manifest, last of all files
            self._is_open, self._streams = False, set()
        # 4. only now is there a snapshot that the cold tier may read from
        if self._cold is not None:
            noted = zip(self._parts, self._hashes, strict=True)
            self._cold.turn(self._since, self._base is None, noted, self._number)
        return chain

    def carry(self) -> bool:
        """Take over one part's worth of rows that only the cold tier has; whether there may be more.

        `finish` takes over whatever is left. A caller that must not wait so long calls this first, again and again.
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
        """Have the cold tier ignore this draft, even if it is finished later; on any thread, without waiting."""
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
        if len(raw) > self._bounds.manifest_bytes:
            raise Damaged(f"{self._drawer.place(name)}: {len(parts)} parts are more than a manifest holds")
        self._drawer.write(name, raw)
        at = (self._offset, self._since, self._born)
        return Chain(name, digest, identity.partition, *at, identity.device, base, parts)

    def abandon(self) -> None:
        """Remove the files written so far; does nothing after `finish`. On any thread, without waiting.

        Never raises: a file that cannot be removed belongs to no snapshot, and a later prune takes it.
        """
        self._is_given_up = True
        # A call under way, which may hang in the store, removes them when it comes back: were they removed under
        # its hands, its manifest would name parts that are gone.
        if self._writing.acquire(blocking=False):
            try:
                self._remove()
            finally:
                self._writing.release()

    def _remove(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        self._pending, self._streams = [], set()
        with suppress(OSError):  # the manifest first: its writing may have failed after all of it was there
            self._drawer.delete([name_manifest(self._offset, self._token), *(part.name for part in self._parts)])

    @contextmanager
    def _abandoning(self) -> Iterator[None]:
        with self._writing:
            if not self._is_open:
                raise ValueError("a draft that was finished or abandoned takes no more")
            try:
                yield
            except BaseException:
                self._remove()
                raise
            if self._is_given_up and self._is_open:
                self._remove()
                raise ValueError("the draft was abandoned meanwhile")
