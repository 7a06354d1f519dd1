"""Owns the sending of encoded chunks in order, at their pace, however long the broker is away."""

import asyncio
from collections.abc import Iterator

from streamrnn.errors import BrokerUnavailable
from streamrnn.kafka.writing.appending import Appender
from streamrnn.replay.encoding import EncodedTicks
from streamrnn.replay.pacing import Pacer
from streamrnn.replay.watch import Watch

RETRY_S = (0.5, 10.0)
"""First and longest pause before the next try while no broker answers."""


class Stopped(Exception):
    """Told to stop: not an error."""


class TickSender:
    """Sends encoded ticks to the input topic, in order, until there are none or `stop` is set."""

    def __init__(
        self,
        appender: Appender,
        topic: str,
        pacer: Pacer,
        watch: Watch,
        stop: asyncio.Event,
        retry_s: tuple[float, float] = RETRY_S,
    ) -> None:
        self._appender, self._topic, self._pacer, self._watch, self._stop = appender, topic, pacer, watch, stop
        self._retry_s = retry_s

    async def run(self, encoded: Iterator[EncodedTicks]) -> None:
        """Stopped when told to, once what was under way is acknowledged."""
        coming = _next(encoded)
        try:
            while (chunk := await coming) is not None:
                coming = _next(encoded)
                async for start, stop in self._pacer.bundles(chunk.time_ms):
                    await self._publish(chunk, start, stop)
        finally:
            await asyncio.gather(coming, return_exceptions=True)

    async def _publish(self, chunk: EncodedTicks, start: int, stop: int) -> None:
        pause_s, longest_s = self._retry_s
        while True:
            try:
                await self._appender.append(self._topic, chunk.records(start, stop), self._watch.sent + 1)
                break
            except BrokerUnavailable as error:
                self._watch.say(f"trying again, up to {stop - start:,} ticks may come twice: {error}")
                await pause(self._stop, pause_s)
                pause_s = min(2 * pause_s, longest_s)
        self._watch.count(stop - start, int(chunk.time_ms[stop - 1]), chunk.share(stop))
        if self._stop.is_set():
            raise Stopped


def _next(encoded: Iterator[EncodedTicks]) -> "asyncio.Future[EncodedTicks | None]":
    return asyncio.ensure_future(asyncio.to_thread(next, encoded, None))


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Sleep; Stopped as soon as `stop` is set."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
    raise Stopped
