"""Ticks sorted by time beyond memory: sorted runs on disk, merged block by block. Equal times keep their order.

Knows no file of the user's. Shapes: n ticks, N of all, F features.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
from numpy.typing import NDArray

from streamrnn.errors import DataError
from streamrnn.process.scratch import ScratchFolder
from streamrnn.tables.reading import TableBatch

MEMORY_BYTES = 1 << 28
"""Of ticks held at once, in a run that is sorted and in the blocks that are merged."""
LEAST_TICKS = 64
"""Of a run read at once while merging."""


class Sorter:
    """Takes ticks by `add` and gives them by time when iterated; `close` removes its files."""

    def __init__(self, width: int, memory_bytes: int = MEMORY_BYTES) -> None:
        self._width = width
        self._most = max(memory_bytes // (8 * width + 64), LEAST_TICKS)
        self._names: dict[str, int] = {}
        self._held: list[tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]] = []
        self._count = self._total = 0
        self._edges = [0]
        with _on_disk():
            self._scratch = ScratchFolder("streamrnn-sort-")
            self._paths = [self._scratch.path / name for name in ("code", "time", "values")]
            self._files = [path.open("wb") for path in self._paths]

    def __len__(self) -> int:
        return self._total

    def add(self, batch: TableBatch) -> None:
        """Take n ticks; DataError where the disk is full."""
        names = self._names
        codes = np.array([names.setdefault(name, len(names)) for name in batch.streams], np.int32)
        self._held.append((codes, batch.time_ms, batch.values))
        self._count += len(codes)
        self._total += len(codes)
        if self._count >= self._most:
            self._write()

    def _write(self) -> None:
        with _on_disk():
            self._append()

    def _append(self) -> None:
        columns = [np.concatenate(parts) for parts in zip(*self._held, strict=True)]
        order = np.argsort(columns[1], kind="stable")
        for file, column in zip(self._files, columns, strict=True):
            file.write(np.ascontiguousarray(column[order]).data)
        self._edges.append(self._edges[-1] + self._count)
        self._held, self._count = [], 0

    def __iter__(self) -> Iterator[TableBatch]:
        """Yield all ticks by time. Ticks of the same time keep their order."""
        if self._count:
            self._write()
        with _on_disk():
            for file in self._files:
                file.flush()
        if not self._total:
            return
        n, names = self._total, np.array(list(self._names), dtype=object)
        code = np.memmap(self._paths[0], np.int32, "r", shape=(n,))
        time_ms = np.memmap(self._paths[1], np.int64, "r", shape=(n,))
        values = np.memmap(self._paths[2], np.float64, "r", shape=(n, self._width))
        for rows in self._merged(time_ms):
            yield TableBatch(names[code[rows]].tolist(), time_ms[rows], values[rows])

    def _merged(self, time_ms: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Rows of the files in order, a part at a time.

        A part is all rows up to the least (time, run) that ends what was looked at of a run: what follows in any
        run comes later, since equal times of earlier runs come first.
        """
        at, ends = np.array(self._edges[:-1]), np.array(self._edges[1:])
        block = max(self._most // len(at), LEAST_TICKS)
        while len(at):
            seen = np.minimum(at + block, ends)
            cut = min(
                ((int(time_ms[stop - 1]), run) for run, stop in enumerate(seen) if stop < ends[run]), default=None
            )
            parts = []
            for run, (start, stop) in enumerate(zip(at.tolist(), seen.tolist(), strict=True)):
                if cut is not None:
                    # Of equal times those of this run and of earlier ones come before the cut.
                    before = cut[0] + (run <= cut[1])
                    stop = start + int(np.searchsorted(time_ms[start:stop], before))
                parts.append(np.arange(start, stop))
                at[run] = stop
            rows = np.concatenate(parts)
            yield rows[np.argsort(time_ms[rows], kind="stable")]
            left = at < ends
            at, ends = at[left], ends[left]

    def close(self) -> None:
        """Remove the files on disk."""
        with self._scratch:
            for file in self._files:
                with suppress(OSError):  # on a full disk what is buffered still cannot be written
                    file.close()


@contextmanager
def _on_disk() -> Iterator[None]:
    """Make the system's errors DataErrors."""
    try:
        yield
    except OSError as error:
        folder = tempfile.gettempdir()
        raise DataError(f"cannot sort in {folder} (TMPDIR names another): {error.strerror}") from error
