"""What this package uses of aiokafka's inside is there, as it was read. Needs no broker.

When this fails after an upgrade of aiokafka: read the changed code beside `streamrnn/kafka/internals`, mend what
relies on it, then this table.
"""

import ast
import asyncio
import gc
import inspect
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import aiokafka
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import READ_COMMITTED, Fetcher, FetchError, FetchResult, PartitionRecords
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import Assignment, SubscriptionState
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder, MessageAccumulator, MessageBatch
from aiokafka.producer.sender import AddPartitionsToTxnHandler, Sender
from aiokafka.producer.transaction_manager import TransactionManager
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.record.memory_records import MemoryRecords

from streamrnn.kafka import internals
from streamrnn.kafka.compiled.column_writer import ColumnWriter
from streamrnn.kafka.internals.answers import Part
from streamrnn.kafka.internals.consuming import brokers, end_fetch, is_connected, positions, speak_by
from streamrnn.kafka.internals.fetching import STAND_IN, FetchingConsumer, Records, _Waiting
from streamrnn.kafka.internals.open_batch import OpenBatch
from streamrnn.kafka.internals.transaction import Transaction

ROOM = Path(internals.__file__).parent
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Field(NamedTuple):
    """An attribute that the class's own code gives each object."""

    of: type
    name: str


class Method(NamedTuple):
    """A method that is called or replaced, and its parameters; further ones it has must have defaults."""

    of: type
    name: str
    takes: str


RELIED_ON: list[Field | Method] = [
    # open_batch.py
    Field(BatchBuilder, "_builder"),
    Field(BatchBuilder, "_relative_offset"),
    Method(BatchBuilder, "__init__", "self batch_size compression_type"),
    Method(BatchBuilder, "_set_producer_state", "self producer_id producer_epoch base_sequence"),
    Method(BatchBuilder, "size", "self"),
    # outgoing.py
    Field(AIOKafkaProducer, "_message_accumulator"),
    Field(AIOKafkaProducer, "_txn_manager"),
    Field(AIOKafkaProducer, "_sender"),
    Field(AIOKafkaProducer, "client"),
    Method(AIOKafkaProducer, "create_batch", "self"),
    Field(MessageAccumulator, "_batches"),
    Field(MessageAccumulator, "_batch_size"),
    Field(MessageAccumulator, "_compression_type"),
    Field(MessageAccumulator, "_batch_ttl"),
    Field(MessageAccumulator, "_waiter_future"),
    Field(MessageAccumulator, "_exception"),
    Method(MessageAccumulator, "_append_batch", "self builder tp"),
    Method(MessageBatch, "__init__", "self tp builder ttl linger_time"),
    Method(MessageBatch, "failure", "self exception"),
    Field(MessageBatch, "_builder"),
    Field(MessageBatch, "_drain_waiter"),
    Method(Sender, "_find_coordinator", "self coordinator_type coordinator_key"),
    # transaction.py
    Method(Sender, "_do_add_partitions_to_txn", "self tps"),
    Field(Sender, "_txn_manager"),
    Method(AddPartitionsToTxnHandler, "__init__", "self sender topic_partitions"),
    Method(AddPartitionsToTxnHandler, "handle_response", "self resp"),
    Field(TransactionManager, "state"),
    Method(TransactionManager, "begin_transaction", "self"),
    Method(TransactionManager, "is_in_transaction", "self"),
    Method(TransactionManager, "is_empty_transaction", "self"),
    Method(TransactionManager, "partitions_to_add", "self"),
    Method(TransactionManager, "maybe_add_partition_to_txn", "self tp"),
    Method(TransactionManager, "consumer_group_added", "self group_id"),
    Method(TransactionManager, "committing_transaction", "self"),
    Method(TransactionManager, "aborting_transaction", "self"),
    Method(TransactionManager, "complete_transaction", "self"),
    Method(TransactionManager, "wait_for_transaction_end", "self"),
    # ending.py
    Field(MessageAccumulator, "_pending_batches"),
    Method(MessageAccumulator, "fail_all", "self exception"),
    Method(MessageAccumulator, "reenqueue", "self batch"),
    Field(TransactionManager, "_transaction_waiter"),
    Method(Sender, "_fail_all", "self task"),
    Field(AIOKafkaConsumer, "_coordinator"),
    Field(AIOKafkaConsumer, "_fetcher"),
    Field(AIOKafkaConsumer, "_client"),
    Field(GroupCoordinator, "_coordination_task"),
    Field(GroupCoordinator, "_heartbeat_task"),
    Field(GroupCoordinator, "_commit_refresh_task"),
    # asking.py
    Method(AIOKafkaAdminClient, "_send_request", "self request node_id"),
    # fetching.py
    Method(AIOKafkaClient, "send", "self node_id request"),
    Field(Fetcher, "_records"),
    Field(Fetcher, "_fetch_waiters"),
    Field(FetchResult, "_partition_records"),
    Field(FetchResult, "_backoff"),
    Field(FetchResult, "_topic_partition"),
    Method(FetchResult, "getall", "self max_records"),
    Method(FetchResult, "check_assignment", "self tp"),
    Method(FetchResult, "has_more", "self"),
    Method(FetchResult, "_update_position", "self"),
    Method(Fetcher, "fetched_records", "self partitions timeout max_records"),
    Field(PartitionRecords, "_aborted_transactions"),
    Field(PartitionRecords, "next_fetch_offset"),
    Method(FetchError, "__init__", "self error backoff"),
    Method(FetchRequest, "__init__", "self max_wait_time min_bytes max_bytes isolation_level topics"),
    # consuming.py
    Field(AIOKafkaConsumer, "_subscription"),
    Field(SubscriptionState, "_fetch_count"),
    Method(Assignment, "state_value", "self tp"),
    Field(AIOKafkaClient, "_conns"),
    Method(AIOKafkaClient, "get_random_node", "self"),
    Field(GroupCoordinator, "generation"),
    Field(GroupCoordinator, "member_id"),
    Method(GroupCoordinator, "_send_req", "self request"),
    Method(GroupCoordinator, "ensure_coordinator_known", "self"),
    Method(GroupCoordinator, "coordinator_dead", "self"),
    Method(GroupCoordinator, "request_rejoin", "self"),
    Method(GroupCoordinator, "reset_generation", "self"),
    Field(HeartbeatRequest, "_group"),
    Field(HeartbeatRequest, "_generation_id"),
    Field(HeartbeatRequest, "_member_id"),
]
OURS = {
    "_reader", "_waiters", "_plainly", "_send_and_take", "_changed", "_take_all", "_aborted_at",
    "_fail", "_change_over", "_facts", "_accumulator", "_numbers", "_text", "_forget",
}  # fmt: skip
"""Private names of the room's own classes."""


