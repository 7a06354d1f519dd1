"""The path of a tick, one screen: fetch, step on the engine thread, send, cut. Owns their order.

While step N runs on the engine thread, the event loop sends N-1 and fetches N+1. What was stepped and sent since
the last cut is an interval. committer.py commits it while the next one is on its way, and owns the order of
durability.

Whatever fails before a commit is known to have succeeded takes one way back: what is closing comes to its end, the
delivery aborts, the engine undoes all that is not committed, and each partition asks the broker again where it
stands. Knows Kafka only by the source and the delivery.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from streamrnn.config import Settings
from streamrnn.errors import (
    BatchTooLarge,
    BrokerUnavailable,
    Rebalanced,
    RecordsRefused,
    StoreUnavailable,
    StreamrnnError,
    TicksLost,
)
from streamrnn.kafka.marks import Mark, Membership
from streamrnn.kafka.writing.delivery import Delivery
from streamrnn.metrics import Metrics
from streamrnn.ticks import Record, RecordColumns
from streamrnn.worker.assignment import Assigner
from streamrnn.worker.broker_health import BrokerHealth
from streamrnn.worker.commit_interval import BatchUnderWay
from streamrnn.worker.committer import WAYS_BACK, Committer
from streamrnn.worker.health import Health
from streamrnn.worker.lineup.cut_over import CutOver
from streamrnn.worker.lineup.lineup import Lineup
from streamrnn.worker.lineup.voice import ModelVoice
from streamrnn.worker.pace import Pace
from streamrnn.worker.pauses import Pauses
from streamrnn.worker.sending import Sender
from streamrnn.worker.source import TickSource

log = logging.getLogger(__name__)
SNAPSHOT_SHARE = 0.4
"""Of the shutdown budget, for last snapshots."""
SHORT_WAIT_S = 0.002
"""Longest wait of a fetch while another voice's partitions, or a change of voices, wait for its end."""


