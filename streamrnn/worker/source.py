"""What the worker asks of whoever gives it ticks, as a member of a group. Knows no broker."""

from collections import Counter
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from streamrnn.kafka.marks import Assignment, Mark, Membership
from streamrnn.ticks import Record


class TickSource(Protocol):
    """The input topic as one worker sees it: what it is given, what it reads, what it commits.

    What fails is a BrokerError. Rebalanced where this worker no longer holds what the call is about.
    """

    # The topic and its broker

    @property
    def topic_id(self) -> str:
        """The id of the input topic, by which one made anew differs from it; empty where brokers have none."""

    @property
    def is_topic_missing(self) -> bool:
        """Whether no broker knew the input topic when last looked at."""

    @property
    def skipped(self) -> Counter[str]:
        """Offsets that were passed over as unreadable since the start, by reason."""

    def is_connected(self) -> bool:
        """Whether a connection to any broker is open."""

    async def look_at_topic(self) -> None:
        """TopicReplaced once it is sure that the input topic was deleted, or made anew under its name."""

    # The group

    def take_rebalance(self) -> Assignment | None:
        """The new assignment, once after each change; None when nothing changed since."""

    def has_rebalanced(self) -> bool:
        """Whether a new assignment waits to be taken: what was fetched under the old one is void."""

    def membership(self) -> Membership:
        """As whom this worker may commit: its place in the generation that `take_rebalance` told last."""

    # Reading

    async def fetch(self, live: Collection[int], timeout_ms: int = 50, most: int | None = None) -> Sequence[Record]:
        """The next records of the live partitions, up to `most`; empty after `timeout_ms`.

        Each live partition was sought since it was assigned. TicksLost when retention was faster.
        """

    def positions(self) -> dict[int, int]:
        """Next offset to be read of each partition held and sought; valid until the next fetch."""

    def seek(self, partition: int, offset: int) -> None:
        """Fetch the partition from `offset` on."""

    def read_again(
        self, partition: int, start: int, stop: int, most: int
    ) -> AsyncGenerator[Sequence[Record], None]:
        """All records with start <= offset < stop, at most `most` at a time; the caller closes it.

        It moves no position. TicksLost when retention was faster.
        """

    # Offsets

    async def committed(self, partition: int) -> Mark | None:
        """What the group has committed, None when it never did; Unsettled while that may yet move."""

    async def log_start(self, partition: int) -> int:
        """The first offset that retention has left."""

    async def first_start(self, partition: int) -> int:
        """Where a group without a committed offset begins: the log's start or end, as input.start says."""

    async def end_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        """Offset after the last readable record of each."""

    async def commit(self, marks: Mapping[int, Mark]) -> None:
        """Commit positions (next offset to be read) with their metadata."""
