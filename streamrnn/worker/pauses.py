"""How long a worker waits: between two tries, two looks, for what. Knows nothing of what is tried."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pauses:
    """The waits of one worker, in seconds."""

    idle_s: float = 0.05
    """Longest wait of a fetch for records, and between two looks when nothing may be fetched."""
    retry_s: float = 0.5
    """After the broker or the store failed the loop."""
    snapshot_look_s: float = 0.05
    """Between two looks at which snapshot is due, and whether one's position has been committed."""
    first_retry_s: float = 0.5
    """After a first recovery that failed; doubled after each further one."""
    longest_retry_s: float = 8.0
    watch_s: float = 1.0
    """Between two looks at the connection, residents and lag."""
    look_s: float = 2.0
    """Longest wait for the ends of the input, which only tell the lag."""
    stalled_s: float = 60.0
    """Without a round of the loop for this long, the worker counts as dead."""
    say_s: float = 10.0
    """Between two lines on a recovery's progress."""
    parked_s: float = 600.0
    """For which the rows of a partition that has gone are kept: rebalances come in bursts."""

    def after_failures(self, count: int) -> float:
        """The pause after so many recoveries of a partition that failed."""
        doublings = min(count - 1, 10)
        return min(self.longest_retry_s, self.first_retry_s * (1 << doublings))
