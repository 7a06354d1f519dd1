"""Owns aiokafka's private ways in: how what it fetches becomes our records, and what is unreadable stops nobody.

A `LeanConsumer` takes the bytes out of each fetch before aiokafka looks at them, and yields `Record` from `getmany`
at a third of the price of aiokafka's own objects. Other consumers of the process are as they were.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchError, FetchResult
from aiokafka.errors import KafkaError
from aiokafka.protocol.fetch import FetchRequest

from streamrnn.config import Settings
from streamrnn.errors import CorruptBatch
from streamrnn.kafka.reading.answers import CORRUPT_MESSAGE, Part, read_part, with_part
from streamrnn.kafka.reading.detour import Detour, Refusals, find_detour
from streamrnn.kafka.reading.unpacking import Answer, Skip, Terms, Unpacking
from streamrnn.ticks import Record

log = logging.getLogger(__name__)
SAY_S = 1.0
"""At least so long between two lines on what was skipped."""
PAUSE_S = 0.25
"""Between two questions that a broker answers with CORRUPT_MESSAGE."""
STAND_IN = bytes(8) + (49).to_bytes(4, "big") + bytes(4) + b"\2" + bytes(44)
"""A batch of nothing, for aiokafka to look at."""
Bounds = Callable[[TopicPartition], Awaitable[tuple[int, int]]]


class LeanConsumer(AIOKafkaConsumer):  # type: ignore[misc]
    """aiokafka's consumer, whose `getmany` gives `Record`s, and goes past what cannot be read and tells `on_skip`,
    or raises CorruptBatch, as input.corrupt says."""

    def __init__(
        self, settings: Settings, *topics: str, on_skip: Callable[[Skip], None] | None = None, **options: Any
    ) -> None:
        super().__init__(*topics, **options)
        self._unread = _Unread(self._client, settings, on_skip, self._bounds)
        self._client.send = self._unread.send

    async def start(self) -> None:
        """See AIOKafkaConsumer; what it has fetched so far comes again."""
        await super().start()
        self._fetcher._records = _Fetched(self._unread)

    async def _bounds(self, tp: TopicPartition) -> tuple[int, int]:
        """The log's first offset and the one after the last stable."""
        starts, ends = await self.beginning_offsets([tp]), await self.end_offsets([tp])
        return starts[tp], ends[tp]


class _Refused(NamedTuple):
    start: int
    error: CorruptBatch


class _Kept(NamedTuple):
    """An answer until it is read; where it is a detour's, see Answer."""

    data: bytes
    highwater: int
    begins: int = 0
    beyond: int | None = None


