"""A state from the snapshots, for a partition whose first ticks the input no longer holds. Knows no topic."""

from streamrnn.errors import Damaged, StoreUnavailable
from streamrnn.snapshots import Chain, Shelf
from streamrnn.worker.line import Line


class OldestSnapshots:
    """Gives a line's engine the state of the oldest snapshot that will do, where the settings name a store."""

    def __init__(self, line: Line) -> None:
        self._engine, self._shelf = line.engine, line.shelf

    def place(self, partition: int, start: int, stop: int, since: int, born: str | None = None) -> int | None:
        """Give the engine the rows of the oldest whole snapshot at `start` to `stop`; its offset, None without one.

        Waits for the store. StoreUnavailable when that fails.
        """
        if self._shelf is None:
            return None
        try:
            while (chain := self._oldest(self._shelf, partition, start, stop, since, born)) is not None:
                self._engine.drop(partition)
                try:
                    for rows in self._shelf.load(chain):
                        self._engine.load(partition, rows)
                except Damaged:  # from now on it is passed over
                    continue
                return chain.offset
        except OSError as error:
            raise StoreUnavailable(f"snapshots: {error}") from error
        return None

    @staticmethod
    def _oldest(shelf: Shelf, partition: int, start: int, stop: int, since: int, born: str | None) -> Chain | None:
        oldest, at_most = None, stop
        while at_most >= start:
            chain = shelf.find(partition, at_most, since, born).chain
            if chain is None or chain.offset < start:
                break
            oldest, at_most = chain, chain.offset - 1
        return oldest
