"""Owns how consumers and producers are closed whatever their state: bounded, and every future retrieved."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import errors as kafka_errors

from streamrnn.kafka.internals.ending import consumer_closers, consumer_tasks, fail_all, producer_tasks

CLOSE_DEADLINE_S = 5.0


async def stop_consumer(consumer: AIOKafkaConsumer, seconds: float = CLOSE_DEADLINE_S) -> None:
    """Leave the group and close, within `seconds` even when no broker answers."""
    if await _ended(consumer.stop(), seconds):
        return
    await cancel_all(consumer_tasks(consumer))
    for close in consumer_closers(consumer):
        await _ended(close(), 1.0)


async def stop_producer(producer: AIOKafkaProducer, seconds: float = CLOSE_DEADLINE_S) -> None:
    """Close a producer whatever its state: pending batches fail, every future is retrieved."""
    for future in fail_all(producer, kafka_errors.ProducerClosed()):
        _retrieve(future)
    if await _ended(producer.stop(), seconds):
        return
    await cancel_all(producer_tasks(producer))
    await _ended(producer.client.close(), 1.0)


async def cancel_all(tasks: list["asyncio.Task[Any]"]) -> None:
    """Cancel, wait a second at most, retrieve what they raised."""
    for task in tasks:
        task.cancel()
    if tasks:
        done, _ = await asyncio.wait(tasks, timeout=1.0)
        for task in done:
            _retrieve(task)


async def _ended(closing: Coroutine[Any, Any, None], seconds: float) -> bool:
    """Whether `closing` ended in order and in time; in a task of its own, for aiokafka lets the cancellation
    of its own tasks out, which would end ours."""
    task = asyncio.ensure_future(closing)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=1.0)
        _retrieve(task)
    return task.done() and not task.cancelled() and task.exception() is None


def _retrieve(future: "asyncio.Future[Any]") -> None:
    if future.done() and not future.cancelled():
        future.exception()
