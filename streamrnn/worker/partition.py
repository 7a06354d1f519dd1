"""What the worker knows of one partition: its phase and its positions. Decides; does no I/O.

gated -> recovering -> live -> draining. Only live partitions are fetched.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from streamrnn.provenance.pedigree import Pedigree

NOTHING = -1
"""The position of rows that stand for nothing."""


class Phase(StrEnum):
    """Where a partition stands on its way to serving."""

    GATED = "gated"
    RECOVERING = "recovering"
    LIVE = "live"
    DRAINING = "draining"


@dataclass(slots=True)
class Partition:
    """One partition this worker owns, or parked rows of one it owned until the last rebalance.

    position: the next offset its rows have not seen. settled: where an undo takes them back to. committed: what
    this worker last committed, None before its first commit. pedigree: what its rows are a function of.
    undoings: how often its rows may have been taken back.
    """

    number: int
    phase: Phase = Phase.GATED
    position: int = NOTHING
    settled: int = NOTHING
    committed: int | None = None
    pedigree: Pedigree | None = None
    attempts: int = 0
    undoings: int = 0

    @property
    def has_rows(self) -> bool:
        """Whether its rows in memory stand for a position."""
        return self.position >= 0 and self.pedigree is not None

    def place(self, position: int) -> None:
        """The rows are now what `position` makes of them, and no undo goes further back."""
        self.position = self.settled = position

    def void(self) -> None:
        """The rows stand for nothing."""
        self.place(NOTHING)
        self.pedigree = None


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
