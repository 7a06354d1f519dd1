"""The path of a tick, one screen: fetch, step on the engine thread, publish, commit. Owns their order.

While step N runs on the engine thread, the event loop publishes N-1 and fetches N+1. Knows Kafka only
through the source and the sink, the device only through the engine.
"""

import asyncio
import logging
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

from streamrnn.codecs import Decoder, Encoder, dead_letter_record
from streamrnn.config import Settings
from streamrnn.engine.engine import Engine
from streamrnn.errors import BrokerUnavailable
from streamrnn.kafka.sink import RecordsRefused, Sink
from streamrnn.kafka.source import Rebalanced, Source
from streamrnn.metrics import Metrics
from streamrnn.ticks import DeadLetter, OutRecord, PredictionBatch, Record, TickBatch
from streamrnn.worker.assignment import Assigner
from streamrnn.worker.letters import poisoned, reason_alone, source_of
from streamrnn.worker.partition import Breaker

log = logging.getLogger(__name__)
IDLE_FETCH_MS = 50
RETRY_S = 0.5


class Stepped(NamedTuple):
    """A batch that went through the engine: its predictions and the records to publish, aligned with rows."""

    predictions: PredictionBatch
    rows: list[int]
    records: list[OutRecord]


@dataclass(slots=True)
class Batch:
    """Records on their way: what was fetched and up to where, what was refused, and the step under way."""

    records: list[Record]
    positions: dict[int, int]
    ticks: TickBatch
    dead: list[DeadLetter]
    step: "asyncio.Future[Stepped]"


