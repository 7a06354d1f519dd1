"""A network that fails on demand: a TCP proxy in front of one listener of a broker, in a thread of its own.

It knows of Kafka only that requests and answers are frames, which API a request is of, and which answer is its.
"""

import asyncio
import struct
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Literal, TypeVar

T = TypeVar("T")
PRODUCE, OFFSET_COMMIT, OFFSET_FETCH, END_TXN, TXN_OFFSET_COMMIT = 0, 8, 9, 26, 28
"""API keys of Kafka's protocol."""
Lost = Literal["request", "answer"]


class Loss:
    """One request of an API that is lost: it, before the broker sees it, or its answer, after it was applied."""

    def __init__(self, api: int, what: Lost) -> None:
        self.api, self.what = api, what
        self.happened = threading.Event()

    async def wait(self, seconds: float = 20.0) -> None:
        """Until it was lost."""
        assert await asyncio.to_thread(self.happened.wait, seconds), f"no {self.what} of API {self.api} was lost"


class Proxy:
    """Forwards connections from `port` to `upstream`, both on loopback, as its switches say.

    delay_s: added to each frame in each direction. `hold` keeps frames, also those of new connections, and
    `release` delivers them late, as TCP does after a partition. `cut` closes what is open, `refuse` the port.
    """

    def __init__(self, upstream: int, port: int) -> None:
        self.port, self.delay_s = port, 0.0
        self._upstream = upstream
        self._pairs: set[_Pair] = set()
        self._losses: list[Loss] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{port}", daemon=True)
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()

    # Life

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        self._run(self._listen())

    def stop(self) -> None:
        """Close all and end the thread."""
        self.calm()
        self._run(self._unlisten())
        self._run(self._close_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    # Switches

    def calm(self) -> None:
        """No fault from now on."""
        self.delay_s = 0.0
        self._losses.clear()
        self._run(self._set_flowing(True))
        self._run(self._listen())

    def cut(self) -> None:
        """Close every connection now, whatever is on its way."""
        self._run(self._close_all())

    def refuse(self) -> None:
        """Nobody listens any more."""
        self._run(self._unlisten())

    def hold(self) -> None:
        """A black hole, until `release`."""
        self._run(self._set_flowing(False))

    def release(self) -> None:
        """Deliver what was held, and what comes."""
        self._run(self._set_flowing(True))

    def lose(self, api: int, what: Lost) -> Loss:
        """Lose the next request of an API, or its answer; the connection is cut at that moment."""
        loss = Loss(api, what)
        self._losses.append(loss)
        return loss

    # On the thread

    def _run(self, doing: Coroutine[Any, Any, T]) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(doing, self._loop)
        return future.result(10)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _unlisten(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _set_flowing(self, is_flowing: bool) -> None:
        self._flowing.set() if is_flowing else self._flowing.clear()

    async def _close_all(self) -> None:
        pairs = list(self._pairs)
        for pair in pairs:
            pair.close()
        await asyncio.gather(*(pair.ended.wait() for pair in pairs))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        try:
            broker = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            writer.transport.abort()
            return
        pair = _Pair((reader, writer), broker, self._take_loss, lambda: self.delay_s, self._flowing)
        self._pairs.add(pair)
        try:
            await pair.run()
        finally:
            self._pairs.discard(pair)

    def _take_loss(self, api: int) -> Loss | None:
        for loss in self._losses:
            if loss.api == api:
                self._losses.remove(loss)
                return loss
        return None


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Frames = asyncio.Queue[tuple[float, bytes]]


class _Pair:
    """One client's connection and its twin to the broker."""

    def __init__(
        self,
        client: Streams,
        broker: Streams,
        take_loss: Callable[[int], Loss | None],
        delay_s: Callable[[], float],
        flowing: asyncio.Event,
    ) -> None:
        self._client, self._broker = client, broker
        self._take_loss, self._delay_s, self._flowing = take_loss, delay_s, flowing
        self._unanswered: dict[int, Loss] = {}
        self._task: asyncio.Task[None] | None = None
        self.ended = asyncio.Event()

    def close(self) -> None:
        """Cut both sides."""
        for _, writer in (self._client, self._broker):
            writer.transport.abort()
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> None:
        """Until either side ends or it is cut."""
        self._task = asyncio.current_task()
        there: Frames = asyncio.Queue(256)
        back: Frames = asyncio.Queue(256)
        parts = (
            self._read(self._client[0], there, self._is_lost_request),
            self._write(there, self._broker[1]),
            self._read(self._broker[0], back, self._is_lost_answer),
            self._write(back, self._client[1]),
        )
        tasks = [asyncio.ensure_future(part) for part in parts]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._task = None
            self.close()
            self.ended.set()

    async def _read(self, reader: asyncio.StreamReader, frames: Frames, is_lost: Callable[[bytes], bool]) -> None:
        """Frames into the queue, each with the moment it is due; returns at the end or at a loss."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                size = await reader.readexactly(4)
                body = await reader.readexactly(int.from_bytes(size))
                if is_lost(body):
                    return
                await frames.put((time.monotonic() + self._delay_s(), size + body))

    async def _write(self, frames: Frames, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while True:
                due, frame = await frames.get()
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await self._flowing.wait()
                writer.write(frame)
                await writer.drain()

    def _is_lost_request(self, body: bytes) -> bool:
        api, _, correlation = struct.unpack_from(">hhi", body)
        loss = self._take_loss(api)
        if loss is None:
            return False
        if loss.what == "request":
            loss.happened.set()
            return True
        self._unanswered[correlation] = loss
        return False

    def _is_lost_answer(self, body: bytes) -> bool:
        loss = self._unanswered.pop(int.from_bytes(body[:4], signed=True), None)
        if loss is None:
            return False
        loss.happened.set()
        return True