def given(kind: type) -> set[str]:
    """The attributes that a class's methods set on `self`."""
    tree = ast.parse(inspect.getsource(kind))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"
    }


@pytest.mark.parametrize("relied", RELIED_ON, ids=lambda relied: f"{relied.of.__name__}.{relied.name}")
def test_what_is_relied_on_is_there(relied: Field | Method) -> None:
    if isinstance(relied, Field):
        assert relied.name in given(relied.of)
    else:
        parameters = list(inspect.signature(getattr(relied.of, relied.name)).parameters.values())
        takes = relied.takes.split()
        assert [parameter.name for parameter in parameters[: len(takes)]] == takes
        assert [each for each in parameters[len(takes) :] if each.default is inspect.Parameter.empty] == []


def private_names(source: str) -> Iterator[str]:
    """Attributes, imports and texts that begin with one underscore."""
    for node in ast.walk(ast.parse(source)):
        found: list[Any] = []
        if isinstance(node, ast.Attribute):
            found = [node.attr]
        elif isinstance(node, FUNCTIONS):
            found = [node.name]
        elif isinstance(node, ast.ImportFrom):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            found = [node.value]
        yield from (name for name in found if name.startswith("_") and not name.startswith("__"))


def test_every_private_name_of_the_room_is_named_here() -> None:
    used = {name for path in ROOM.glob("*.py") for name in private_names(path.read_text("utf-8"))}
    known = {relied.name for relied in RELIED_ON}
    assert used - known - OURS == set()
    private = {name for name in known if name.startswith("_") and not name.startswith("__")}
    assert private - used == {"_append_batch"}, "these are used no more; that one is replaced"


def test_the_docstrings_name_each_private_name_that_is_foreign() -> None:
    for path in ROOM.glob("*.py"):
        source = path.read_text("utf-8")
        documented = (*FUNCTIONS, ast.ClassDef, ast.Module)
        nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, documented)]
        said = " ".join(ast.get_docstring(node) or "" for node in nodes)
        own = {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, FUNCTIONS)}
        foreign = set(private_names(source)) - OURS - own
        assert {name for name in foreign if f"`{name}`" not in said} == set(), path