class _Unread:
    """Answers between their arrival and their reading, and what is to be done with what cannot be read."""

    def __init__(
        self, client: AIOKafkaClient, settings: Settings, on_skip: Callable[[Skip], None] | None, bounds: Bounds
    ) -> None:
        self._client, given = client, settings.input
        self._refuses, self._on_skip = given.corrupt == "refuse", on_skip
        self._terms = Terms(given.max_batch_bytes, self._skip, self._is_doubtful)
        self._answers: dict[TopicPartition, _Kept] = {}
        self._refused: dict[TopicPartition, _Refused] = {}
        self._doubts: dict[TopicPartition, int] = {}
        self._say_at_s, self._unsaid = 0.0, 0
        self._bounds, self._refusals = bounds, Refusals()

    async def send(self, node: int, request: Any, **more: Any) -> Any:
        """The client's own; of a fetch, the bytes are kept here and a batch of nothing goes on."""
        response = await self._send(node, request, **more)
        if isinstance(request, FetchRequest):
            asked = {(topic, p): offset for topic, parts in request.topics for p, offset, _ in parts}
            response.topics = [
                (topic, [await self._keep(node, topic, asked[topic, p[0]], p, response.API_VERSION) for p in parts])
                for topic, parts in response.topics
            ]
        return response

    async def _send(self, node: int, request: Any, **more: Any) -> Any:
        return await type(self._client).send(self._client, node, request, **more)

    async def _keep(self, node: int, topic: str, offset: int, fields: tuple[Any, ...], version: int) -> Any:
        tp, part = TopicPartition(topic, fields[0]), read_part(version, fields)
        kept = _Kept(part.data, part.highwater)
        if part.code == CORRUPT_MESSAGE or (part.code == 0 and not part.data and part.stable > offset):
            detour = await self._detour(node, tp, offset, part)
            if detour is None:
                return fields
            part = detour.part
            kept = _Kept(part.data, part.highwater, detour.start, detour.beyond)
        elif part.code == 0:
            self._refusals.forget(tp)
        if part.code or not (part.data or kept.beyond):
            return with_part(version, fields, part)
        self._answers[tp] = kept
        return with_part(version, fields, part._replace(data=STAND_IN))

    async def _detour(self, node: int, tp: TopicPartition, offset: int, part: Part) -> Detour | None:
        """What to go on with where the broker gives nothing for long; None while there is hope that it will."""
        if not self._refusals.is_due(tp, offset):
            if part.code:
                await asyncio.sleep(PAUSE_S)  # aiokafka would ask again at once
            return None
        try:
            bounds = await self._bounds(tp)
            detour = await find_detour(partial(self._ask, node, tp), part, offset, bounds)
        except KafkaError as error:
            log.warning("%s-%d: looking for a way past offset %d: %r", tp.topic, tp.partition, offset, error)
            detour = None
        if detour is None:
            self._refusals.put_off(tp)
        return detour

    async def _ask(self, node: int, tp: TopicPartition, offset: int, most_bytes: int) -> Part:
        """One answer for one partition, at once."""
        wanted = [(tp.topic, [(tp.partition, offset, most_bytes)])]
        response = await self._send(node, FetchRequest(0, 1, most_bytes, READ_COMMITTED, wanted))
        return read_part(response.API_VERSION, response.topics[0][1][0])

    def unpack(self, tp: TopicPartition, result: Any) -> Any:
        """aiokafka's result for an answer, with our reader of it; an error where that was refused before."""
        kept = self._answers.pop(tp)
        theirs = result._partition_records
        start, refused = theirs.next_fetch_offset, self._refused.pop(tp, None)
        if refused is not None and refused.start == start:
            return FetchError(error=refused.error, backoff=result._backoff)
        answer = Answer(kept.data, kept.highwater, theirs._aborted_transactions, kept.begins, kept.beyond)
        result._partition_records = Unpacking(tp, start, answer, self._terms)
        return result

    def _skip(self, skip: Skip) -> bool:
        if self._refuses:
            error = CorruptBatch(f'{_said(skip)}; input.corrupt = "skip" goes on behind them')
            self._refused[skip.tp] = _Refused(skip.start, error)
            return False
        self._say(skip)
        if self._on_skip is not None:
            self._on_skip(skip)
        return True

    def _say(self, skip: Skip) -> None:
        now_s = time.monotonic()
        if now_s < self._say_at_s:
            self._unsaid += 1
            return
        others = f"; {self._unsaid} other places before" if self._unsaid else ""
        log.error("%s and are skipped (input.corrupt)%s", _said(skip), others)
        self._say_at_s, self._unsaid = now_s + SAY_S, 0

    def _is_doubtful(self, tp: TopicPartition, offset: int) -> bool:
        known = self._doubts.get(tp) == offset
        self._doubts[tp] = offset
        return known


def _said(skip: Skip) -> str:
    which = f"offset {skip.start}" if skip.stop == skip.start + 1 else f"offsets {skip.start} to {skip.stop - 1}"
    return f"{skip.tp.topic}-{skip.tp.partition}: {which} cannot be read: {skip.why}"


class _Fetched(OrderedDict[TopicPartition, Any]):
    """Where aiokafka puts each answer of a broker before it is read."""

    def __init__(self, unread: _Unread) -> None:
        super().__init__()
        self._unread = unread

    def __setitem__(self, tp: TopicPartition, result: Any) -> None:
        super().__setitem__(tp, self._unread.unpack(tp, result) if type(result) is FetchResult else result)


def to_records(batches: Mapping[TopicPartition, list[Record]]) -> list[Record]:
    """What a lean consumer's `getmany` gave, by (partition, offset)."""
    records: list[Record] = []
    for tp in sorted(batches):
        assert type(batches[tp][0]) is Record, "only a LeanConsumer gives records"
        records += batches[tp]
    return records
