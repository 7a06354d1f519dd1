"""Owns how answers to a consumer's fetches are taken out before aiokafka reads them, and who reads them instead.

aiokafka makes an object of each record, and asks for ever for what cannot be read. Knows no batch and no record.
"""

import asyncio
import sys
import weakref
from collections import OrderedDict
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchError, FetchResult
from aiokafka.errors import KafkaError
from aiokafka.protocol.api import Request, Response
from aiokafka.protocol.fetch import FetchRequest

from streamrnn.kafka.internals.answers import Part, read_part, with_part

STAND_IN = bytes(8) + (49).to_bytes(4, "big") + bytes(4) + b"\2" + bytes(44)
"""A batch of nothing, for aiokafka to look at."""
TURNS = 3
"""Of the event loop for which a fetch gives way: as many as lie between a record in a producer and its request."""


class Records(Protocol):
    """The records of an answer, and the offset to fetch from next; `is_over` once all were taken."""

    next_fetch_offset: int
    is_over: bool

    def take(self, most: int) -> Sequence[Any]:
        """The next records, at most so many, for `getmany` to give as they are."""


class AnswerReader(Protocol):
    """Who reads answers instead of aiokafka."""

    async def arrived(self, node: int, tp: TopicPartition, offset: int, part: Part) -> Part:
        """What aiokafka is to see of an answer to a fetch from `offset`: STAND_IN for data that is to be read."""

    def read(self, tp: TopicPartition, start: int, aborted: list[tuple[int, int]]) -> Records | Exception:
        """The records behind a STAND_IN, from `start` on, or what `getmany` is to raise."""


class FetchingConsumer(AIOKafkaConsumer):  # type: ignore[misc]
    """aiokafka's consumer, whose `getmany` gives what an `AnswerReader` reads. `read_by` names the reader.

    Replaces the client's `send` in this one object: of its own consumer class aiokafka makes the client itself.
    Relies on `_client`, and on `_fetcher`, None before a start, with `_records`, where it puts the answers that
    wait to be read, and `_fetch_waiters`, futures for which whoever waits in `getmany` waits.
    """

    def read_by(self, reader: AnswerReader) -> None:
        """Have answers be read by `reader`; to be called before `start`."""
        self._reader = reader
        self._client.send = self._send_and_take

    async def start(self) -> None:
        """See AIOKafkaConsumer; what it has fetched so far comes again."""
        await super().start()
        self._fetcher._records = _Waiting(self._reader, self._fetcher._fetch_waiters)

    async def fetch_once(self, node: int, tp: TopicPartition, offset: int, most_bytes: int) -> Part:
        """What a broker has at `offset`, at once: at least one batch, and then at most so many bytes.

        KafkaError where it does not answer, or with nothing at all, as when this client has used up its quota.
        """
        wanted = [(tp.topic, [(tp.partition, offset, most_bytes)])]
        response = await self._plainly(node, FetchRequest(0, 1, most_bytes, READ_COMMITTED, wanted))
        if not response.topics:
            raise KafkaError(f"node {node} holds its answers back (a quota?)")
        return read_part(response.API_VERSION, response.topics[0][1][0])

    async def _plainly(self, node: int, request: Request, **where: Any) -> Response:
        """The client's own `send`, of whatever class the client is by now."""
        return await type(self._client).send(self._client, node, request, **where)

    async def _send_and_take(self, node: int, request: Request, **where: Any) -> Response:
        if isinstance(request, FetchRequest):
            for _ in range(TURNS):
                await asyncio.sleep(0)
        response = await self._plainly(node, request, **where)
        if isinstance(request, FetchRequest):
            asked = {(topic, number): at for topic, parts in request.topics for number, at, _ in parts}
            version, taken = response.API_VERSION, []
            for topic, parts in response.topics:
                offsets = [asked[topic, fields[0]] for fields in parts]
                tps = [TopicPartition(topic, fields[0]) for fields in parts]
                taken.append((topic, [
                    with_part(version, fields, await self._reader.arrived(node, tp, at, read_part(version, fields)))
                    for tp, at, fields in zip(tps, offsets, parts, strict=True)
                ]))  # fmt: skip
            response.topics = taken
        return response


class _Waiting(OrderedDict[TopicPartition, Any]):
    """In place of the fetcher's `_records`: changes each answer's reader as it comes in, and wakes who waits.

    Relies on FetchResult's `_partition_records` and `_backoff`, on the `_aborted_transactions` of the former, and
    on `fetched_records`, which calls `getall` and asks for no more of what that gives than its length.
    """

    def __init__(self, reader: AnswerReader, waiters: Collection["asyncio.Future[None]"]) -> None:
        super().__init__()
        self._reader, self._waiters = reader, waiters

    def __setitem__(self, tp: TopicPartition, result: Any) -> None:
        super().__setitem__(tp, self._changed(tp, result) if type(result) is FetchResult else result)
        # The fetcher would wake them after it has looked for what to fetch, and found this not yet taken.
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _changed(self, tp: TopicPartition, result: Any) -> Any:
        theirs = result._partition_records
        ours = self._reader.read(tp, theirs.next_fetch_offset, theirs._aborted_transactions)
        if isinstance(ours, Exception):
            return FetchError(error=ours, backoff=result._backoff)
        result._partition_records = ours
        # A proxy, lest the answer lives in a circle until the collector comes by.
        result.getall = partial(_take_all, weakref.proxy(result))
        return result


def _take_all(result: Any, most: int | None = None) -> Sequence[Any]:
    """In place of FetchResult's `getall`, which makes a list record by record; decides as that does.

    Relies on its `_topic_partition`, `_partition_records` and `_update_position`.
    """
    # Nothing is given, and the answer dropped, where the partition was paused, sought or taken away meanwhile.
    if not result.check_assignment(result._topic_partition) or not result.has_more():
        return ()
    records = result._partition_records
    taken: Sequence[Any] = records.take(sys.maxsize if most is None else most)
    result._update_position()
    if records.is_over:  # the fetcher sees that there is no more, and asks the broker
        result._partition_records = None
    return taken
