"""Owns the reading of a whole topic as it grows, without a group: what a user's own consumer would see."""

from collections.abc import AsyncGenerator

from streamrnn.config import Settings
from streamrnn.kafka.client import client_options, mapped, start_client
from streamrnn.kafka.closing import stop_consumer
from streamrnn.kafka.membership import FETCH_WAIT_MS
from streamrnn.kafka.reading.records import LeanConsumer, to_records
from streamrnn.ticks import RecordColumns

POLL_MS = 50


async def tail(settings: Settings, topic: str) -> AsyncGenerator[RecordColumns, None]:
    """Records of every partition from the beginning on, for ever; empty ones while nothing comes.

    Close it with `contextlib.aclosing`. BrokerUnavailable when nobody answers.
    """
    options = client_options(settings.kafka) | {
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
        "isolation_level": "read_committed",
        "fetch_max_wait_ms": FETCH_WAIT_MS,
    }
    consumer = LeanConsumer(settings, topic, **options)
    try:
        await start_client(consumer, settings.kafka, settings.kafka.request_timeout_ms / 1000)
        while True:
            with mapped(f"reading {topic}"):
                batches = await consumer.getmany(timeout_ms=POLL_MS)
            yield to_records(batches)
    finally:
        await stop_consumer(consumer)