def test_the_room_was_checked_with_this_version_and_no_later_one_is_installed_unasked() -> None:
    assert aiokafka.__version__.rpartition(".")[0] == internals.CHECKED_WITH.rpartition(".")[0]
    project = (ROOM.parents[2] / "pyproject.toml").read_text("utf-8")
    assert "aiokafka>=0.14,<0.15" in project


def test_a_batch_here_has_our_writer() -> None:
    assert type(OpenBatch(99, 0, False)._builder) is ColumnWriter


async def test_a_transaction_goes_through_the_states_that_the_room_tells_of() -> None:
    numbers = TransactionManager("id", 1_000)
    transaction = Transaction(numbers)
    assert not transaction.is_ready
    numbers.set_pid_and_epoch(7, 1)
    assert transaction.is_ready
    assert transaction.producer == ("id", 7, 1)
    transaction.begin()
    assert (transaction.is_open, transaction.is_known, transaction.is_ready) == (True, False, False)
    transaction.group_added("g")
    assert transaction.is_known
    transaction.ended(is_commit=True)
    assert transaction.is_ready
    transaction.begin()
    numbers.error_transaction(OSError("gone"))
    assert not transaction.is_open
    assert isinstance(transaction.failure(), OSError)


class Numbers:
    """Records that are numbers, taken in columns that are ranges."""

    def __init__(self, start: int, stop: int) -> None:
        self.next_fetch_offset, self._stop, self.is_over = start, stop, False

    def take(self, most: int) -> range:
        begin, self.next_fetch_offset = self.next_fetch_offset, min(self._stop, self.next_fetch_offset + most)
        self.is_over = self.next_fetch_offset - begin < most
        return range(begin, self.next_fetch_offset)


def read_of(tp: TopicPartition, *, gives: Records | Exception) -> tuple[list[Any], Any]:
    """What an answer's reader is given, and what aiokafka finds in its place."""
    asked: list[Any] = []

    class Reader:
        async def arrived(self, node: int, tp: TopicPartition, offset: int, part: Part) -> Part:
            return part

        def read(self, tp: TopicPartition, start: int, aborted: list[tuple[int, int]]) -> Records | Exception:
            asked.extend([tp, start, aborted])
            return gives

    theirs = PartitionRecords(tp, MemoryRecords(STAND_IN), [(7, 3)], 5, None, None, False, READ_COMMITTED)
    waiting = _Waiting(Reader(), ())
    waiting[tp] = FetchResult(tp, assignment=None, partition_records=theirs, backoff=0.5)
    return asked, waiting[tp]


