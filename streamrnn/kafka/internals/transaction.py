"""Owns aiokafka's idea of a transaction, which it begins and adds partitions to; offsets and the end are ours.

Knows no broker's answers but the one to AddPartitionsToTxn.
"""

from collections.abc import Collection
from typing import Protocol

from aiokafka import TopicPartition
from aiokafka import errors as kafka_errors
from aiokafka.client import CoordinationType
from aiokafka.producer.sender import AddPartitionsToTxnHandler, Sender
from aiokafka.producer.transaction_manager import TransactionState
from aiokafka.protocol.api import Response

BUSY_S = 0.002
"""Pause before asking again while the broker still ends the transaction before."""
BUSY = kafka_errors.ConcurrentTransactions.errno


class _Waiter(Protocol):
    def exception(self) -> BaseException | None: ...


class _Numbers(Protocol):
    """What is called of aiokafka's TransactionManager."""

    transactional_id: str
    state: TransactionState

    @property
    def producer_id(self) -> int: ...
    @property
    def producer_epoch(self) -> int: ...
    def begin_transaction(self) -> None: ...
    def is_in_transaction(self) -> bool: ...
    def is_empty_transaction(self) -> bool: ...
    def partitions_to_add(self) -> Collection[TopicPartition]: ...
    def consumer_group_added(self, group_id: str) -> None: ...
    def committing_transaction(self) -> None: ...
    def aborting_transaction(self) -> None: ...
    def complete_transaction(self) -> None: ...
    def wait_for_transaction_end(self) -> _Waiter: ...


class Transaction:
    """The state that aiokafka keeps of a producer's transactions.

    Replaces `send_offsets_to_transaction`, `commit_transaction` and `abort_transaction`: who has sent the request
    tells aiokafka of it here. Relies on the methods of `TransactionManager` that are in `_Numbers`.
    """

    def __init__(self, numbers: _Numbers) -> None:
        self._numbers = numbers

    @property
    def producer(self) -> tuple[str, int, int]:
        """Transactional id, producer id and epoch, with which each request of a transaction begins."""
        numbers = self._numbers
        return numbers.transactional_id, numbers.producer_id, numbers.producer_epoch

    @property
    def is_ready(self) -> bool:
        """Whether the next transaction may begin."""
        return self._numbers.state is TransactionState.READY

    @property
    def is_open(self) -> bool:
        """Whether a transaction has begun and neither failed nor ended."""
        return self._numbers.is_in_transaction()

    @property
    def is_known(self) -> bool:
        """Whether the broker has heard of the open transaction."""
        assert not self._numbers.partitions_to_add(), "all is acknowledged"
        return not self._numbers.is_empty_transaction()

    def begin(self) -> None:
        """Begin a transaction; the broker hears of it with the first partition."""
        self._numbers.begin_transaction()

    def failure(self) -> BaseException | None:
        """What the transaction failed with."""
        return self._numbers.wait_for_transaction_end().exception()

    def group_added(self, group: str) -> None:
        """The broker knows that offsets of this group belong to the transaction."""
        self._numbers.consumer_group_added(group)

    def ended(self, *, is_commit: bool) -> None:
        """The transaction is over; the next may begin."""
        (self._numbers.committing_transaction if is_commit else self._numbers.aborting_transaction)()
        self._numbers.complete_transaction()


class _AddPartitions(AddPartitionsToTxnHandler):  # type: ignore[misc]
    """aiokafka's, which would wait 20 or 100 ms while the broker still ends the transaction before.

    Relies on `handle_response`, which gives the pause before the next try, None for success.
    """

    def handle_response(self, answer: Response) -> float | None:
        pause: float | None = super().handle_response(answer)
        is_busy = any(code == BUSY for _, partitions in answer.errors for _, code in partitions)
        return BUSY_S if pause is not None and is_busy else pause


class PromptSender(Sender):  # type: ignore[misc]
    """aiokafka's sender, but for that pause.

    Replaces `_do_add_partitions_to_txn`, which names the handler. Relies on `_find_coordinator` and `_txn_manager`.
    """

    async def _do_add_partitions_to_txn(self, tps: Collection[TopicPartition]) -> bool:
        node = await self._find_coordinator(CoordinationType.TRANSACTION, self._txn_manager.transactional_id)
        return bool(await _AddPartitions(self, tps).do(node))
