"""The topics and the group's offsets as a verification sees them. Knows no meaning of a record."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Protocol

from streamrnn.config import Settings
from streamrnn.errors import Unsettled
from streamrnn.kafka.admin import partition_count
from streamrnn.kafka.marks import Mark
from streamrnn.kafka.offsets import committed_marks
from streamrnn.kafka.reading.answer import Skip
from streamrnn.kafka.reading.log import LogExtent, log_extent, read_whole
from streamrnn.ticks import Record

PATIENCE_MARGIN_S = 5.0
RETRY_S = 0.02


class Topics(Protocol):
    """Partitions that can be read from any offset to their end, read-committed, and the group's offsets."""

    skipped: Counter[tuple[str, int]]
    """Offsets of each (topic, partition) that were read and that nobody can read."""

    async def partitions(self, topic: str) -> int:
        """How many; 0 where there is no such topic."""

    async def marks(self, partitions: Sequence[int]) -> Mapping[int, Mark | None]:
        """What the group has committed of the input."""

    async def extent(self, topic: str, partition: int) -> LogExtent:
        """From where to where it can be read now."""

    def read(self, topic: str, partition: int, start: int, stop: int) -> AsyncGenerator[Sequence[Record], None]:
        """Its records with start <= offset < stop, in offset order; none is left out."""


class KafkaTopics:
    """Those of the settings' broker and group."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.skipped: Counter[tuple[str, int]] = Counter()
        # A worker that vanished keeps its transaction open so long; without transactions nobody waits.
        self._patience_s = settings.delivery.transaction_timeout_ms / 1000 + PATIENCE_MARGIN_S

    async def partitions(self, topic: str) -> int:
        """How many; 0 where there is no such topic."""
        return await partition_count(self._settings.kafka, topic)

    async def marks(self, partitions: Sequence[int]) -> Mapping[int, Mark | None]:
        """What the group has committed of the input."""
        until_s = time.monotonic() + self._patience_s
        while True:
            try:
                return await committed_marks(self._settings, partitions)
            except Unsettled:  # a running service has a transaction open most of the time
                if time.monotonic() > until_s:
                    raise
            await asyncio.sleep(RETRY_S)

    async def extent(self, topic: str, partition: int) -> LogExtent:
        """From where to where it can be read now, open transactions awaited."""
        return await log_extent(self._settings, topic, partition, self._patience_s)

    def read(self, topic: str, partition: int, start: int, stop: int) -> AsyncGenerator[Sequence[Record], None]:
        """Its records with start <= offset < stop, in offset order."""
        limit = self._settings.input.max_poll_records
        return read_whole(self._settings, topic, partition, start, stop, limit, self._skipped)

    def _skipped(self, skip: Skip) -> None:
        self.skipped[skip.tp] += skip.stop - skip.start
