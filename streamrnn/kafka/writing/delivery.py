"""Owns what delivery means to the worker, and the cheaper of its two guarantees: at least once.

An interval is all that is sent between `begin` and `commit` or `abort`. At least once, the next interval is sent
while the one before the cut is committed. The other guarantee is in transactions.py.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

from streamrnn.config import Settings
from streamrnn.kafka.closing import CLOSE_DEADLINE_S
from streamrnn.kafka.marks import Mark, Membership
from streamrnn.kafka.reading.member import Source
from streamrnn.kafka.writing.interval import make_publisher
from streamrnn.kafka.writing.unacknowledged import Receipt, Sent
from streamrnn.ticks import OutRecord

log = logging.getLogger(__name__)


class Delivery(Protocol):
    """Publishes records and commits what they were made of. Every call is bounded in time.

    BrokerUnavailable: not done, or not known to be; abort, then ask what is committed. BatchTooLarge is one: the
    same records go in smaller batches next time. RecordsRefused: these will never be taken; abort, send the
    others again. Rebalanced: this worker may not commit any more; abort. TopicError, BrokerRefused: for good.
    WorkerFenced, of any call but `stop`: another worker has this one's name; this one is to end.
    """

    async def start(self) -> None:
        """Connect."""

    async def stop(self) -> None:
        """Abort and close; never raises."""

    async def begin(self, member: Membership) -> None:
        """Start an interval of this member; where one goes on after a cut, does nothing."""

    async def send(self, topic: str, records: Sequence[OutRecord]) -> Receipt:
        """Queue records in order per partition; waits only while very much is not yet acknowledged."""

    def cut(self) -> None:
        """Until the next `commit` ends, that and `acknowledged` are of what was sent so far.

        At least once, more may be sent meanwhile; exactly once, after the commit and another `begin`.
        """

    async def acknowledged(self) -> None:
        """Wait until the brokers have all that was sent, before the cut if there was one."""

    async def commit(self, marks: Mapping[int, Mark]) -> None:
        """`acknowledged`, then commit; ends the interval when it succeeds."""

    async def abort(self) -> None:
        """End all intervals whatever their state; raises nothing but WorkerFenced. Without one, does nothing."""


class AtLeastOnce:
    """Records are in the log, idempotently, before their offsets are committed by the source.

    A crash, a rebalance or an abort between the two has them sent again: readers drop what they have seen by
    `src-offset`, for the first copies are in order and without a gap.
    """

    def __init__(self, settings: Settings, source: Source) -> None:
        self._source = source
        self._publisher = make_publisher(settings)
        self._sent: Sent | None = None

    async def start(self) -> None:
        """See Delivery."""
        await self._publisher.connect()

    async def stop(self) -> None:
        """See Delivery; what is under way is not waited for."""
        await self._publisher.give_up(0)
        await self._publisher.discard()

    async def begin(self, member: Membership) -> None:
        """See Delivery; the source knows which member commits.

        What goes on after a cut does so also where it has failed: nothing overtakes what is not in the log.
        """
        if not self._publisher.is_begun:
            await self._publisher.begin()

    async def send(self, topic: str, records: Sequence[OutRecord]) -> Receipt:
        """See Delivery."""
        return await self._publisher.send(topic, records)

    def cut(self) -> None:
        """See Delivery; one after the other goes through the same producer, in order."""
        self._sent = self._publisher.cut()

    async def acknowledged(self) -> None:
        """See Delivery."""
        await self._publisher.acknowledged(self._sent)

    async def commit(self, marks: Mapping[int, Mark]) -> None:
        """See Delivery; where only the commit of offsets fails, the next commit makes up for it."""
        try:
            await self.acknowledged()
            await self._source.commit(marks)
        finally:
            self._sent = None

    async def abort(self) -> None:
        """See Delivery; what is under way is in the log or never will be, when this returns."""
        self._sent = None
        if not await self._publisher.give_up(CLOSE_DEADLINE_S):
            await self._publisher.discard()
