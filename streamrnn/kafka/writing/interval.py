"""Owns one producer after another, and what an interval has sent through the present one.

A producer that has failed in any way is thrown away: sequence numbers of refused batches, the outcome of requests
without an answer, and what aiokafka calls fatal all end with it. Knows no transaction.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from streamrnn.config import Settings
from streamrnn.errors import BatchTooLarge, Rebalanced, RecordRefused, TopicError
from streamrnn.kafka.closing import stop_producer
from streamrnn.kafka.internals.outgoing import Producer
from streamrnn.kafka.writing.producing import start_producer
from streamrnn.kafka.writing.unacknowledged import Bounds, Receipt, Sent, Unacknowledged
from streamrnn.ticks import OutColumns, OutRecord

DISCARD_S = 1.0
"""For an orderly close; nothing is under way then that would be worth more."""


class Publisher:
    """Sends intervals: `begin`, then `send` and `acknowledged`, then `close` or `give_up`."""

    def __init__(
        self,
        batch_bytes: int,
        bounds: Bounds,
        make: Callable[[int], Awaitable[Producer]],
        before_queueing: Callable[[], None] = lambda: None,
    ) -> None:
        """`make` starts a producer of batches so large; `before_queueing` is called right before records are."""
        self.producer: Producer | None = None
        self._most_bytes = self._batch_bytes = batch_bytes
        self._bounds, self._make, self._before_queueing = bounds, make, before_queueing
        self._starting = asyncio.Lock()
        self._interval: Unacknowledged | None = None
        self._is_spoilt = False

    async def connect(self) -> Producer:
        """The present producer, or a new one; BrokerRefused or BrokerUnavailable when there can be none."""
        async with self._starting:
            if self.producer is None:
                self.producer = await self._make(self._batch_bytes)
                self._is_spoilt = False
            return self.producer

    async def begin(self) -> None:
        """Start an interval, with another producer if the present one has failed and was not given up."""
        if self._is_spoilt:
            await self.discard()
        producer = await self.connect()
        self._interval = Unacknowledged(producer, self._bounds, self._before_queueing)

    @property
    def is_begun(self) -> bool:
        """Whether an interval was begun and has not ended."""
        return self._interval is not None

    @property
    def interval(self) -> Unacknowledged:
        """What was sent since `begin`."""
        assert self._interval is not None, "begin comes before send"
        return self._interval

    async def send(self, topic: str, records: Sequence[OutRecord]) -> Receipt:
        """See Delivery.send."""
        with self.spoiling():
            return await self.interval.send(topic, OutColumns.of(records))

    def cut(self) -> Sent:
        """What was sent so far in the interval and is not acknowledged, for `acknowledged` to wait for."""
        return () if self._interval is None else self._interval.cut()

    async def acknowledged(self, sent: Sent | None = None) -> None:
        """Wait until the brokers have `sent`, or else all of the interval."""
        if self._interval is not None:
            with self.spoiling():
                await self._interval.acknowledged(sent)

    def close(self) -> None:
        """End an interval of which all is acknowledged."""
        self._interval = None

    async def give_up(self, seconds: float) -> bool:
        """End the interval, waiting so long for what is under way; whether the producer is as good as new."""
        interval, self._interval = self._interval, None
        is_good = not self._is_spoilt and (interval is None or await interval.is_settled(seconds))
        return is_good and not self._is_spoilt

    async def discard(self) -> None:
        """Close the producer whatever its state, bounded; the next `connect` makes another."""
        producer, self.producer = self.producer, None
        if producer is not None:
            await stop_producer(producer, DISCARD_S)

    @contextmanager
    def spoiling(self) -> Iterator[None]:
        """A failure inside makes the producer unfit for another interval, and tells how large a batch may be."""
        try:
            yield
        except (TopicError, Rebalanced):
            raise
        except BaseException as error:
            self._is_spoilt = True
            if isinstance(error, BatchTooLarge):
                self._batch_bytes = max(1, error.size // 2)
            elif isinstance(error, RecordRefused):
                self._batch_bytes = self._most_bytes
            raise


def make_publisher(settings: Settings) -> Publisher:
    """A publisher without transactions."""
    bounds = Bounds(settings.kafka.request_timeout_ms / 1000)
    return Publisher(settings.output.batch_bytes, bounds, partial(start_producer, settings))
