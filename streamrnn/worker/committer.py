"""Commits one interval while the next one is stepped and sent. Owns both, and the order of durability.

What was stepped and sent since the last cut is the present interval. A cut makes it the closing one, and a task of
its own takes it through these steps, for both guarantees:

1. every prediction and dead letter of the interval is acknowledged by the broker;
2. its offsets are committed with the pedigree of the state, exactly once in one transaction with 1;
3. the engine forgets how to undo the interval, and nothing of what was stepped behind it;
4. snapshots of positions at or below the committed ones may be finished.

One interval at most is closing, so intervals are committed in their order. Whatever fails before 2 is known to have
succeeded is raised in the loop, which undoes both intervals. But at least once, where only 2 fails, the interval is
published for good: the present one takes it back, and they are committed together. Knows no fetch and no step.
"""

import asyncio
import logging
import math
import time
from collections.abc import Mapping

from streamrnn.config import Settings
from streamrnn.errors import (
    BrokerUnavailable,
    NotInTime,
    Rebalanced,
    RecordsRefused,
    StoreUnavailable,
    TicksLost,
)
from streamrnn.kafka.marks import Mark
from streamrnn.kafka.writing.delivery import Delivery
from streamrnn.metrics import Metrics
from streamrnn.worker.assignment import Assigner
from streamrnn.worker.broker_health import BrokerHealth
from streamrnn.worker.commit_interval import Interval
from streamrnn.worker.lineup.lineup import Lineup
from streamrnn.worker.sending import Sender

log = logging.getLogger(__name__)
WAYS_BACK = (BrokerUnavailable, NotInTime, StoreUnavailable, Rebalanced, RecordsRefused, TicksLost)
"""Errors after which what is not committed is undone and done again; every other error ends the process."""


class Committer:
    """The present interval, and the one before it while that is closing."""

    def __init__(
        self,
        settings: Settings,
        delivery: Delivery,
        lineup: Lineup,
        metrics: Metrics,
        assigner: Assigner,
        sender: Sender,
        broker: BrokerHealth,
    ) -> None:
        self._pause_s = settings.delivery.commit_interval_ms / 1000
        self._is_exact = settings.delivery.guarantee == "exactly_once"
        self._delivery, self._lineup, self._metrics = delivery, lineup, metrics
        self._assigner, self._sender, self._broker = assigner, sender, broker
        self.interval = Interval()
        self._cut_s = time.monotonic()
        self._closing: asyncio.Task[None] | None = None

    def due_in_s(self) -> float:
        """Until the next cut; without end while nothing was sent, or while the interval before is closing."""
        if not self.interval.sent or (self._closing is not None and not self._closing.done()):
            return math.inf
        return self._cut_s + self._pause_s - time.monotonic()

    def is_due(self, *, at_once: bool = False) -> bool:
        """Whether a cut is due; at once means as soon as there is something to cut and nothing is closing."""
        due_s = self.due_in_s()
        return due_s <= 0 or (at_once and due_s < math.inf)

    def cut(self) -> None:
        """Begin to commit all that was sent; Rebalanced where none of it is ours to commit.

        The interval before has ended. Not a coroutine: what is committed is of one moment.
        """
        self.raise_failure()
        assert self._closing is None, "one interval at most is closing"
        self._cut_s = time.monotonic()
        marks = self._assigner.marks(self.interval.positions)
        if not marks:
            raise Rebalanced("nothing of what was sent is ours to commit")
        self._delivery.cut()
        interval, self.interval = self.interval, Interval()
        self._closing = asyncio.create_task(self._close(interval, marks), name="commit")

    async def _close(self, interval: Interval, marks: Mapping[int, Mark]) -> None:
        """Steps 1 to 4 of the module's header."""
        started = time.perf_counter()
        # 1. All of the interval is acknowledged, before any offset says so (law 3). Exactly once, the commit waits
        # for it: offsets that have joined the transaction say nothing before its end.
        if not self._is_exact:
            await self._delivery.acknowledged()
        # 2. The offsets are committed, exactly once together with the records of 1.
        try:
            await self._delivery.commit(marks)
        except (BrokerUnavailable, Rebalanced) as error:
            # Exactly once, nobody knows whether the transaction went through: the interval is undone.
            if self._is_exact:
                raise
            self.interval.take_back(interval)
            if isinstance(error, Rebalanced):  # never to be committed here: the loop says what becomes of it
                raise
            return self._broker.note("commit", str(error))
        for doing in ("publish", "commit"):
            self._broker.note(doing)
        self._metrics.stage("commit", time.perf_counter() - started)
        # 3. No undo reaches below these positions any more: settling comes before all later calls of the engine.
        self._settle(interval)
        #    What has been committed is handed to whoever follows, which needs to know from where it goes.
        self._lineup.hand(interval.sent)
        # 4. Snapshots of these positions may be finished: the keeper looks at what the assigner says is committed.
        self._assigner.committed(interval.positions)
        return self._sender.committed(interval.positions)

    def _settle(self, interval: Interval) -> None:
        """Count what is now seen by readers, and have the engine forget how to undo it before its next step."""
        for thread, steps in interval.steps().items():
            thread.post(thread.engine.settle, steps)
        now_ms = time.time() * 1000
        for sent in interval.sent:
            seen_ms = now_ms if self._is_exact else sent.acknowledged_ms
            self._metrics.batch(sent.predictions, seen_ms, sent.voice.label)
            self._metrics.dead(sent.dead)
            self._metrics.dropped(sent.dropped)

    async def ended(self) -> None:
        """Wait until no interval is closing; raises, once, what the last one failed with."""
        if self._closing is not None:
            await asyncio.wait({self._closing})
        self.raise_failure()

    def raise_failure(self) -> None:
        """Raise, once, what the interval failed with that has ended."""
        if self._closing is not None and self._closing.done():
            closed, self._closing = self._closing, None
            closed.result()

    def keep(self) -> None:
        """All that was sent is published, and will not be committed here: its rows stay as they are."""
        self._assigner.published(self.interval.positions)
        interval, self.interval = self.interval, Interval()
        self._settle(interval)

    async def drop(self) -> None:
        """Forget what is not committed, once nothing is closing: the caller has it undone."""
        try:
            await self.ended()
        except WAYS_BACK as error:
            log.info("nor does the commit under way go through: %s", error)
            if isinstance(error, RecordsRefused):
                self._sender.refused(error)
        self.interval = Interval()

    async def stop(self) -> None:
        """Break off what is closing, which the end of the worker has not waited for; raises nothing."""
        if self._closing is not None:
            self._closing.cancel()
            await asyncio.wait({self._closing}, timeout=1.0)
            if self._closing.done() and not self._closing.cancelled() and (error := self._closing.exception()):
                log.warning("the last commit did not go through: %s", error)
