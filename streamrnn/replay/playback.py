"""A file played on the input topic from beginning to end: reading, encoding, pace, sending, progress."""

import asyncio
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from streamrnn.config import Settings
from streamrnn.errors import TopicError
from streamrnn.kafka.admin import create_topic, partition_count
from streamrnn.kafka.writing.appending import Appender
from streamrnn.process.interpreter import tuned_interpreter
from streamrnn.process.signals import stop_signals
from streamrnn.process.terminal import counted
from streamrnn.replay.encoding import Places, TickEncoder, chunks
from streamrnn.replay.pacing import Pacer
from streamrnn.replay.sender import Stopped, TickSender, pause
from streamrnn.replay.watch import Watch, make_watch
from streamrnn.tables.description import TableColumns
from streamrnn.tables.feed import Feed, open_feed


@dataclass(frozen=True, slots=True)
class Playback:
    """What to replay and how. paths: files; speed: a multiple of recorded time, 0 as fast as possible; limit: rows;
    max_gap_s: longest wait between two ticks, in wall-clock seconds; create_partitions: of a topic not there yet.
    """

    paths: tuple[Path, ...]
    columns: TableColumns
    speed: float = 1.0
    limit: int | None = None
    max_gap_s: float | None = None
    create_partitions: int | None = None
    has_progress: bool = True


def replay(settings: Settings, playback: Playback) -> int:
    """`streamrnn replay`: 0 when all is sent or after SIGTERM, 130 after Ctrl-C; else an error of ours."""
    # What aiokafka says of a broker's loss is in our errors, and shown once.
    shown = logging.StreamHandler() if settings.log.level == "debug" else logging.NullHandler()
    logging.basicConfig(handlers=[shown])
    watch = make_watch(playback.has_progress)
    may_run_back = settings.input.out_of_order != "process"
    feed = open_feed(playback.paths, playback.columns, playback.limit, may_run_back)
    for line in feed.words():
        watch.say(line)
    feed.check_all()
    for line in feed.notes():
        watch.say(line)
    with tuned_interpreter():
        return asyncio.run(_replay(settings, playback, feed, watch))


async def _replay(settings: Settings, playback: Playback, feed: Feed, watch: Watch) -> int:
    encoder, appender = TickEncoder(feed.features, settings.input, feed.whole), Appender(settings)
    stop = asyncio.Event()
    places = Places(await _partitions(settings, playback.create_partitions), settings.input.key)
    pacer = Pacer(playback.speed, playback.max_gap_s, partial(pause, stop))
    sender = TickSender(appender, settings.input.topic, pacer, watch, stop)
    try:
        await appender.start()
        with stop_signals(stop) as came, suppress(Stopped), _summary(settings, watch, places, came), watch:
            await sender.run(chunks(feed, encoder, places, playback.limit))
    finally:
        await appender.stop()
    return 130 if signal.SIGINT in came else 0


async def _partitions(settings: Settings, create: int | None) -> int:
    """Of the input topic; TopicError when it is not there and not to be created."""
    topic = settings.input.topic
    count = await partition_count(settings.kafka, topic, is_needed=create is None)
    if not count and create is None:
        raise TopicError(f"the input topic {topic!r} does not exist; --create-topic PARTITIONS creates it")
    if not count and create is not None:
        return await create_topic(settings.kafka, topic, create, settings.output.replication_factor)
    return count


@contextmanager
def _summary(settings: Settings, watch: Watch, places: Places, came: list[signal.Signals]) -> Iterator[None]:
    """The last line, however it ends."""
    try:
        yield
    finally:
        stopped = f"stopped by {came[0].name}: " if came else ""
        streams, seconds = counted(len(places), "stream"), f"{watch.seconds():.1f} s"
        print(f"{stopped}{watch.rate()}, {streams}, {seconds}, topic {settings.input.topic}")
