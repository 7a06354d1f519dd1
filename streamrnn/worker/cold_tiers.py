"""The engine's way to rows that only snapshots hold. Owns which partition's were found damaged."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from streamrnn.errors import Damaged, StoreUnavailable
from streamrnn.snapshots import ColdRows
from streamrnn.ticks import StreamRows


class ColdTiers:
    """One cold tier for each partition.

    `holds` and `find` are called on the engine's thread, the rest on the event loop; each tier may be asked by one
    thread while it is changed by another.
    """

    def __init__(self, make: Callable[[int], ColdRows]) -> None:
        self._make = make
        self._tiers: dict[int, ColdRows] = {}
        self.damaged: set[int] = set()

    def of(self, partition: int) -> ColdRows:
        """The partition's tier; any thread may be the first to ask."""
        return self._tiers.get(partition) or self._tiers.setdefault(partition, self._make(partition))

    def holds(self, partition: int, streams: list[bytes]) -> NDArray[np.bool_]:
        """(n,) whether `find` may find them."""
        return self.of(partition).holds(streams)

    def find(self, partition: int, streams: list[bytes]) -> StreamRows:
        """Rows of those that are there; StoreUnavailable when they cannot be had now."""
        try:
            return self.of(partition).find(streams)
        except OSError as error:
            raise StoreUnavailable(f"snapshots: {error}") from error
        except Damaged as error:
            self.damaged.add(partition)
            raise StoreUnavailable(f"snapshots: {error}; the partition is restored from an older one") from error
