"""Owns what must be reached inside aiokafka's clients so that they end whatever their state.

Their own `stop` waits for brokers that do not answer, and leaves tasks and futures behind. Knows no deadline.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

Future = asyncio.Future[Any]
Task = asyncio.Task[Any]
_COORDINATOR_TASKS = ("_coordination_task", "_heartbeat_task", "_commit_refresh_task")


def fail_all(producer: AIOKafkaProducer, error: Exception) -> list[Future]:
    """Fail all that a producer has not sent or not heard of, for good; gives the futures that now hold the error.

    Relies on `_message_accumulator`: its `_batches`, which wait, its `_pending_batches`, which are under way, its
    `fail_all` and `reenqueue`; on `_drain_waiter` of a batch; on `_txn_manager` and its `_transaction_waiter`; and
    on `_fail_all`, the callback that the sender has set on its own task.
    """
    queue, sender, numbers = producer._message_accumulator, producer._sender, producer._txn_manager
    batches = [batch for each in queue._batches.values() for batch in each] + list(queue._pending_batches)
    # 1. A batch that waits to be tried again takes itself out of those under way when it fails: it must be there.
    queue._pending_batches.update(batches)
    queue.fail_all(error)
    # 2. Nothing that has failed is sent after all.
    queue._batches.clear()
    queue.reenqueue = _forget
    # 3. All has failed already; without a transaction the sender's own callback for that breaks.
    if sender.sender_task is not None:
        sender.sender_task.remove_done_callback(sender._fail_all)
    futures = [future for batch in batches for future in (batch.future, batch._drain_waiter)]
    if numbers is not None and numbers._transaction_waiter is not None:
        futures.append(numbers._transaction_waiter)
    return futures


def _forget(batch: object) -> None:
    """In place of `reenqueue`, which would have the batch be sent again."""


def producer_tasks(producer: AIOKafkaProducer) -> list[Task]:
    """The task of a producer that its `stop` waits for; relies on `_sender`."""
    task: Task | None = producer._sender.sender_task
    return [] if task is None else [task]


def consumer_tasks(consumer: AIOKafkaConsumer) -> list[Task]:
    """The tasks of a consumer that its `stop` waits for; relies on `_coordinator` and three fields of it:
    `_coordination_task`, `_heartbeat_task` and `_commit_refresh_task`.
    """
    tasks: list[Task | None] = [getattr(consumer._coordinator, name, None) for name in _COORDINATOR_TASKS]
    return [task for task in tasks if task is not None]


def consumer_closers(consumer: AIOKafkaConsumer) -> list[Callable[[], Coroutine[Any, Any, None]]]:
    """What is left to close once these are cancelled; relies on `_fetcher`, None before a start, and `_client`."""
    fetching = [] if consumer._fetcher is None else [consumer._fetcher.close]
    return [*fetching, consumer._client.close]
