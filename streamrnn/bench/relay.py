"""Owns the bench's two yardsticks on a broker: a relay that only moves batches, and the loop people write by hand.

Both report what the broker acknowledged. Knows no model: what the loop does with a message is passed in.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from streamrnn.config import Settings
from streamrnn.kafka.client import client_options, mapped, start_client
from streamrnn.kafka.closing import stop_consumer, stop_producer

POLL_MS = 50
BATCHES_AHEAD = 8
"""Batches the relay may have sent and not seen acknowledged."""
MESSAGES_AHEAD = 1000
"""Messages the loop may have sent and not seen acknowledged."""

Published = Callable[[Sequence[int]], None]
"""Told the input timestamps (ms) of records whose output the broker has acknowledged."""
Predict = Callable[[bytes, bytes], bytes]
"""Key and value of a tick to the value of its prediction."""


async def relay(settings: Settings, published: Published) -> None:
    """Copy input to output, getmany -> send_batch, same partition, until cancelled."""
    limit = settings.input.max_poll_records
    sent: deque[asyncio.Future[Any]] = deque()
    async with _clients(settings) as (consumer, producer):
        while True:
            polled = await consumer.getmany(timeout_ms=POLL_MS, max_records=limit)
            for tp, records in polled.items():
                for batch, taken in _batches(producer, records):
                    future = await producer.send_batch(batch, settings.output.topic, partition=tp.partition)
                    _report(future, published, taken)
                    sent.append(future)
            while len(sent) > BATCHES_AHEAD:
                await sent.popleft()


def _batches(producer: AIOKafkaProducer, records: Sequence[Any]) -> Iterator[tuple[Any, Sequence[Any]]]:
    """Closed batches with the records in each."""
    first = 0
    while first < len(records):
        batch, last = producer.create_batch(), first
        for record in records[first:]:
            if batch.append(timestamp=record.timestamp, key=record.key, value=record.value) is None:
                break
            last += 1
        batch.close()
        yield batch, records[first:last]
        first = last


def _report(future: "asyncio.Future[Any]", published: Published, records: Sequence[Any]) -> None:
    """Tell `published` when the broker acknowledges; a failure is raised where the future is awaited."""

    def on_done(done: "asyncio.Future[Any]") -> None:
        if not done.cancelled() and done.exception() is None:
            published([record.timestamp for record in records])

    future.add_done_callback(on_done)


async def loop_by_hand(settings: Settings, predict: Predict, published: Published) -> None:
    """One message at a time: predict, send, await the future a thousand messages later; until cancelled."""
    sent: deque[asyncio.Future[Any]] = deque()
    async with _clients(settings) as (consumer, producer):
        async for record in consumer:
            value = predict(record.key, record.value)
            future = await producer.send(settings.output.topic, value, record.key, partition=record.partition)
            _report(future, published, [record])
            sent.append(future)
            if len(sent) > MESSAGES_AHEAD:
                await sent.popleft()


@asynccontextmanager
async def _clients(settings: Settings) -> AsyncIterator[tuple[AIOKafkaConsumer, AIOKafkaProducer]]:
    """A consumer of the whole input without a group, and a producer as the service's."""
    seconds = settings.kafka.request_timeout_ms / 1000
    reading = {"auto_offset_reset": "earliest", "enable_auto_commit": False, "fetch_max_wait_ms": POLL_MS}
    writing = {
        "acks": "all",
        "enable_idempotence": settings.kafka.acks_idempotent,
        "max_batch_size": settings.output.batch_bytes,
        "max_request_size": settings.output.batch_bytes,
    }
    consumer = AIOKafkaConsumer(settings.input.topic, **client_options(settings.kafka), **reading)
    producer = AIOKafkaProducer(**client_options(settings.kafka), **writing)
    try:
        await start_client(consumer, settings.kafka, seconds)
        await start_client(producer, settings.kafka, seconds)
        with mapped(f"copying {settings.input.topic}"):
            yield consumer, producer
    finally:
        await stop_consumer(consumer)
        await stop_producer(producer)
