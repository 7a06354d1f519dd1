"""Owns a group's committed offsets: how they are read, stable ones only, and how a member writes its own.

Read through a consumer's coordinator, or by anyone with `committed_marks`. Knows no record.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka import errors as kafka_errors
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.api import Request, Response

from streamrnn.config import Settings
from streamrnn.errors import Rebalanced, Unsettled
from streamrnn.kafka.client import client_options, deadline, start_client
from streamrnn.kafka.internals.asking import ask_broker
from streamrnn.kafka.internals.consuming import ask_coordinator, lose_coordinator, rejoin
from streamrnn.kafka.marks import Mark, Membership
from streamrnn.kafka.membership import MemberOffsetCommit, fenced, is_fenced
from streamrnn.kafka.wire import StableOffsetFetch, read_errors, read_offsets

T = TypeVar("T")
Ask = Callable[[Request], Awaitable[Response]]
"""Sends a request to the group's coordinator, gives its answer."""

RETRY_S = 0.1
SETTLE_S, LOOK_AGAIN_S = 0.5, 0.01
"""A transaction that has been committed is pending for some more milliseconds: so long is that waited for."""
_REJOINING = 27
STALE = {22, 25, _REJOINING}
"""Illegal generation, unknown member, rebalance in progress: not a member of now."""
_UNSTABLE = 88
_MOVED = (kafka_errors.NotCoordinatorForGroupError, kafka_errors.GroupCoordinatorNotAvailableError)


def raise_for(code: int, doing: str) -> None:
    """Nothing for 0; Rebalanced or Unsettled where the code says so, else aiokafka's error for it."""
    if code in STALE:
        raise Rebalanced(f"{doing}: refused, the group is rebalancing or has moved on (code {code})")
    if code == _UNSTABLE:
        raise Unsettled(f"{doing}: a transaction of this or another worker is pending there")
    if code:
        raise kafka_errors.for_code(code)(f"code {code}")


async def fetch_marks(ask: Ask, group: str, topic: str, partitions: Collection[int]) -> dict[int, Mark | None]:
    """One question for the committed offsets; None where there never was one."""
    response = await ask(StableOffsetFetch(group, topic, sorted(partitions)))
    raise_for(getattr(response, "error_code", 0), f"group {group}")
    marks: dict[int, Mark | None] = {}
    for partition, offset, metadata, code in read_offsets(response):
        raise_for(code, f"group {group} on {topic}-{partition}")
        marks[partition] = Mark(offset, metadata) if offset >= 0 else None
    return marks


class GroupOffsets:
    """The offsets of the input topic as a member of the group reads and writes them."""

    def __init__(self, consumer: AIOKafkaConsumer, settings: Settings) -> None:
        self._consumer = consumer
        self._group, self._topic = settings.kafka.group, settings.input.topic
        self._deadline_s = settings.kafka.request_timeout_ms / 1000

    async def committed(self, partition: int) -> Mark | None:
        """See Source.committed."""

        async def attempt() -> Mark | None:
            return (await fetch_marks(self._ask, self._group, self._topic, [partition]))[partition]

        async with deadline(self._deadline_s, f"reading the committed offset of {self._topic}-{partition}"):
            return await _insist(attempt, partial(lose_coordinator, self._consumer))

    async def commit(self, member: Membership, marks: Mapping[int, Mark]) -> None:
        """Commit as `member`, who may be of the past by now: then the broker refuses, Rebalanced. WorkerFenced
        when another has its name."""
        request = MemberOffsetCommit(member, self._topic, marks)

        async def attempt() -> None:
            answer = await self._ask(request)
            if is_fenced(answer):
                raise fenced(member.group, member.instance_id)
            for code in read_errors(answer):
                if code in STALE:
                    rejoin(self._consumer, member.generation, is_known=code == _REJOINING)
                raise_for(code, f"committing {self._topic}")

        async with deadline(self._deadline_s, f"committing {self._topic}"):
            await _insist(attempt, partial(lose_coordinator, self._consumer))

    async def _ask(self, request: Request) -> Response:
        return await ask_coordinator(self._consumer, request)


async def committed_marks(settings: Settings, partitions: Collection[int]) -> dict[int, Mark | None]:
    """What the group has committed on partitions of the input topic, asked from outside of it.

    None where it never did. Unsettled while a transaction is pending on one of them, BrokerUnavailable when
    nobody answers.
    """
    kafka, seconds = settings.kafka, settings.kafka.request_timeout_ms / 1000
    client = AIOKafkaAdminClient(**client_options(kafka))

    async def ask(request: Request) -> Response:
        return await ask_broker(client, request, await client.find_coordinator(kafka.group))

    try:
        await start_client(client, kafka, seconds)
        async with deadline(seconds, f"reading the committed offsets of {settings.input.topic}"):
            return await _insist(lambda: fetch_marks(ask, kafka.group, settings.input.topic, partitions))
    finally:
        await client.close()


async def _insist(attempt: Callable[[], Awaitable[T]], moved: Callable[[], None] = lambda: None) -> T:
    """Try until it succeeds or fails for good, which the caller's deadline bounds; `moved` when the coordinator is
    another one now."""
    end = time.monotonic() + SETTLE_S
    while True:
        try:
            return await attempt()
        except Unsettled:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(LOOK_AGAIN_S)
            continue
        except kafka_errors.KafkaError as error:
            if not error.retriable:
                raise
            if isinstance(error, _MOVED):
                moved()
        await asyncio.sleep(RETRY_S)
