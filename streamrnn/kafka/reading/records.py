"""Owns aiokafka's private ways in: how what it fetches becomes our records, and what is unreadable stops nobody.

A `LeanConsumer` takes the bytes out of each fetch before aiokafka looks at them, and yields `Record` from `getmany`
at a third of the price of aiokafka's own objects. Other consumers of the process are as they were.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import FetchError, FetchResult
from aiokafka.protocol.fetch import FetchRequest

from streamrnn.config import Settings
from streamrnn.errors import CorruptBatch
from streamrnn.kafka.reading.unpacking import Answer, Skip, Terms, Unpacking
from streamrnn.ticks import Record

log = logging.getLogger(__name__)
SAY_S = 1.0
"""At least so long between two lines on what was skipped."""
STAND_IN = bytes(8) + (49).to_bytes(4, "big") + bytes(4) + b"\2" + bytes(44)
"""A batch of nothing, for aiokafka to look at."""


class LeanConsumer(AIOKafkaConsumer):  # type: ignore[misc]
    """aiokafka's consumer, whose `getmany` gives `Record`s, and goes past what cannot be read and tells `on_skip`,
    or raises CorruptBatch, as input.corrupt says."""

    def __init__(
        self, settings: Settings, *topics: str, on_skip: Callable[[Skip], None] | None = None, **options: Any
    ) -> None:
        super().__init__(*topics, **options)
        self._unread = _Unread(self._client, settings, on_skip)
        self._client.send = self._unread.send

    async def start(self) -> None:
        """See AIOKafkaConsumer; what it has fetched so far comes again."""
        await super().start()
        self._fetcher._records = _Fetched(self._unread)


class _Refused(NamedTuple):
    start: int
    error: CorruptBatch


class _Unread:
    """Answers between their arrival and their reading, and what is to be done with what cannot be read."""

    def __init__(self, client: AIOKafkaClient, settings: Settings, on_skip: Callable[[Skip], None] | None) -> None:
        self._client, given = client, settings.input
        self._refuses, self._on_skip = given.corrupt == "refuse", on_skip
        self._terms = Terms(given.max_batch_bytes, self._skip, self._is_doubtful)
        self._answers: dict[TopicPartition, tuple[bytes, int]] = {}
        self._refused: dict[TopicPartition, _Refused] = {}
        self._doubts: dict[TopicPartition, int] = {}
        self._say_at_s, self._unsaid = 0.0, 0

    async def send(self, node: int, request: Any, **more: Any) -> Any:
        """The client's own; of a fetch, the bytes are kept here and a batch of nothing goes on."""
        response = await type(self._client).send(self._client, node, request, **more)
        if isinstance(request, FetchRequest):
            response.topics = [(topic, [self._keep(topic, p) for p in parts]) for topic, parts in response.topics]
        return response

    def _keep(self, topic: str, part: tuple[Any, ...]) -> tuple[Any, ...]:
        data = part[-1] or b""
        if not data:
            return (*part[:-1], data)
        self._answers[TopicPartition(topic, part[0])] = data, part[2]
        return (*part[:-1], STAND_IN)

    def unpack(self, tp: TopicPartition, result: Any) -> Any:
        """aiokafka's result for an answer, with our reader of it; an error where that was refused before."""
        data, highwater = self._answers.pop(tp)
        theirs = result._partition_records
        start, refused = theirs.next_fetch_offset, self._refused.pop(tp, None)
        if refused is not None and refused.start == start:
            return FetchError(error=refused.error, backoff=result._backoff)
        answer = Answer(data, highwater, theirs._aborted_transactions)
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
