"""Owns the second reading of a range of a partition: what rebuilds state before the committed offset.

A consumer without a group, closed at the end; knows no group and commits nothing.
"""

import logging
import time
from collections.abc import AsyncGenerator
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from streamrnn.config import Settings
from streamrnn.kafka.client import client_options, deadline, start_client, stop_consumer
from streamrnn.kafka.reading import make_lean, to_records
from streamrnn.kafka.source import FETCH_WAIT_MS
from streamrnn.ticks import Record

log = logging.getLogger(__name__)

POLL_MS = 200
QUIET_S = 5.0
"""With neither records nor the log's end for this long, ask the broker whether it lives."""


async def read_range(
    settings: Settings, partition: int, start: int, stop: int, max_records: int
) -> AsyncGenerator[list[Record], None]:
    """Records of the input's partition with start <= offset < stop, lists of at most `max_records`.

    Ends at `stop` or at the log's end, whichever comes first; begins at the log's start when that lies
    beyond `start`. Close it early with `contextlib.aclosing`. BrokerUnavailable when nobody answers.
    """
    if start >= stop:
        return
    tp = TopicPartition(settings.input.topic, partition)
    consumer = AIOKafkaConsumer(**_options(settings))
    try:
        await start_client(consumer, settings.kafka, settings.kafka.request_timeout_ms / 1000)
        make_lean(consumer)
        reading = _Reading(settings, consumer, tp, stop)
        await reading.begin(start)
        while not reading.is_over():
            records = await reading.poll(max_records)
            if records:
                yield records
    finally:
        await stop_consumer(consumer)


class _Reading:
    """One pass over a range."""

    def __init__(self, settings: Settings, consumer: Any, tp: TopicPartition, stop: int) -> None:
        self._consumer = consumer
        self._tp = tp
        self._stop = stop
        self._deadline_s = settings.kafka.request_timeout_ms / 1000
        self._doing = f"reading {tp.topic}-{tp.partition} again"
        self._position = 0
        self._heard_s = time.monotonic()
        self._dry = False

    async def begin(self, start: int) -> None:
        """Assign and seek, not below the log's start: the embedded broker hangs there."""
        self._consumer.assign([self._tp])
        async with deadline(self._deadline_s, self._doing):
            first = (await self._consumer.beginning_offsets([self._tp]))[self._tp]
        if first > start:
            log.warning("%s: offsets %d to %d are gone", self._doing, start, min(first, self._stop) - 1)
        self._position = max(start, first)
        self._consumer.seek(self._tp, self._position)

    def is_over(self) -> bool:
        """At `stop`, or at the end of what may be read."""
        end = self._consumer.last_stable_offset(self._tp)
        return self._dry or self._position >= self._stop or (end is not None and self._position >= end)

    async def poll(self, max_records: int) -> list[Record]:
        """The next records below `stop`; moves the position over gaps and transaction markers too."""
        async with deadline(self._deadline_s, self._doing):
            batches = await self._consumer.getmany(self._tp, timeout_ms=POLL_MS, max_records=max_records)
            position = await self._consumer.position(self._tp)
        if position > self._position:
            self._position, self._heard_s = position, time.monotonic()
        elif time.monotonic() - self._heard_s > QUIET_S:
            await self._ask()
        return [record for record in to_records(batches) if record.offset < self._stop]

    async def _ask(self) -> None:
        """Quiet for long: the end of the log if the broker answers, else BrokerUnavailable."""
        async with deadline(self._deadline_s, self._doing):
            await self._consumer.end_offsets([self._tp])
        log.warning("%s: nothing comes at %d, taken as the end", self._doing, self._position)
        self._dry = True


def _options(settings: Settings) -> dict[str, Any]:
    return client_options(settings.kafka) | {
        "group_id": None,
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "isolation_level": "read_committed",
        "fetch_max_wait_ms": FETCH_WAIT_MS,
    }
