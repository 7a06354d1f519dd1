"""Owns the appending of whole lists: each is an interval of its own, and is in the log when `append` returns.

For whoever has records and no offsets to commit with them. Knows nothing of values.
"""

from collections.abc import Sequence
from contextlib import suppress

from streamrnn.config import Settings
from streamrnn.errors import BatchTooLarge, RecordRefused
from streamrnn.kafka.writing.interval import make_publisher
from streamrnn.kafka.writing.producing import by_partition
from streamrnn.kafka.writing.unacknowledged import Receipt
from streamrnn.ticks import OutRecord


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
        left, refused = list(records), list[tuple[OutRecord, str]]()
        while left:
            left = await self._interval(topic, left, refused)
        if refused:
            reasons = {number + _index(records, record): reason for record, reason in refused}
            raise RecordRefused(_said(topic, reasons))

    async def _interval(
        self, topic: str, records: list[OutRecord], refused: list[tuple[OutRecord, str]]
    ) -> list[OutRecord]:
        """Send records as an interval; add those that are refused, and return those that were not even sent."""
        publisher = self._publisher
        try:
            # 1. All are queued, and waited for.
            await publisher.begin()
            receipt = await publisher.send(topic, records)
            with suppress(BatchTooLarge, RecordRefused):
                await publisher.acknowledged()
            # 2. What failed for another reason may be in the log: nobody but the caller can send it again.
            sent = publisher.interval
            sent.raise_lost()
            # 3. What is neither in the log nor refused waited behind a batch that was; smaller ones follow.
            refused += sent.refused()
        except BaseException:
            if not await publisher.give_up(0):
                await publisher.discard()
            raise
        publisher.close()
        if receipt.is_done:
            return []
        return _left(records, receipt, [record for record, _ in sent.refused()])


def _left(records: list[OutRecord], receipt: Receipt, refused: list[OutRecord]) -> list[OutRecord]:
    """The records, in their order, that are neither in the log nor refused, which come next in their partition."""
    of_partition = by_partition(records)
    behind = {p: mine[receipt.in_log[p] :] for p, mine in of_partition.items()}
    return [record for mine in behind.values() for record in mine if not any(record is each for each in refused)]


def _index(records: Sequence[OutRecord], wanted: OutRecord) -> int:
    return next(index for index, record in enumerate(records) if record is wanted)


def _said(topic: str, reasons: dict[int, str]) -> str:
    first = min(reasons)
    more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return f"{topic}: record {first}{more} refused: {reasons[first]}"
