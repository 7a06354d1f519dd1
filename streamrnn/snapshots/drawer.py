"""One partition's folder in the store under one model: files by name, read only as what they should be.

Knows no chains and no order of writing.
"""

import hashlib
import time
from collections.abc import Iterable, Sequence

from streamrnn.errors import Damaged, NotPlain
from streamrnn.snapshots.chain import SnapshotPart
from streamrnn.snapshots.row_files import (
    LARGEST_HEADER_BYTES,
    FileLayout,
    RowSlice,
    decode_rows,
    encode_rows,
    read_layout,
)
from streamrnn.stores import ByteSpan, Store
from streamrnn.ticks import StreamRows

STALE_S = 3600.0
"""After which what somebody was writing is no longer being written."""


class Drawer:
    """What fails is an OSError that names the place; a file that is missing or wrong, Damaged."""

    def __init__(self, store: Store, folder: str) -> None:
        self._store, self._folder = store, folder

    def place(self, name: str = "") -> str:
        """A file's path or URL, for people."""
        return self._store.place(self._key(name))

    def _key(self, name: str) -> str:
        return f"{self._folder}/{name}" if name else self._folder

    def files(self) -> dict[str, int]:
        """Names and bytes of what is there."""
        return self._store.files(self._folder)

    def read(self, name: str, limit: int) -> bytes:
        """A file whole; Damaged where it is missing, too large or no plain file."""
        try:
            return self._store.read(self._key(name), limit)
        except (NotPlain, FileNotFoundError) as error:
            raise Damaged(f"{self.place(name)}: {error.strerror}") from error

    def write(self, name: str, data: bytes | memoryview) -> None:
        self._store.write(self._key(name), data)

    def delete(self, names: Iterable[str]) -> None:
        """What is not there needs no deleting."""
        for name in names:
            self._store.delete(self._key(name))

    def write_part(self, name: str, pieces: Sequence[RowSlice]) -> SnapshotPart:
        raw = encode_rows(pieces)
        self.write(name, raw)
        return SnapshotPart(
            name, hashlib.sha256(raw).hexdigest(), len(raw), sum(len(piece.lengths) for piece in pieces)
        )

    def read_part(self, part: SnapshotPart) -> StreamRows:
        """All rows of a part, after its checksum proved to be the one told."""
        raw, place = self.read(part.name, part.bytes), self.place(part.name)
        if len(raw) != part.bytes:
            raise Damaged(f"{place}: truncated: {len(raw)} bytes of {part.bytes}")
        if hashlib.sha256(raw).hexdigest() != part.sha256:
            raise Damaged(f"{place}: its checksum is not the one in the manifest: corrupt")
        rows = decode_rows(raw, place)
        if len(rows.streams) != part.streams:
            raise Damaged(f"{place}: {len(rows.streams)} streams, the manifest says {part.streams}")
        return rows

    def layout(self, part: SnapshotPart) -> FileLayout:
        """Where in a part what is, by its header alone."""
        start = self._spans([ByteSpan(part.name, 0, min(LARGEST_HEADER_BYTES, part.bytes))])[0]
        layout = read_layout(start, part.bytes, self.place(part.name))
        if layout.streams != part.streams:
            raise Damaged(f"{self.place(part.name)}: {layout.streams} streams, not {part.streams}")
        return layout

    def read_spans(self, spans: Sequence[ByteSpan]) -> list[bytes]:
        """Ranges of bytes of files by their names, each in full length."""
        read = self._spans(spans)
        for span, data in zip(spans, read, strict=True):
            if len(data) != span.end - span.start:
                raise Damaged(f"{self.place(span.key)}: truncated: it ends before byte {span.end}")
        return read

    def _spans(self, spans: Sequence[ByteSpan]) -> list[bytes]:
        try:
            return self._store.read_spans([span._replace(key=self._key(span.key)) for span in spans])
        except (NotPlain, FileNotFoundError) as error:
            raise Damaged(f"{error.filename}: {error.strerror}") from error

    def clear_stale(self) -> int:
        """Remove what a process that ended long ago had not finished writing; how many files."""
        removed = 0
        for name in self._store.unfinished(self._folder):
            try:
                is_stale = time.time() - self._store.modified_s(self._key(name)) > STALE_S
            except FileNotFoundError:
                continue
            if is_stale:
                self._store.delete(self._key(name))
                removed += 1
        return removed