def test_an_answer_is_read_by_its_reader_in_place_of_aiokafka() -> None:
    tp, numbers = TopicPartition("t", 0), Numbers(5, 9)
    asked, result = read_of(tp, gives=numbers)
    assert asked == [tp, 5, [(7, 3)]]
    assert (type(result), result._partition_records) == (FetchResult, numbers)
    _, failed = read_of(tp, gives=ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        failed.check_raise()


class Fetched:
    """aiokafka's fetcher with answers that wait to be read, each by our reader, and no broker behind it."""

    def __init__(self, *answers: tuple[int, int]) -> None:
        self.subscription = SubscriptionState()
        self.tps = [TopicPartition("t", number) for number, _ in enumerate(answers)]
        self.subscription.assign_from_user(self.tps)
        self.assignment = self.subscription.subscription.assignment
        self.fetcher: Any = object.__new__(Fetcher)
        self.fetcher._subscriptions, self.fetcher._wait_consume_future = self.subscription, None
        for tp, (start, _) in zip(self.tps, answers, strict=True):
            self.assignment.state_value(tp).seek(start)
        readers = {tp: Numbers(*answer) for tp, answer in zip(self.tps, answers, strict=True)}
        reader = SimpleNamespace(read=lambda tp, start, aborted: readers[tp])
        self.fetcher._records = _Waiting(reader, ())  # type: ignore[arg-type]
        for tp in self.tps:
            self.answer(tp, readers[tp].next_fetch_offset)

    def answer(self, tp: TopicPartition, start: int) -> None:
        theirs = PartitionRecords(tp, MemoryRecords(STAND_IN), [], start, None, None, False, READ_COMMITTED)
        self.fetcher._records[tp] = FetchResult(
            tp, assignment=self.assignment, partition_records=theirs, backoff=0.5
        )

    async def take(self, most: int | None, *tps: TopicPartition) -> dict[int, list[int]]:
        got = await self.fetcher.fetched_records(tps, 0, max_records=most)
        assert all(type(columns) is range for columns in got.values())
        return {tp.partition: list(columns) for tp, columns in got.items()}

    @property
    def positions(self) -> list[int]:
        return [self.assignment.state_value(tp).position for tp in self.tps]


async def test_the_fetcher_gives_what_a_reader_took_and_knows_how_far_it_is() -> None:
    fetched = Fetched((5, 9), (0, 4))
    assert await fetched.take(3) == {0: [5, 6, 7]}
    assert fetched.positions == [8, 0]
    assert await fetched.take(3) == {0: [8], 1: [0, 1]}
    assert fetched.positions == [9, 2]
    assert list(fetched.fetcher._records) == fetched.tps[1:]
    assert await fetched.take(2) == {1: [2, 3]}
    assert await fetched.take(2) == {}
    assert fetched.positions == [9, 4]
    assert not fetched.fetcher._records


async def test_who_names_no_limit_gets_all_that_waits() -> None:
    fetched = Fetched((5, 9000), (0, 4))
    assert {number: len(given) for number, given in (await fetched.take(None)).items()} == {0: 8995, 1: 4}
    assert not fetched.fetcher._records


async def test_the_fetcher_drops_an_answer_whose_partition_was_paused_sought_or_not_asked_for() -> None:
    fetched = Fetched((5, 9), (0, 4), (0, 2))
    assert await fetched.take(9, fetched.tps[2]) == {2: [0, 1]}
    fetched.assignment.state_value(fetched.tps[0]).seek(6)
    fetched.subscription.pause(fetched.tps[1])
    assert await fetched.take(9) == {}
    assert fetched.positions == [6, 0, 2]
    assert not fetched.fetcher._records


async def test_an_error_behind_records_is_raised_once_they_were_given() -> None:
    fetched = Fetched((5, 9))
    lost = fetched.fetcher._records[TopicPartition("t", 7)] = FetchError(error=ValueError("no"), backoff=0)
    assert lost.calculate_backoff() == 0
    assert await fetched.take(9) == {0: [5, 6, 7, 8]}
    with pytest.raises(ValueError, match="no"):
        await fetched.take(9)


async def test_an_answer_that_nobody_reads_lives_no_longer_than_its_fetcher_holds_it() -> None:
    fetched = Fetched((5, 9))
    result = weakref.ref(fetched.fetcher._records[fetched.tps[0]])
    gc.disable()
    try:
        fetched.fetcher._records.clear()
        assert result() is None
    finally:
        gc.enable()


async def test_who_waits_for_answers_wakes_as_they_come_in() -> None:
    waiters = {asyncio.get_running_loop().create_future() for _ in range(2)}
    reader = SimpleNamespace(read=lambda tp, start, aborted: Numbers(5, 9))
    waiting = _Waiting(reader, waiters)  # type: ignore[arg-type]
    for number in range(2):
        waiting[TopicPartition("t", number)] = FetchError(error=ValueError("no"), backoff=0)
    assert all(waiter.done() for waiter in waiters)


def test_the_stand_in_for_an_answer_holds_nothing() -> None:
    tp = TopicPartition("t", 0)
    assert list(PartitionRecords(tp, MemoryRecords(STAND_IN), [], 5, None, None, False, READ_COMMITTED)) == []


async def test_a_consumer_speaks_and_fetches_as_it_was_told() -> None:
    """aiokafka makes the client and the fetcher itself: both are changed afterwards."""
    consumer = FetchingConsumer(bootstrap_servers="127.0.0.1:1")
    assert (type(consumer._client), consumer._fetcher) == (AIOKafkaClient, None)
    said: list[int] = []
    voice = SimpleNamespace(hear=said.append, heartbeat=lambda *who: None)
    speak_by(consumer, voice)
    assert isinstance(consumer._client, AIOKafkaClient)
    assert (is_connected(consumer), brokers(consumer)) == (False, [])
    consumer._subscription.subscribe(topics={"t"})
    assert positions(consumer, [TopicPartition("t", 0)]) == {}
    consumer._subscription._fetch_count = 3
    end_fetch(consumer)
    assert consumer._subscription.fetcher_idle_time > 0
    await consumer.stop()


async def test_an_answer_that_a_quota_holds_back_is_an_error_of_kafka_s() -> None:
    consumer = object.__new__(FetchingConsumer)
    consumer._closed = True

    async def held_back(node: int, request: object) -> SimpleNamespace:
        return SimpleNamespace(API_VERSION=11, topics=[])

    consumer._plainly = held_back  # type: ignore[assignment, method-assign]
    with pytest.raises(KafkaError):
        await consumer.fetch_once(0, TopicPartition("t", 0), 5, 1)
