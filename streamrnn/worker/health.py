"""How a worker is: alive, ready and what it waits for, how far behind; and what falls due while it runs.

The one face of the worker for whoever shows it. Owns the loop's pulse; all else it asks its parts. Knows no probe.
"""

import asyncio
import logging
import time
from typing import Any, NamedTuple

from streamrnn.config import Settings
from streamrnn.errors import BrokerError, TopicReplaced
from streamrnn.metrics import Held, Metrics
from streamrnn.worker.assignment import Assigner
from streamrnn.worker.broker_health import BrokerHealth
from streamrnn.worker.lineup.lineup import Lineup
from streamrnn.worker.pauses import Pauses
from streamrnn.worker.sending import Sender
from streamrnn.worker.source import TickSource

log = logging.getLogger(__name__)
SERVING = ("live", "switching")
"""Phases of partitions whose ticks are answered."""


class Readiness(NamedTuple):
    """Whether every partition is live, with the reason when not."""

    is_ready: bool
    reason: str


class Health:
    """The health of one worker, of which the loop tells `beat` and `is_overfull`."""

    def __init__(
        self,
        settings: Settings,
        source: TickSource,
        lineup: Lineup,
        assigner: Assigner,
        sender: Sender,
        broker: BrokerHealth,
        metrics: Metrics,
        pauses: Pauses,
    ) -> None:
        self._topic, self._bootstrap = settings.input.topic, settings.kafka.bootstrap
        self._source, self._lineup, self._assigner, self._sender = source, lineup, assigner, sender
        self._broker, self._metrics, self._pauses = broker, metrics, pauses
        self._beat_s = time.monotonic()
        self._looks = 0
        self.is_overfull = False

    def beat(self) -> None:
        """The loop has begun another round."""
        self._beat_s = time.monotonic()

    def is_alive(self) -> bool:
        """False when the loop has made no round for `stalled_s`."""
        return time.monotonic() - self._beat_s < self._pauses.stalled_s

    def readiness(self) -> Readiness:
        """Whether the worker serves all that it owns, and what it waits for."""
        reason = self._obstacle()
        return Readiness(not reason, reason or "ok")

    def _obstacle(self) -> str:
        if not self._assigner.is_assigned:
            return "waiting for partitions"
        if not self.is_broker_good:
            return "the broker is away"
        if self._source.is_topic_missing:
            return f"no broker knows the topic {self._topic} any more"
        if self._sender.breaker.is_open(time.monotonic()):
            return "too many dead letters: the breaker is open"
        if self.is_overfull:
            return "too many streams wait for a snapshot: see the log for why none is written"
        waiting = [f"{number} is {phase}" for number, phase in self.phases().items() if phase not in SERVING]
        return f"partitions not live: {', '.join(waiting)}" if waiting else ""

    @property
    def is_broker_good(self) -> bool:
        """Whether nothing that the worker asks of the broker fails."""
        return self._broker.is_good

    def phases(self) -> dict[int, str]:
        """Each owned partition's phase."""
        return self._assigner.phases()

    def features_missing(self) -> dict[str, dict[str, Any]]:
        """By feature that most ticks miss, what is known of that."""
        return self._lineup.main().watch.status()

    async def watch(self) -> None:
        """Look at it all again and again, for ever; TopicReplaced when the input topic is another."""
        while True:
            due_s = time.perf_counter() + self._pauses.watch_s
            await asyncio.sleep(self._pauses.watch_s)
            self._metrics.loop_lag(max(0.0, time.perf_counter() - due_s))
            self._count_residents()
            self._assigner.drop_expired()
            await self._look_at_broker()

    def _count_residents(self) -> None:
        engine = self._lineup.main().line.engine
        self._metrics.resident(
            Held(
                engine.resident,
                engine.parked,
                engine.slab_bytes,
                engine.evicted_total,
                engine.brought_back_total,
                engine.forgotten_total,
            )
        )

    async def _look_at_broker(self) -> None:
        """The connection, the topic, and how far the live partitions are behind its end."""
        self._metrics.skipped(self._source.skipped)
        if not self._source.is_connected():
            return self._broker.note("connect", f"no connection to {self._bootstrap}")
        self._broker.note("connect")
        positions = self._assigner.positions()
        try:
            async with asyncio.timeout(self._pauses.look_s):
                await self._source.look_at_topic()
                ends = await self._source.end_offsets(positions)
                await self._look_at_log(sorted(positions))
        except TopicReplaced:
            raise
        except (BrokerError, TimeoutError) as error:
            return log.debug("lag unknown: %s", error)
        for number, position in positions.items():
            behind = max(0, ends.get(number, position) - position)
            self._metrics.lag(number, behind, self._sender.lateness_s(number) if behind else 0.0)
        return None

    async def _look_at_log(self, numbers: list[int]) -> None:
        """Where one partition's log begins, at each look the next one's: it moves slowly, and each is a request."""
        if numbers:
            self._looks += 1
            number = numbers[self._looks % len(numbers)]
            self._metrics.log_start(number, await self._source.log_start(number))
