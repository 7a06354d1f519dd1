"""When to pause the input for its dead letters. Owns the newest records' counts; asks no clock, does no I/O."""

from collections import deque


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
