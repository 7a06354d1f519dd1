"""Owns how consumers and producers are closed whatever their state: bounded, and every future retrieved."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from aiokafka import errors as kafka_errors

CLOSE_DEADLINE_S = 5.0


async def stop_consumer(consumer: Any, seconds: float = CLOSE_DEADLINE_S) -> None:
    """Leave the group and close, within `seconds` even when no broker answers."""
    if await _ended(consumer.stop(), seconds):
        return
    coordinator, fetcher = consumer._coordinator, consumer._fetcher
    tasks = [getattr(coordinator, name, None) for name in _COORDINATOR_TASKS]
    await cancel_all([task for task in tasks if task is not None])
    await _close_rest([fetcher.close] if fetcher is not None else [], consumer._client)


_COORDINATOR_TASKS = ("_coordination_task", "_heartbeat_task", "_commit_refresh_task")


async def stop_producer(producer: Any, seconds: float = CLOSE_DEADLINE_S) -> None:
    """Close a producer whatever its state: pending batches fail, every future is retrieved."""
    accumulator, sender = producer._message_accumulator, producer._sender
    batches = [batch for queue in accumulator._batches.values() for batch in queue]
    batches += accumulator._pending_batches
    accumulator._pending_batches.update(batches)  # each takes itself out when it has failed
    accumulator.fail_all(kafka_errors.ProducerClosed())
    for batch in batches:
        _retrieve(batch.future)
        _retrieve(batch._drain_waiter)
    accumulator._batches.clear()  # else the sender might still send them
    accumulator.reenqueue = _forget  # for those that wait to be tried again
    numbers = producer._txn_manager
    if numbers is not None and numbers._transaction_waiter is not None:
        _retrieve(numbers._transaction_waiter)
    if sender.sender_task is not None:
        # All has failed already; without a transaction aiokafka's own callback for that breaks.
        sender.sender_task.remove_done_callback(sender._fail_all)
    if await _ended(producer.stop(), seconds):
        return
    await cancel_all([sender.sender_task] if sender.sender_task is not None else [])
    await _close_rest([], producer.client)


def _forget(batch: Any) -> None:
    """A batch that has failed with its producer is not to be sent."""


async def cancel_all(tasks: list["asyncio.Task[Any]"]) -> None:
    """Cancel, wait a second at most, retrieve what they raised."""
    for task in tasks:
        task.cancel()
    if tasks:
        done, _ = await asyncio.wait(tasks, timeout=1.0)
        for task in done:
            _retrieve(task)


async def _close_rest(closers: list[Any], client: Any) -> None:
    for close in [*closers, client.close]:
        await _ended(close(), 1.0)


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
