"""Owns delivery exactly once: records and the offsets of their ticks in one transaction of the group's member.

One transactional producer for each worker, fenced by the generation of the group (KIP-447). aiokafka begins
transactions and adds partitions to them; offsets and the end go out from here, step by step. Knows no engine.

An EndTxn is sent once. Without an answer, or with another than success, the transaction's outcome is unknown: the
producer goes, and the next one, of the same transactional id, has the broker complete or abort what is pending
before it starts. So no EndTxn can reach a later transaction than its own (what KIP-890 is about). What stays of
that: a produce request that arrives when its transaction has ended; brokers refuse it since 3.6, older ones leave
a transaction hanging, which `kafka-transactions.sh find-hanging` shows.

Another worker of the same transactional id cuts this one off; then this one ends, for a next producer of its own
would cut off the other in turn. Whose transaction has outlived its timeout is cut off by the broker, and goes on.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from uuid import uuid4

from aiokafka import errors as kafka_errors
from aiokafka.client import CoordinationType
from aiokafka.protocol.api import Request
from aiokafka.protocol.transaction import AddOffsetsToTxnRequest, EndTxnRequest

from streamrnn.config import Settings
from streamrnn.errors import BrokerError, BrokerUnavailable, WorkerFenced
from streamrnn.kafka.client import deadline, foreign
from streamrnn.kafka.closing import CLOSE_DEADLINE_S
from streamrnn.kafka.internals.outgoing import Producer
from streamrnn.kafka.internals.transaction import BUSY, BUSY_S, Transaction
from streamrnn.kafka.marks import Mark, Membership
from streamrnn.kafka.membership import NamedHeartbeat, fenced, is_fenced
from streamrnn.kafka.offsets import STALE, raise_for
from streamrnn.kafka.reading.member import Source
from streamrnn.kafka.wire import FencedOffsetCommit, read_errors
from streamrnn.kafka.writing.interval import Publisher
from streamrnn.kafka.writing.producing import start_producer
from streamrnn.kafka.writing.unacknowledged import Bounds, Receipt
from streamrnn.ticks import OutRecord

log = logging.getLogger(__name__)

_BUSY = {BUSY, kafka_errors.GroupLoadInProgressError.errno}
"""The coordinator ends the transaction before, or reads what another has left: it has done nothing, and will."""
_FENCED_CODES = {kafka_errors.InvalidProducerEpoch.errno, 90}
_FENCED = (kafka_errors.ProducerFenced, kafka_errors.InvalidProducerEpoch)
_CUT_OFF = (*_FENCED, kafka_errors.InvalidTxnState)
_UNHEARD = (kafka_errors.KafkaError, OSError, TimeoutError)


class ExactlyOnce:
    """Delivery in transactions: read-committed readers see an interval's records with its offsets, or neither."""

    def __init__(self, settings: Settings, source: Source) -> None:
        kafka, delivery = settings.kafka, settings.delivery
        own = f"{kafka.group}.{kafka.group_instance_id or uuid4().hex}"
        self.transactional_id = delivery.transactional_id or own
        self._is_shareable = bool(delivery.transactional_id or kafka.group_instance_id)
        self._timeout_s, self._opened_s = delivery.transaction_timeout_ms / 1000, -math.inf
        self._settings, self._topic = settings, settings.input.topic
        self._member: Membership | None = None
        self._source = source
        # Once the broker has given a transaction up, waiting longer for it is in vain.
        self._deadline_s = min(kafka.request_timeout_ms, delivery.transaction_timeout_ms) / 1000
        self._publisher = Publisher(
            settings.output.batch_bytes, Bounds(self._deadline_s), self._make, before_queueing=self._open
        )

    async def start(self) -> None:
        """See Delivery; ends what an earlier producer of this transactional id has left pending."""
        await self._publisher.connect()

    async def stop(self) -> None:
        """See Delivery."""
        await self._end_interval()
        await self._publisher.discard()

    async def begin(self, member: Membership) -> None:
        """See Delivery; the transaction itself begins with what is sent or committed first."""
        self._member = member
        await self._publisher.begin()

    async def send(self, topic: str, records: Sequence[OutRecord]) -> Receipt:
        """See Delivery."""
        with self._telling():
            return await self._publisher.send(topic, records)

    def cut(self) -> None:
        """See Delivery; the producer has one transaction at a time, so nothing is sent before its end."""

    async def acknowledged(self) -> None:
        """See Delivery."""
        with self._telling():
            await self._publisher.acknowledged()

    async def commit(self, marks: Mapping[int, Mark]) -> None:
        """See Delivery; Rebalanced when the member of `begin` is of an older generation than the group."""
        with self._telling():
            # 1. Every record is in the log: aiokafka would commit a transaction some of whose batches have failed.
            # The offsets join meanwhile. Both are waited for, so that nothing of them is under way at an abort.
            ended = await asyncio.gather(
                self._publisher.acknowledged(), self._add_offsets(marks), return_exceptions=True
            )
            for error in ended:
                if error is not None:
                    raise error
            # 2. The broker is told once to commit. A second EndTxn might end a later transaction.
            async with self._committing():
                await self._end(is_commit=True)
        # 3. Records and offsets are readers' to see; the interval is over.
        self._publisher.close()

    async def abort(self) -> None:
        """See Delivery; a producer that is no longer any good is replaced at once, to settle what is pending.

        WorkerFenced when the group says that this worker's name is another's: the next producer would be too.
        """
        if await self._end_interval():
            return
        await self._check_name()
        await self._publisher.discard()
        try:
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await self._publisher.connect()
        except (BrokerError, TimeoutError) as error:
            log.warning("no new producer for %s yet: %s", self.transactional_id, error)

    # Steps

    async def _make(self, batch_bytes: int) -> Producer:
        timeout_ms = self._settings.delivery.transaction_timeout_ms
        options = {"transactional_id": self.transactional_id, "transaction_timeout_ms": timeout_ms}
        return await start_producer(self._settings, batch_bytes, **options)

    @property
    def _transaction(self) -> Transaction:
        producer = self._publisher.producer
        assert producer is not None, "begin comes before all else"
        assert producer.transaction is not None, "it was made with a transactional id"
        return producer.transaction

    def _open(self) -> None:
        """Begin the transaction unless it has begun; the broker hears of it with the first partition."""
        transaction = self._transaction
        if transaction.is_ready:
            transaction.begin()
            self._opened_s = time.monotonic()
        elif not transaction.is_open:
            error = transaction.failure()
            assert error is not None, "it has failed"
            raise foreign(error, "the transaction") from error

    async def _add_offsets(self, marks: Mapping[int, Mark]) -> None:
        """Add the marks to the transaction, refused where this member is of an older generation."""
        async with self._committing():
            self._open()
            if not marks:
                return
            assert self._member is not None, "begin comes before commit"
            group, ours = self._member.group, self._transaction.producer
            # 1. The transaction's coordinator learns that the group's offsets are part of it.
            added = AddOffsetsToTxnRequest(*ours, group)
            await self._ask(CoordinationType.TRANSACTION, self.transactional_id, added)
            self._transaction.group_added(group)
            # 2. The group's coordinator keeps the offsets pending, unless this member is of an older generation.
            commit = FencedOffsetCommit(*ours, self._member, self._topic, marks)
            await self._ask(CoordinationType.GROUP, group, commit)

    @asynccontextmanager
    async def _committing(self) -> AsyncIterator[None]:
        """A failure in here leaves the outcome unknown: the next producer settles it."""
        with self._publisher.spoiling():
            async with deadline(self._deadline_s, "committing the transaction"):
                yield

    async def _end(self, *, is_commit: bool) -> None:
        """Commit or abort what was begun; the broker is not asked for a transaction it has not heard of."""
        transaction = self._transaction
        if transaction.is_ready:
            return
        assert transaction.is_open
        if transaction.is_known:
            request = EndTxnRequest(*transaction.producer, is_commit)
            await self._ask(CoordinationType.TRANSACTION, self.transactional_id, request)
        transaction.ended(is_commit=is_commit)

    async def _ask(self, kind: CoordinationType, key: str, request: Request) -> None:
        """Send to a coordinator, once but for a broker that is busy; any other answer than success raises."""
        producer = self._publisher.producer
        assert producer is not None, "begin comes before all else"
        doing, is_busy = type(request).__name__, True
        while is_busy:
            try:
                response = await producer.ask(kind, key, request)
            except NotImplementedError as error:
                raise BrokerError(f"{doing}: delivery.guarantee exactly_once needs Kafka 2.5 or newer") from error
            codes = read_errors(response) if hasattr(response, "topics") else [response.error_code]
            code = next((code for code in codes if code), 0)
            if is_busy := code in _BUSY:
                await asyncio.sleep(BUSY_S)
        _check(code, doing)

    async def _end_interval(self) -> bool:
        """Abort what is open; whether the producer may go on. Never raises."""
        try:
            if not await self._publisher.give_up(CLOSE_DEADLINE_S):
                return False
            if self._publisher.producer is not None:
                async with deadline(CLOSE_DEADLINE_S, "aborting the transaction"):
                    await self._end(is_commit=False)
        except Exception as error:
            log.warning("%s: not aborted, its next producer does that: %s", self.transactional_id, error)
            return False
        return True

    async def _check_name(self) -> None:
        """Ask the group whether this worker still has its name: WorkerFenced if not; a group may not answer.

        It asks as who this worker is by now. As the interval's member, a worker that the group has lost for a while
        would take itself for another one, for it has joined anew under its name.
        """
        member, producer = self._source.place(), self._publisher.producer
        if member is None or member.instance_id is None or producer is None:
            return
        try:
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                answer = await producer.ask(CoordinationType.GROUP, member.group, NamedHeartbeat(member))
        except _UNHEARD as error:
            log.debug("group %s does not answer: %s", member.group, error)
            return
        if is_fenced(answer):
            raise fenced(member.group, member.instance_id)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Say why a broker has cut this producer off; WorkerFenced when another worker's start has done it."""
        try:
            yield
        except BrokerUnavailable as error:
            is_young = time.monotonic() - self._opened_s < self._timeout_s
            if self._is_shareable and is_young and _is_of(error, _FENCED):
                raise self._succeeded() from error
            if _is_of(error, _CUT_OFF):
                log.warning(
                    "transactional id %s was cut off: its transaction took longer than "
                    "delivery.transaction_timeout_ms (%g s)",
                    self.transactional_id,
                    self._timeout_s,
                )
            raise

    def _succeeded(self) -> WorkerFenced:
        kafka, given = self._settings.kafka, self._settings.delivery.transactional_id
        if given is None:
            return fenced(kafka.group, kafka.group_instance_id)
        return WorkerFenced(
            f"another worker uses the same delivery.transactional_id ({given!r}) and has cut this one off: "
            "give each worker an id of its own, or none"
        )


def _is_of(error: BaseException, kinds: tuple[type[BaseException], ...]) -> bool:
    """Whether an error comes of one of aiokafka's, at first or second hand."""
    cause = error.__cause__
    return isinstance(cause, kinds) or (cause is not None and isinstance(cause.__cause__, kinds))


def _check(code: int, doing: str) -> None:
    """Raise what the answer of a coordinator means; nothing for success."""
    if code in _FENCED_CODES:
        raise kafka_errors.ProducerFenced()
    if kafka_errors.for_code(code) is kafka_errors.UnknownError and code not in STALE:
        raise BrokerUnavailable(f"{doing}: the coordinator answered with code {code}")
    raise_for(code, doing)
