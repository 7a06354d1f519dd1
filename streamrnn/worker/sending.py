"""What is published for a stepped batch: predictions, and dead letters. Owns what the broker refused for good."""

import logging
import time
from collections import Counter
from collections.abc import Mapping

import numpy as np

from streamrnn.config import Settings
from streamrnn.errors import RecordsRefused
from streamrnn.kafka.writing.delivery import Delivery
from streamrnn.metrics import Metrics
from streamrnn.ticks import DeadLetter, OutColumns, RecordColumns, TickBatch
from streamrnn.worker.breaker import Breaker
from streamrnn.worker.commit_interval import BatchUnderWay, Interval, SentBatch
from streamrnn.worker.letters import BrokerRefusals, refused_ticks
from streamrnn.worker.line import Stepped

log = logging.getLogger(__name__)
AHEAD_S = 60.0
"""By which clocks may differ without a word."""


def _read(ticks: TickBatch) -> int:
    """How many ticks and null values that were good; a list of ticks counts as so many."""
    return len(ticks) + ticks.skipped + (0 if ticks.endings is None else len(ticks.endings))


class Sender:
    """Hands batches to the delivery, in order; acknowledgements are awaited at the commit."""

    def __init__(self, settings: Settings, delivery: Delivery, metrics: Metrics) -> None:
        self._settings, self._delivery, self._metrics = settings, delivery, metrics
        limits = settings.limits
        self.breaker = Breaker(limits.dead_letter_share, limits.dead_letter_window, limits.breaker_pause_s)
        self._refusals = BrokerRefusals()
        self._arrived_ms: dict[int, int] = {}
        self._is_ahead = False

    async def send(self, interval: Interval, batch: BatchUnderWay, stepped: Stepped) -> None:
        """Send all that a voice has to say of a batch; it joins the interval."""
        voice, records = batch.voice, batch.records
        predictions = stepped.predictions
        letters, dropped = refused_ticks(records, predictions, self._settings, voice.element)
        refused = self._refusals.predictions_of(records, voice.element)
        sent = SentBatch(voice, records, batch.positions, predictions, batch.dead + letters + refused, dropped)
        interval.add(sent)
        await self._send_predictions(sent, stepped.records)
        await self._send_letters(sent.dead, voice.label)
        if self.breaker.count(_read(predictions.ticks) + len(batch.dead), len(sent.dead), time.monotonic()):
            self._say_breaker(sent.dead)
        numbers, times_ms = records.partition, records.timestamp_ms
        last = np.append(np.flatnonzero(numbers[1:] != numbers[:-1]), len(records) - 1)[: len(records)]
        self._arrived_ms.update(zip(numbers[last].tolist(), times_ms[last].tolist(), strict=True))
        self._compare_clocks(records)
        voice.note(predictions, records)

    def _compare_clocks(self, records: RecordColumns) -> None:
        """Say once when a batch's newest record was written in our future: then latency is not to be known."""
        ahead_s = records.timestamp_ms[-1].item() / 1000 - time.time() if records else 0.0
        if ahead_s > AHEAD_S and not self._is_ahead:
            self._is_ahead = True
            log.warning(
                "records are stamped %.0f s ahead of this machine's clock, which one of the two has wrong: "
                "latency and lag in seconds show 0",
                ahead_s,
            )

    async def _send_predictions(self, sent: SentBatch, records: OutColumns) -> None:
        """Send the records of ticks, but for those whose prediction the broker refused."""
        if refused := self._refusals.predictions:
            kept = [row for row in range(len(records)) if records.place(row) not in refused]
            records = records.take(np.array(kept, np.intp))
        if not records:
            return
        begun = time.perf_counter()

        def acknowledged(_: object) -> None:
            sent.acknowledged_ms = time.time() * 1000
            self._metrics.stage("publish", time.perf_counter() - begun)

        on_its_way = await self._delivery.send(self._settings.output.topic, records)
        on_its_way.add_done_callback(acknowledged)

    async def _send_letters(self, dead: list[DeadLetter], model: str) -> None:
        if dead:
            topic = self._settings.input.topic
            records = [self._refusals.letter(letter, topic, model) for letter in dead]
            await self._delivery.send(self._settings.dead_letter_topic, records)

    def _say_breaker(self, dead: list[DeadLetter]) -> None:
        """Why the input pauses: the share that was passed, and the commonest reasons of the newest batch."""
        reasons = Counter(f"{letter.stage} {letter.code}" for letter in dead).most_common(3)
        limits = self._settings.limits
        log.warning(
            "breaker open, fetching pauses %g s: over %.0f %% of the last %d records are dead letters (%s)",
            *(limits.breaker_pause_s, 100 * limits.dead_letter_share, limits.dead_letter_window),
            ", ".join(f"{reason}: {count}" for reason, count in reasons),
        )

    def refused(self, error: RecordsRefused) -> None:
        """The broker will never take these: they go otherwise when the interval is done again."""
        self._refusals.note(error.topic != self._settings.output.topic, error.reasons)

    def committed(self, positions: Mapping[int, int]) -> None:
        """Below these nothing is sent again."""
        self._refusals.forget(positions)

    def lateness_s(self, partition: int) -> float:
        """Seconds since the partition's newest sent record was written, 0 before the first or if it says none."""
        arrived_ms = self._arrived_ms.get(partition)
        return 0.0 if arrived_ms is None or arrived_ms < 0 else max(0.0, time.time() - arrived_ms / 1000)
