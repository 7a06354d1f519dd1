"""What the worker knows of one partition: its phase and its positions. Decides; does no I/O.

gated -> recovering -> live -> draining. Only live partitions are fetched. `position` is the next offset
the state has not seen; `committed` is what this worker last committed, None before its first commit.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """Where a partition stands on its way to serving."""

    GATED = "gated"
    RECOVERING = "recovering"
    LIVE = "live"
    DRAINING = "draining"


@dataclass(slots=True)
class Partition:
    """One partition this worker owns, or parked rows of one it owned until the last rebalance."""

    number: int
    phase: Phase = Phase.GATED
    position: int = -1
    committed: int | None = None
    attempts: int = 0

    def holds_state_for(self, committed: int | None) -> bool:
        """Whether the rows in memory go on from the group's committed offset: nobody else moved it."""
        return self.position >= 0 and self.committed is not None and committed == self.committed


class Breaker:
    """Opens when too many of the last `window` records were dead letters; closed again after a pause."""

    def __init__(self, share: float, window: int, pause_s: float) -> None:
        self._share, self._window, self._pause_s = share, window, pause_s
        self._seen: deque[tuple[int, int]] = deque()
        self._records = self._dead = 0
        self._open_until = 0.0

    def count(self, records: int, dead: int, now_s: float) -> bool:
        """Take note of a batch; whether that opened the breaker: a full window holds more than its share."""
        self._seen.append((records, dead))
        self._records += records
        self._dead += dead
        while self._records - self._seen[0][0] >= self._window:
            gone = self._seen.popleft()
            self._records -= gone[0]
            self._dead -= gone[1]
        if self._records >= self._window and self._dead > self._share * self._records:
            self._open_until = now_s + self._pause_s
            self._seen.clear()
            self._records = self._dead = 0
            return True
        return False

    def is_open(self, now_s: float) -> bool:
        """Whether fetching is to pause."""
        return now_s < self._open_until
