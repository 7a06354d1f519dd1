"""Which part and row holds a key's newest row, by a 64-bit hash of it: 16 bytes a row. Knows no keys and no files.

Entries are sorted by hash and, where it is equal, by part, so that the last of a run is the newest.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


def hash_keys(streams: Collection[bytes]) -> NDArray[np.int64]:
    """(n,) this process's own hashes: another process has others."""
    return np.fromiter(map(hash, streams), np.int64, len(streams))


class Index(NamedTuple):
    """Immutable: hashes (n,) int64 ascending; parts and rows (n,) int32."""

    hashes: NDArray[np.int64]
    parts: NDArray[np.int32]
    rows: NDArray[np.int32]

    @staticmethod
    def empty() -> "Index":
        return Index(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int32))

    def with_parts(self, noted: Sequence[tuple[int, NDArray[np.int64]]]) -> "Index":
        """With the rows of parts later than all there are, oldest first; each with the hashes (n,) of its keys."""
        hashes = np.concatenate([own for _, own in noted])
        parts = np.repeat(np.array([part for part, _ in noted], np.int32), [len(own) for _, own in noted])
        rows = np.concatenate([np.arange(len(own), dtype=np.int32) for _, own in noted])
        order = np.argsort(hashes, kind="stable")
        at = np.searchsorted(self.hashes, hashes[order], "right")
        return Index(
            np.insert(self.hashes, at, hashes[order]),
            np.insert(self.parts, at, parts[order]),
            np.insert(self.rows, at, rows[order]),
        )

    def newest(self, hashes: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) the newest entry of each hash, -1 where there is none."""
        if not len(self.hashes):
            return np.full(len(hashes), -1)
        entries = np.searchsorted(self.hashes, hashes, "right") - 1
        entries[(entries < 0) | (self.hashes[entries] != hashes)] = -1
        return entries

    def before(self, entries: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) the next older entry with the same hash as each of these, -1 where there is none."""
        older = entries - 1
        older[(older < 0) | (self.hashes[older] != self.hashes[entries])] = -1
        return older
