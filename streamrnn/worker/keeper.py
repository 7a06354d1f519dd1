"""What the worker asks of whoever keeps state, and the one who keeps none. Knows no store."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple, Protocol

from streamrnn.worker.partition import Partition


class Restored(NamedTuple):
    """What a snapshot gave back: where it stands, what it is a function of, and how many rows were read."""

    offset: int
    since: int
    born: str
    rows: int


class Keeper(Protocol):
    """Takes snapshots, or does not."""

    async def restore(self, number: int, at_most: int, since: int | None, born: str | None) -> Restored | None:
        """Give the partition the rows of its newest snapshot to be trusted; StoreUnavailable may pass."""

    async def newest(self, number: int, born: str | None) -> int | None:
        """The offset of the newest snapshot to be trusted, None without one; StoreUnavailable may pass."""

    def forget(self, number: int) -> None:
        """The partition's rows are about to be dropped."""

    @property
    def damaged(self) -> set[int]:
        """Partitions that lost rows because the only snapshot holding them is damaged.

        Each must be restored from an older one.
        """

    async def is_overfull(self, numbers: Collection[int]) -> bool:
        """Whether so many rows wait for a snapshot that the input must wait too.

        Then it lets go of those that one has by now.
        """

    def close(self) -> None:
        """Let go of all threads; those that hang in a store are left behind."""

    async def run(self, partitions: Callable[[], Iterable[Partition]]) -> None:
        """Take snapshots as they fall due, for ever."""

    async def last(self, partitions: Iterable[Partition], patience_s: float) -> None:
        """Take one of each live partition that has moved since its last, in that time."""


class NoKeeper:
    """Snapshots off."""

    async def restore(self, number: int, at_most: int, since: int | None, born: str | None) -> Restored | None:
        """Nothing is kept."""
        return None

    async def newest(self, number: int, born: str | None) -> int | None:
        """Nothing is kept."""
        return None

    def forget(self, number: int) -> None:
        """Nothing is known."""

    @property
    def damaged(self) -> set[int]:
        """None."""
        return set()

    async def is_overfull(self, numbers: Collection[int]) -> bool:
        """What is too much is forgotten."""
        return False

    def close(self) -> None:
        """Nothing was opened."""

    async def run(self, partitions: Callable[[], Iterable[Partition]]) -> None:
        """Nothing falls due."""
        await asyncio.Event().wait()

    async def last(self, partitions: Iterable[Partition], patience_s: float) -> None:
        """Nothing is taken."""
