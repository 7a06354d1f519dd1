"""Ticks of known content at a steady rate, straight to the broker. Knows no worker and none of its code.

What was really sent is what the input topic holds in the end: a test reads it from there.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

PERIOD_S = 0.02
FIRST_TIME_MS = 1_700_000_000_000


class Feed:
    """`streams` sines with noise; stream i lives in partition i modulo `partitions`.

    stream_of and value may be replaced: of which stream tick n is, round robin at first, and what is in it.
    """

    def __init__(self, bootstrap: str, topic: str, partitions: int, streams: int, seed: int = 7) -> None:
        self.sent = 0
        self._topic, self._partitions, self._streams = topic, partitions, streams
        self._noise = np.random.default_rng(seed).normal(0, 0.1, 9973)
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            enable_idempotence=True,
            acks="all",
            linger_ms=5,
            request_timeout_ms=5000,
            max_request_size=8 * 2**20,
        )

    def stream_of(self, number: int) -> int:
        """The stream of tick `number`."""
        return number % self._streams

    def value(self, number: int) -> bytes:
        """Its value."""
        stream, turn = self.stream_of(number), number // self._streams
        x = np.sin(turn / (3 + stream % 17) + stream) + self._noise[number % len(self._noise)]
        return json.dumps({"time": FIRST_TIME_MS + number, "x": round(float(x), 6)}).encode()

    async def send(self, count: int) -> None:
        """The next `count` ticks, acknowledged."""
        coming = []
        for number in range(self.sent, self.sent + count):
            stream = self.stream_of(number)
            place = {"partition": stream % self._partitions, "timestamp_ms": FIRST_TIME_MS + number}
            value = self.value(number)
            coming.append(await self._producer.send(self._topic, value, key=b"s%d" % stream, **place))
        self.sent += count
        await asyncio.gather(*coming)

    async def send_raw(self, partition: int, key: bytes | None, value: bytes | None) -> None:
        """One record of any kind."""
        await self._producer.send_and_wait(self._topic, value, key=key, partition=partition)

    async def keep_sending(self, rate: float) -> None:
        """Until cancelled; what a broker that is away holds up is sent after it."""
        started, first = time.monotonic(), self.sent
        while True:
            due = int((time.monotonic() - started) * rate) - (self.sent - first)
            try:
                await self.send(min(due, 2000))
            except KafkaError:
                await asyncio.sleep(0.2)
            await asyncio.sleep(PERIOD_S)


@asynccontextmanager
async def feed(bootstrap: str, topic: str, partitions: int, streams: int = 20) -> AsyncIterator[Feed]:
    """A feed that is connected."""
    made = Feed(bootstrap, topic, partitions, streams)
    await made._producer.start()
    try:
        yield made
    finally:
        await made._producer.stop()


@asynccontextmanager
async def load(feed: Feed, rate: float) -> AsyncIterator[None]:
    """`rate` ticks a second for as long as this lasts; what was begun is sent to its end."""
    running = asyncio.create_task(feed.keep_sending(rate))
    try:
        yield
        assert not running.done(), f"the feed has failed: {running.exception()!r}"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await feed._producer.flush()