class Worker:
    """Drives ticks from source to delivery until told to stop; raises only what must end the process."""

    def __init__(
        self,
        settings: Settings,
        source: TickSource,
        delivery: Delivery,
        lineup: Lineup,
        metrics: Metrics,
        assigner: Assigner,
        pauses: Pauses,
    ) -> None:
        self._settings, self._source, self._delivery, self.lineup = settings, source, delivery, lineup
        self._metrics, self.assigner, self._pauses = metrics, assigner, pauses
        self._pace = Pace(settings.input.max_poll_records)
        self._is_exact = settings.delivery.guarantee == "exactly_once"
        self.sender = Sender(settings, delivery, metrics)
        self._broker = BrokerHealth(metrics)
        self.health = Health(settings, source, lineup, assigner, self.sender, self._broker, metrics, pauses)
        self._membership: Membership | None = None
        self._in_flight: BatchUnderWay | None = None
        self._commits = Committer(settings, delivery, lineup, metrics, assigner, self.sender, self._broker)
        together = settings.model.switch == "together"
        self._cut_over = CutOver(lineup, source, self._commit_alone, metrics, together=together)

    async def run(self, stop: asyncio.Event) -> None:
        """The loop; returns once `stop` is set and everything fetched is published and committed."""
        self.lineup.start()
        watching = asyncio.create_task(self.health.watch(), name="watch")
        watching.add_done_callback(self.assigner.ended)
        try:
            while not stop.is_set():
                self.health.beat()
                self.assigner.raise_failure()
                self.lineup.look()
                try:
                    await self._follow_assignment()
                    await self._turn()
                except WAYS_BACK as error:
                    await self._go_back(error)
            await self._finish()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await self._commits.stop()
            await self.assigner.close()
            await self.lineup.close()

    async def _turn(self) -> None:
        """Fetch N+1 and start its step, send N, begin a commit when it is time."""
        voice = self.lineup.turn()
        if damaged := voice.line.keeper.damaged.intersection(self.assigner.live(voice.label)):
            raise StoreUnavailable(f"snapshots that rows of partitions {sorted(damaged)} were only in are damaged")
        records = await self._fetch(voice)
        if self._source.has_rebalanced():
            return  # positions are void: what was fetched comes again from where the rows are
        # Read positions before the next await, because a rebalance invalidates them. Gated partitions are left out:
        # their position belongs to an interval that was undone.
        live = set(self.assigner.live(voice.label))
        positions = {p: at for p, at in self._source.positions().items() if p in live}
        stepped, self._in_flight = self._in_flight, None
        if stepped is not None:
            await stepped.step
        self._in_flight = self._begin(voice, records, positions)
        await self._send(stepped)
        if self._in_flight is not None and self._in_flight.step.done():
            await self._flush()
            await asyncio.sleep(0)  # heartbeats get their turn, however many small batches wait
        self._commits.raise_failure()
        is_due = self._commits.is_due(at_once=self._cut_over.is_holding)
        if is_due and not self._source.has_rebalanced():
            self._commits.cut()
        if await self._cut_over.turn(self.assigner.owned()):
            self._metrics.state(self.assigner.phases())

    async def _commit_alone(self, marks: Mapping[int, Mark]) -> bool:
        """Commit offsets and nothing else, and whether that is known to have gone through.

        Exactly once in a transaction of their own: a plain commit that is late may be taken after a transaction's,
        and take the offsets back. Where that fails nobody knows, so the error is a way back.
        """
        if not self._is_exact:
            try:
                await self._source.commit(marks)
            except BrokerUnavailable as error:
                self._broker.note("commit", str(error))
                return False
            return True
        await self._commits.ended()
        if self._commits.interval.sent:
            self._commits.cut()
            await self._commits.ended()
        assert self._membership is not None
        await self._delivery.begin(self._membership)
        await self._delivery.commit(marks)
        return True

    # Assignment

    async def _follow_assignment(self) -> None:
        assignment = self._source.take_rebalance()
        if assignment is None:
            return
        await (self._abandon() if self._is_exact else self._let_go())
        for doing in ("publish", "commit"):
            self._broker.note(doing)
        self._membership = self._source.membership()
        self._metrics.rebalance()
        await self.assigner.admit(assignment.partitions)

    async def _let_go(self) -> None:
        """At least once: what is on its way is published, so the rows stay ahead of the committed offsets."""
        try:
            with suppress(Rebalanced):  # not committed any more, but published
                await self._commits.ended()
            await self._flush()
            await self._delivery.acknowledged()
        except WAYS_BACK as error:
            log.info("what was on its way comes again: %s", error)
            return await self._abandon()
        self._commits.keep()
        return await self._delivery.abort()

    async def _go_back(self, error: StreamrnnError) -> None:
        """Undo what is not committed, take note of why, and let each partition find out where it stands."""
        await self._abandon()
        if isinstance(error, RecordsRefused):
            self.sender.refused(error)
        elif isinstance(error, Rebalanced):
            log.info("commit came too late: the group has rebalanced")
        elif isinstance(error, BatchTooLarge):
            log.info("%s", error)
        elif isinstance(error, StoreUnavailable | TicksLost):
            log.warning("%s", error)
            await asyncio.sleep(self._pauses.retry_s)
        else:
            self._broker.note("publish", str(error))
            await asyncio.sleep(self._pauses.retry_s)
        self._metrics.undone()
        if not self._source.has_rebalanced():
            self.assigner.readmit()

    async def _abandon(self) -> None:
        """Rows and positions are those of the last commit; nothing of what came since will be committed by us."""
        await self._commits.drop()
        batch, self._in_flight = self._in_flight, None
        if batch is not None:
            await asyncio.wait({batch.step})
            if (error := batch.step.exception()) is not None and not isinstance(error, WAYS_BACK):
                raise error
        await self._delivery.abort()
        undoing = [each.thread.call(each.line.engine.undo) for each in self.lineup.voices()]
        for undone in undoing:
            await asyncio.wait({undone})
            if not undone.cancelled():  # else its voice was let go meanwhile
                undone.result()
        self.assigner.undone()

    # The path

    async def _fetch(self, voice: ModelVoice) -> Sequence[Record]:
        """Records of live partitions of the voice; returns at once while a step is under way, to send it."""
        started = time.perf_counter()
        is_open, live = self.sender.breaker.is_open(time.monotonic()), self.assigner.live(voice.label)
        self._metrics.breaker(is_open)
        self.health.is_overfull = await voice.line.keeper.is_overfull(live)
        live = [] if is_open or self.health.is_overfull else live
        if not live and self._in_flight is None:
            await asyncio.sleep(self._pauses.idle_s)
        try:
            records = await self._source.fetch(live, timeout_ms=self._patience_ms(), most=self._pace.records)
        except Rebalanced:
            return []
        except BrokerUnavailable as error:
            self._broker.note("fetch", str(error))
            await asyncio.sleep(self._pauses.retry_s)
            return []
        self._broker.note("fetch")
        if records:
            self._metrics.stage("fetch", time.perf_counter() - started)
        return records

    def _patience_ms(self) -> int:
        """How long a fetch may wait: not at all for a step under way, no longer than to the next cut."""
        if self._in_flight is not None:
            return 0
        wait_s = SHORT_WAIT_S if self.lineup.is_mixed or self._cut_over.is_holding else self._pauses.idle_s
        return max(1, int(1000 * min(wait_s, self._commits.due_in_s())))

    def _begin(
        self, voice: ModelVoice, fetched: Sequence[Record], positions: dict[int, int]
    ) -> BatchUnderWay | None:
        """Decode, and start the step on the engine thread."""
        if not fetched:
            return None
        started, records = time.perf_counter(), RecordColumns.of(fetched)
        ticks, dead = voice.line.decoder.decode(records)
        self._pace.note(len(records), len(ticks) + len(dead))
        self._metrics.stage("decode", time.perf_counter() - started)
        step = voice.line.begin(ticks, has_misses=self.lineup.is_followed)
        self.assigner.stepped(positions)
        return BatchUnderWay(voice, records, positions, dead, step)

    async def _send(self, batch: BatchUnderWay | None) -> None:
        """Hand a stepped batch to the delivery; its acknowledgements are awaited when the interval is closed."""
        if batch is None:
            return
        stepped = await batch.step
        for stage, seconds in stepped.stages():
            self._metrics.stage(stage, seconds)
        if not self._commits.interval.sent:
            assert self._membership is not None
            if self._is_exact:  # a transaction begins when the one before has ended
                await self._commits.ended()
            await self._delivery.begin(self._membership)
        await self.sender.send(self._commits.interval, batch, stepped)

    # The end

    async def _flush(self) -> None:
        """Send what is in flight."""
        batch, self._in_flight = self._in_flight, None
        await self._send(batch)

    async def _finish(self) -> None:
        """Before the end: publish and commit; insist while only a commit fails, else leave it to the next start."""
        try:
            await self._flush()
            await self._commit_rest()
        except WAYS_BACK as error:
            log.warning("the end comes before the last commit, whose ticks will be read again: %s", error)
            await self._abandon()
        patience_s = SNAPSHOT_SHARE * self._settings.limits.shutdown_budget_s
        await self.lineup.last(patience_s)

    async def _commit_rest(self) -> None:
        """All that was sent is committed when this returns."""
        await self._commits.ended()
        while self._commits.interval.sent:
            if self._source.has_rebalanced():
                raise Rebalanced("the group has rebalanced")
            self._commits.cut()
            await self._commits.ended()
            if self._commits.interval.sent:  # only the commit has failed
                await asyncio.sleep(self._pauses.retry_s)
