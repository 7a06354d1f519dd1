"""A group's committed offsets: how stable ones are read, and how a member writes its own. Knows no record.

A member reads them through its consumer's coordinator; anybody else reads them by `committed_marks`. To read:

1. Ask the coordinator for stable offsets only. An offset that a pending transaction may still move is no answer.
2. Refuse the whole answer where one partition's code is not 0: a part of the offsets is no state to start from.
3. While a transaction is pending, ask again for SETTLE_S: a committed one is pending for some milliseconds more.
4. Where the coordinator has moved, forget it and ask the next one, until the caller's deadline.

To commit:

1. Commit as the member that stepped these ticks, also where this worker is another member by now.
2. Another worker has the name: WorkerFenced, before anything joins anew.
3. The member is of the past: join anew, then Rebalanced, and the caller does the interval again.
4. Where the coordinator has moved, forget it and ask the next one, until the deadline.
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
    """Raise what an error code means: Rebalanced, Unsettled, or aiokafka's error for the code; nothing for 0."""
    if code in STALE:
        raise Rebalanced(f"{doing}: refused, the group is rebalancing or has moved on (code {code})")
    if code == _UNSTABLE:
        raise Unsettled(f"{doing}: a transaction of this or another worker is pending there")
    if code:
        raise kafka_errors.for_code(code)(f"code {code}")


async def fetch_marks(ask: Ask, group: str, topic: str, partitions: Collection[int]) -> dict[int, Mark | None]:
    """Ask once for the committed offsets; None for a partition without one."""
    # To read, 1. stable offsets only
    response = await ask(StableOffsetFetch(group, topic, sorted(partitions)))
    # 2. no part of an answer
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
        """The committed offset of a partition, None without one; see Source.committed."""

        async def attempt() -> Mark | None:
            return (await fetch_marks(self._ask, self._group, self._topic, [partition]))[partition]

        async with deadline(self._deadline_s, f"reading the committed offset of {self._topic}-{partition}"):
            return await _insist(attempt, partial(lose_coordinator, self._consumer))

    async def commit(self, member: Membership, marks: Mapping[int, Mark]) -> None:
        """Commit as `member`.

        Rebalanced where the member is of the past by now, WorkerFenced where another worker has its name.
        """
        # To commit, 1. as who stepped, not as who this worker is now: the broker must see the difference
        request = MemberOffsetCommit(member, self._topic, marks)

        async def attempt() -> None:
            answer = await self._ask(request)
            if is_fenced(answer):  # 2. goes before step 3, for joining anew would take the name back
                raise fenced(member.group, member.instance_id)
            for code in read_errors(answer):
                if code in STALE:  # 3. aiokafka does not see this answer, so its coordinator is told
                    rejoin(self._consumer, member.generation, is_known=code == _REJOINING)
                raise_for(code, f"committing {self._topic}")

        async with deadline(self._deadline_s, f"committing {self._topic}"):
            await _insist(attempt, partial(lose_coordinator, self._consumer))

    async def _ask(self, request: Request) -> Response:
        return await ask_coordinator(self._consumer, request)


async def committed_marks(settings: Settings, partitions: Collection[int]) -> dict[int, Mark | None]:
    """The offsets that the group has committed on partitions of the input topic, asked from outside the group.

    None for a partition without one. Unsettled while a transaction is pending on one of them, BrokerUnavailable
    where nobody answers.
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
    """Try until an attempt succeeds or fails for good. The caller's deadline bounds this.

    moved: called where the coordinator is another one now.
    """
    end = time.monotonic() + SETTLE_S
    while True:
        try:
            return await attempt()
        except Unsettled:  # 3. of reading: the transaction may be about to settle
            if time.monotonic() > end:
                raise
            await asyncio.sleep(LOOK_AGAIN_S)
            continue
        except kafka_errors.KafkaError as error:
            if not error.retriable:
                raise
            if isinstance(error, _MOVED):  # 4. else the next question goes to who can no longer answer
                moved()
        await asyncio.sleep(RETRY_S)
