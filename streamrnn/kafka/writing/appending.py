"""Owns the appending of whole lists: each is an interval of its own, and is in the log when `append` returns.

For whoever has records and no offsets to commit with them. Knows nothing of values.
"""

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from streamrnn.config import Settings
from streamrnn.errors import BatchTooLarge, RecordRefused
from streamrnn.kafka.writing.interval import make_publisher
from streamrnn.kafka.writing.producing import by_partition
from streamrnn.kafka.writing.unacknowledged import Receipt
from streamrnn.ticks import OutColumns, OutRecord


class Appender:
    """Appends lists of records to topics, over one connection after the other."""

    def __init__(self, settings: Settings) -> None:
        self._publisher = make_publisher(settings)

    async def start(self) -> None:
        """Connect; BrokerRefused or BrokerUnavailable when that fails."""
        await self._publisher.connect()

    async def stop(self) -> None:
        """Close, bounded; never raises. What was not awaited is not promised."""
        await self._publisher.give_up(0)
        await self._publisher.discard()

    async def append(self, topic: str, records: Sequence[OutRecord], number: int = 0) -> None:
        """Append all records to their partitions in list order and await every acknowledgement.

        RecordRefused names those that the broker refuses by numbers, which begin with `number`; all others are
        acknowledged. BrokerUnavailable after the deadline, TopicError for a missing topic or partition: then which
        of them are in the log is unknown.
        """
        columns, refused = OutColumns.of(records), dict[int, str]()
        left = np.arange(len(columns))
        while len(left):
            left = await self._interval(topic, columns, left, refused)
        if refused:
            raise RecordRefused(_said(topic, {number + row: reason for row, reason in refused.items()}))

    async def _interval(
        self, topic: str, columns: OutColumns, rows: NDArray[np.intp], refused: dict[int, str]
    ) -> NDArray[np.intp]:
        """Send these rows as an interval; add those that are refused, and return those that were not even sent."""
        publisher, part = self._publisher, columns.take(rows)
        try:
            # 1. All are queued, and waited for.
            await publisher.begin()
            receipt = await publisher.send(topic, part)
            with suppress(BatchTooLarge, RecordRefused):
                await publisher.acknowledged()
            # 2. What failed for another reason may be in the log: nobody but the caller can send it again.
            sent = publisher.interval
            sent.raise_lost()
        except BaseException:
            if not await publisher.give_up(0):
                await publisher.discard()
            raise
        publisher.close()
        # 3. What is neither in the log nor refused waited behind a batch that was; smaller ones follow.
        left, why = _left(part, receipt), sent.refused()
        refused |= {int(rows[left[partition][0]]): reason for partition, reason in why.items()}
        waiting = [mine[partition in why :] for partition, mine in left.items()]
        return np.sort(np.concatenate([np.zeros(0, np.intp), *(rows[behind] for behind in waiting)]))


def _left(records: OutColumns, receipt: Receipt) -> dict[int, NDArray[np.intp]]:
    """The rows of each partition that are not in the log, in their order; of a refusal the first is meant."""
    return {p: mine[receipt.in_log[p] :] for p, mine in by_partition(records).items()}


def _said(topic: str, reasons: dict[int, str]) -> str:
    first = min(reasons)
    more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return f"{topic}: record {first}{more} refused: {reasons[first]}"
