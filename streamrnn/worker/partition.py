"""What the worker knows of one partition: its phase, what is committed, where its rows stand. No I/O.

gated -> recovering -> live -> draining. Only live partitions are fetched. A live one is switching while another
line is about to speak of it, and then live again. Beside each field stands who writes it;
all others only read it. All of them run on the event loop.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from streamrnn.provenance.pedigree import Pedigree

NOTHING = -1
"""The position of rows that stand for nothing."""


class Phase(StrEnum):
    """Where a partition stands on its way to serving."""

    GATED = "gated"
    RECOVERING = "recovering"
    LIVE = "live"
    SWITCHING = "switching"
    DRAINING = "draining"


@dataclass(slots=True)
class Standing:
    """Where one line's rows of one partition stand, and what they are a function of."""

    position: int = NOTHING
    """The next offset that the rows have not seen. Recovery; while the partition is live the assigner, as the loop
    steps and undoes."""
    settled: int = NOTHING
    """Where an undo takes the rows back to. Recovery; the assigner at a commit, or when all is published before a
    rebalance."""
    pedigree: Pedigree | None = None
    """What the rows are a function of. Recovery alone."""
    undoings: int = 0
    """How often the rows may have been taken back. The assigner alone."""

    @property
    def has_rows(self) -> bool:
        """Whether the rows in memory stand for a position."""
        return self.position >= 0 and self.pedigree is not None

    def place(self, position: int, pedigree: Pedigree | None) -> None:
        """The rows are now those of the pedigree at `position`, and no undo goes further back."""
        self.position = self.settled = position
        self.pedigree = pedigree

    def void(self) -> None:
        """The rows stand for nothing."""
        self.place(NOTHING, None)

    def undo(self) -> None:
        """The engine has taken the rows back to where they were settled."""
        self.position = self.settled
        self.undoings += 1


@dataclass(slots=True)
class Partition:
    """One partition this worker owns, or one it owned until the last rebalance, whose rows are parked."""

    number: int
    phase: Phase = Phase.GATED
    """The assigner; the cut-over between live and switching."""
    speaker: str = ""
    """The model of the line that speaks of it, NAME@VERSION. The lineup at a recovery; the cut-over."""
    committed: int | None = None
    """What this worker last committed, None before its first commit. Recovery; the assigner at a commit; of a
    partition that follows, the follower."""
    attempts: int = 0
    """Recoveries that failed since the partition was last live. The assigner alone."""
    serving: Standing = field(default_factory=Standing)
    """Of the line that serves. A line beside it has a standing of its own."""

    @property
    def is_serving(self) -> bool:
        """Whether its ticks are answered; while it switches, a moment later."""
        return self.phase in (Phase.LIVE, Phase.SWITCHING)
