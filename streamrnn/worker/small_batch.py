"""How many ticks are too few to be worth a change of threads. Knows no engine and no thread."""

AT_ONCE_S = 0.001
"""Longest step that the event loop takes itself: with caches gone cold, a few ticks take half of it."""


class SmallBatch:
    """As many ticks as were ever stepped within `most_s`, until a step of as many, or fewer, takes longer."""

    def __init__(self, most_s: float) -> None:
        """most_s: of a thread's own time; 0 for none."""
        self._most_s = most_s
        self._ticks = -1

    def has(self, ticks: int) -> bool:
        """Whether so many ticks are few."""
        return ticks <= self._ticks

    def note(self, ticks: int, seconds: float) -> None:
        """So many ticks took so long."""
        if seconds < self._most_s:
            self._ticks = max(self._ticks, ticks)
        elif ticks <= self._ticks:
            self._ticks = ticks // 2