class Worker:
    """Drives ticks from source to sink until told to stop; raises only what must end the process."""

    def __init__(
        self, settings: Settings, source: Source, sink: Sink, engine: Engine, executor: ThreadPoolExecutor,
        metrics: Metrics,
    ) -> None:  # fmt: skip
        spec = engine.spec
        self._settings, self._source, self._sink, self._engine = settings, source, sink, engine
        self._executor, self._metrics = executor, metrics
        self._decoder = Decoder(
            spec,
            codec=settings.input.codec,
            stream_field=settings.input.stream_field,
            time_field=settings.input.time_field,
            max_record_bytes=settings.input.max_record_bytes,
        )
        self._encoder = Encoder(spec, settings.output.codec)
        limits = settings.limits
        self.breaker = Breaker(limits.dead_letter_share, limits.dead_letter_window, limits.breaker_pause_s)
        self.assigner = Assigner(settings, source, engine, executor, self._decoder, metrics)
        self.beat_s = time.monotonic()
        self._arrived_ms: dict[int, int] = {}
        self._complaints: dict[str, str] = {}
        self._in_flight: Batch | None = None
        self._to_commit: dict[int, int] = {}
        self._committed_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """The loop; returns once `stop` is set and everything fetched is published and committed."""
        try:
            while not stop.is_set():
                self.beat_s = time.monotonic()
                self.assigner.raise_failure()
                await self._follow_assignment()
                records = await self._fetch()
                if self._source.has_rebalanced():
                    continue  # positions are void: what was fetched comes again from where the rows are
                positions = self._source.positions()  # before anything is awaited: a rebalance voids them
                stepped, self._in_flight = self._in_flight, None
                if stepped is not None:
                    await stepped.step
                self._in_flight = self._begin(records, positions)
                await self._finish(stepped)
                await self._commit_when_due()
            await self._drain()
            await self._commit_all()
        finally:
            await self.assigner.close()

    async def _follow_assignment(self) -> None:
        assignment = self._source.take_rebalance()
        if assignment is None:
            return
        await self._drain()
        self._to_commit.clear()
        self.note_broker("commit")
        self._metrics.rebalance()
        await self.assigner.admit(assignment.partitions)

    async def _fetch(self) -> list[Record]:
        """Records of live partitions; returns at once while a step is under way, to publish it promptly."""
        started = time.perf_counter()
        paused = self.breaker.is_open(time.monotonic())
        live = () if paused else self.assigner.live()
        self._metrics.breaker(paused)
        if not live and self._in_flight is None:
            await asyncio.sleep(IDLE_FETCH_MS / 1000)
        try:
            records = await self._source.fetch(live, timeout_ms=0 if self._in_flight else IDLE_FETCH_MS)
        except Rebalanced:
            return []
        except BrokerUnavailable as error:
            self.note_broker("fetch", str(error))
            await asyncio.sleep(RETRY_S)
            return []
        self.note_broker("fetch")
        if records:
            self._metrics.stage("fetch", time.perf_counter() - started)
        return records

    def _begin(self, records: list[Record], positions: dict[int, int]) -> Batch | None:
        """Decode, and start the step on the engine thread."""
        if not records:
            return None
        started = time.perf_counter()
        ticks, dead = self._decoder.decode(records)
        self._metrics.stage("decode", time.perf_counter() - started)
        loop = asyncio.get_running_loop()
        step = loop.run_in_executor(self._executor, self._step, ticks, time.perf_counter())
        self.assigner.stepped(positions)
        return Batch(records, positions, ticks, dead, step)

    def _step(self, ticks: TickBatch, queued_at: float) -> Stepped:
        """On the engine thread: step and encode."""
        started = time.perf_counter()
        predictions = self._engine.step(ticks)
        stepped = time.perf_counter()
        records = self._encoder.encode(predictions)
        self._metrics.stage("queue", started - queued_at)
        self._metrics.stage("step", stepped - started)
        self._metrics.stage("encode", time.perf_counter() - stepped)
        return Stepped(predictions, predictions.ok.nonzero()[0].tolist(), records)

    async def _finish(self, batch: Batch | None) -> None:
        """Steps 1 and 2 of the order of durability (at least once):

        1. every prediction and dead letter of the batch is acknowledged by the broker;
        2. its offsets may be committed, and are with the next commit.
        A crash before 2 repeats the batch; nothing is ever skipped.
        """
        if batch is None:
            return
        stepped = await batch.step
        started = time.perf_counter()
        dead = batch.dead + poisoned(batch.records, stepped.predictions)
        dead += await self._publish_predictions(batch, stepped)
        await self._publish_dead(dead)
        self._metrics.stage("publish", time.perf_counter() - started)
        self._metrics.batch(stepped.predictions, time.time() * 1000)
        self._metrics.dead(dead)
        if self.breaker.count(len(batch.records), len(dead), time.monotonic()):
            self._say_breaker(dead)
        self._arrived_ms.update(map(itemgetter(0, 2), batch.records))  # partition and timestamp
        self._to_commit.update(batch.positions)

    def _say_breaker(self, dead: list[DeadLetter]) -> None:
        """Why the input pauses: the share that was passed, and the commonest reasons of the newest batch."""
        reasons = Counter(f"{letter.stage} {letter.code}" for letter in dead).most_common(3)
        limits = self._settings.limits
        log.warning(
            "breaker open, fetching pauses %g s: over %.0f %% of the last %d records are dead letters (%s)",
            *(limits.breaker_pause_s, 100 * limits.dead_letter_share, limits.dead_letter_window),
            ", ".join(f"{reason}: {count}" for reason, count in reasons),
        )

    async def _publish_predictions(self, batch: Batch, stepped: Stepped) -> list[DeadLetter]:
        """Publish; a prediction the broker refuses for good becomes the dead letter of its tick."""
        try:
            await self._insist(self._settings.output.topic, stepped.records)
        except RecordsRefused as error:
            return [
                DeadLetter(source_of(batch.records, batch.ticks, stepped.rows[at]), "publish", "refused", why)
                for at, why in error.reasons.items()
            ]
        return []

    async def _publish_dead(self, dead: list[DeadLetter]) -> None:
        """Publish dead letters; one the broker refuses goes without its value, then with its reason alone."""
        topic, source, model = self._settings.dead_letter_topic, self._settings.input.topic, self._engine.spec.label
        records = [dead_letter_record(letter, source, model) for letter in dead]
        try:
            await self._insist(topic, records)
        except RecordsRefused as error:
            dead = [dead[at] for at in error.indexes]
            bare = [records[at]._replace(value=None) for at in error.indexes]
            try:
                await self._insist(topic, bare)
            except RecordsRefused as again:
                await self._insist(topic, [reason_alone(dead[at], source, model) for at in again.indexes])

    async def _insist(self, topic: str, records: list[OutRecord]) -> None:
        """Publish, however long the broker is away: the process lives, says so, and holds two batches."""
        if not records:
            return None
        while True:
            self.beat_s = time.monotonic()
            try:
                await self._sink.publish(topic, records)
            except BrokerUnavailable as error:
                self.note_broker("publish", str(error))
                await asyncio.sleep(RETRY_S)
            else:
                return self.note_broker("publish")

    def lateness_s(self, partition: int) -> float:
        """Seconds since the partition's newest finished record was written, 0 before the first."""
        arrived_ms = self._arrived_ms.get(partition)
        return 0.0 if arrived_ms is None else max(0.0, time.time() - arrived_ms / 1000)

    @property
    def broker_is_up(self) -> bool:
        """False while anything that asks the broker complains."""
        return not self._complaints

    def note_broker(self, doing: str, complaint: str = "") -> None:
        """Take note of how the broker answered the one who is `doing` something; a change is said."""
        was_up = self.broker_is_up
        self._complaints.pop(doing, None)
        if complaint:
            self._complaints[doing] = complaint
        if self.broker_is_up != was_up:
            log.warning(f"broker is away, waiting for it: {complaint}" if was_up else "broker is back")
            self._metrics.broker_up(self.broker_is_up)

    async def _commit_when_due(self) -> None:
        if time.monotonic() - self._committed_at >= self._settings.input.commit_interval_ms / 1000:
            await self._commit()

    async def _commit(self) -> None:
        """Step 3 of the order of durability: offsets of acknowledged batches, and only those."""
        self._committed_at = time.monotonic()
        if not self._to_commit or self._source.has_rebalanced():
            return None
        started = time.perf_counter()
        try:
            await self._source.commit(self._to_commit)
        except BrokerUnavailable as error:
            return self.note_broker("commit", str(error))
        except Rebalanced:
            return log.info("commit came too late: the group has rebalanced")
        self.note_broker("commit")
        self.assigner.committed(self._to_commit)
        self._to_commit = {}
        self._metrics.stage("commit", time.perf_counter() - started)
        return None

    async def _commit_all(self) -> None:
        """Before the end: insist, unless the group has moved on."""
        await self._commit()
        while self._to_commit and "commit" in self._complaints and not self._source.has_rebalanced():
            await asyncio.sleep(RETRY_S)
            await self._commit()

    async def _drain(self) -> None:
        """Finish what is in flight, so that rows, positions and what was published agree."""
        batch, self._in_flight = self._in_flight, None
        await self._finish(batch)
