"""The demo's run: a broker, the service in this process, a player that sends ticks, a reader of predictions.

Owns their lifetimes: whatever happens, nothing of it stays. Knows no terminal but the screen it is given.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from streamrnn.config import Settings
from streamrnn.demo.display import Glance, LiveDisplay
from streamrnn.demo.embedded_broker import EmbeddedBroker
from streamrnn.demo.recorded import FEATURE, Playlist
from streamrnn.demo.scoreboard import Scoreboard
from streamrnn.errors import NotInTime
from streamrnn.kafka.admin import create_topic
from streamrnn.kafka.reading.tail import tail
from streamrnn.kafka.writing.appending import Appender
from streamrnn.process.signals import stop_signals
from streamrnn.service import Service
from streamrnn.ticks import OutRecord

TOPIC, PARTITIONS = "demo-ticks", 2
BUNDLE_S, BUNDLE_TICKS = 0.01, 2000
"""Pause between bundles of ticks at a speed; size of a bundle at full speed."""
READY_S, CATCH_UP_S = 60.0, 10.0
MakeScreen = Callable[[str], LiveDisplay]
"""A screen for a service that listens at this address."""


class DemoPlan(NamedTuple):
    """What to play to which model; ticks_per_s 0: as fast as possible; seconds: longest play."""

    feed: Playlist
    bundle: Path
    ticks_per_s: float
    seconds: float


async def play(plan: DemoPlan, make_screen: MakeScreen) -> int:
    """Serve and play until the feed or the time is used up; 0, or 128 + the signal that ended it early."""
    stop = asyncio.Event()
    with stop_signals(stop) as came:
        async with EmbeddedBroker() as broker:
            settings = _settings(broker.bootstrap, plan.bundle)
            await create_topic(settings.kafka, TOPIC, PARTITIONS)
            async with _served(Service(settings), stop) as service:
                if service is not None:
                    await Show(plan, settings, service, make_screen(service.url), stop).run()
    return 128 + came[0] if came else 0


def _settings(bootstrap: str, bundle: Path) -> Settings:
    """The embedded broker lets the first member of a group wait for half its session timeout."""
    return Settings(
        kafka={
            "bootstrap": bootstrap,
            "group": "demo",
            "acks_idempotent": False,
            "session_timeout_ms": 2000,
            "heartbeat_interval_ms": 500,
        },
        input={"topic": TOPIC, "time_unit": "ms"},
        output={"topic": "demo-predictions"},
        model={"path": bundle},
        http={"port": 0},
    )


@asynccontextmanager
async def _served(service: Service, stop: asyncio.Event) -> AsyncIterator[Service | None]:
    """The service once it is ready, None if told to stop first; leaving stops it in order."""
    ending = asyncio.Event()
    running = asyncio.create_task(service.run(ending), name="service")
    try:
        await _until_ready(service, running, stop)
        yield None if stop.is_set() else service
    finally:
        ending.set()
        await running


async def _until_ready(service: Service, running: "asyncio.Task[None]", stop: asyncio.Event) -> None:
    end_s = time.monotonic() + READY_S
    while not (service.ready()[0] or stop.is_set() or running.done()):
        if time.monotonic() > end_s:
            raise NotInTime(f"demo: not ready after {READY_S:.0f} s: {service.ready()[1]}")
        await asyncio.sleep(0.05)
    if running.done():
        await running


@asynccontextmanager
async def _meanwhile(work: Coroutine[None, None, None]) -> AsyncIterator["asyncio.Task[None]"]:
    """A task for the length of an `async with`; what it failed of is raised at the end."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        failed = task.done() and not task.cancelled() and task.exception()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if failed:
            raise failed


class Show:
    """A play as the player, the reader and the screen see it."""

    def __init__(
        self, plan: DemoPlan, settings: Settings, service: Service, screen: LiveDisplay, stop: asyncio.Event
    ) -> None:
        self._plan, self._settings, self._service = plan, settings, service
        self._screen, self._stop = screen, stop
        self._tally = Scoreboard(FEATURE)
        self._played = 0
        self._began_s = self._shown_s = time.monotonic()
        self._shown = 0

    async def run(self) -> None:
        """Play and show until every tick that was played has its prediction; then the summary."""
        async with _meanwhile(self._read()) as reading, _meanwhile(self._play()) as playing:
            with self._screen:
                while not (playing.done() or reading.done()):
                    await asyncio.wait({playing, reading}, timeout=self._screen.pause_s)
                    self._screen.show(self._glance(), self._tally)
                await self._catch_up(reading)
        self._shown, self._shown_s = 0, self._began_s
        missing = self._played - self._tally.predictions
        verdict = f"{missing:,} ticks without a prediction" if missing else "every tick has its prediction"
        self._screen.summary(self._glance(), self._tally, verdict)

    async def _catch_up(self, reading: "asyncio.Task[None]") -> None:
        end_s = time.monotonic() + CATCH_UP_S
        while self._tally.predictions < self._played and not reading.done():
            if time.monotonic() > end_s:
                missing = self._played - self._tally.predictions
                raise NotInTime(f"demo: {missing:,} predictions did not come in {CATCH_UP_S:.0f} s")
            await asyncio.sleep(0.02)

    def _glance(self) -> Glance:
        """Speed since the last glance, and the rest since the beginning."""
        now_s, count, seen = time.monotonic(), self._tally.predictions, self._service.metrics.glance()
        speed = (count - self._shown) / max(1e-9, now_s - self._shown_s)
        self._shown, self._shown_s = count, now_s
        return Glance(
            played=self._played,
            of=len(self._plan.feed),
            seconds=now_s - self._began_s,
            ticks_per_s=speed,
            p50_s=seen["p50_s"],
            p99_s=seen["p99_s"],
            dead_letters=int(seen["dead_letters"]),
        )

    async def _play(self) -> None:
        """Send the feed at its speed, each bundle stamped with the moment it is sent."""
        records, appender, plan = _records(self._plan.feed), Appender(self._settings), self._plan
        try:
            await appender.start()
            self._began_s = time.monotonic()
            while self._played < len(plan.feed) and not self._stop.is_set():
                elapsed_s = time.monotonic() - self._began_s
                if elapsed_s >= plan.seconds:
                    return
                due = int(plan.ticks_per_s * elapsed_s) if plan.ticks_per_s else self._played + BUNDLE_TICKS
                count = min(due, len(plan.feed)) - self._played
                now_ms = time.time_ns() // 1_000_000
                await appender.append(TOPIC, [next(records)._replace(timestamp_ms=now_ms) for _ in range(count)])
                self._played += count
                await asyncio.sleep(BUNDLE_S if plan.ticks_per_s else 0)
        finally:
            await appender.stop()

    async def _read(self) -> None:
        """Follow the output topic as any consumer would."""
        async with aclosing(tail(self._settings, self._settings.output.topic)) as predictions:
            async for records in predictions:
                for record in records:
                    self._tally.take(record.value or b"")


def _records(feed: Playlist) -> Iterator[OutRecord]:
    """The feed's ticks, a stream always on the same partition."""
    places: dict[str, int] = {}
    rows = zip(feed.streams, feed.time_ms.tolist(), feed.values[:, 0].tolist(), strict=True)
    for stream, time_ms, value in rows:
        place = places.setdefault(stream, len(places) % PARTITIONS)
        yield OutRecord(place, 0, stream.encode(), msgspec.json.encode({"time": time_ms, FEATURE: value}))
