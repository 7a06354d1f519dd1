"""Owns the bench's ticks: the same for every contender, as a backlog or at a rate. Knows no model."""

import asyncio
import json
import struct
import time
from collections.abc import Callable, Iterator

import msgspec
import numpy as np

from streamrnn.bench.job import Job, make_settings
from streamrnn.config.input import Codec
from streamrnn.kafka.admin import create_topic
from streamrnn.kafka.writing.appending import Appender
from streamrnn.ticks import OutRecord

START_MS = 1_700_000_000_000
CHUNK = 20_000
SLOT_S = 0.005
"""Ticks at a rate come in bundles this far apart: asyncio has no shorter sleep worth the name."""
DISTINCT = 20_000
WRITERS: dict[Codec, Callable[[dict[str, int | float]], bytes]] = {
    "json": lambda tick: json.dumps(tick).encode(),
    "msgpack": msgspec.msgpack.encode,
    "float32": lambda tick: struct.pack("<2f", tick["temp"], tick["load"]),
}
"""What a tick's value is by codec; packed numbers have no time of their own."""


async def lay_out(job: Job) -> None:
    """Create the bench's topics."""
    settings = make_settings(job)
    for topic in (settings.input.topic, settings.output.topic):
        await create_topic(settings.kafka, topic, job.partitions, 1)


async def fill(job: Job) -> None:
    """Write the backlog of `job.ticks` ticks."""
    records = ticks_of(job)
    appender = Appender(make_settings(job))
    try:
        for start in range(0, job.ticks, CHUNK):
            await appender.append(job.topic, [next(records) for _ in range(min(CHUNK, job.ticks - start))])
    finally:
        await appender.stop()


async def tick(job: Job) -> None:
    """Write `job.rate` ticks a second, stamped with the moment they are written, until cancelled."""
    records = ticks_of(job)
    appender = Appender(make_settings(job))
    try:
        await appender.start()
        began, sent = time.perf_counter(), 0
        while True:
            elapsed = time.perf_counter() - began
            due = int(elapsed * job.rate) - sent
            now_ms = time.time_ns() // 1_000_000
            await appender.append(job.topic, [next(records)._replace(timestamp_ms=now_ms) for _ in range(due)])
            sent += due
            await asyncio.sleep(max(0.0, began + elapsed + SLOT_S - time.perf_counter()))
    finally:
        await appender.stop()


def ticks_of(job: Job) -> Iterator[OutRecord]:
    """Endless: every stream ticks in turn; a stream's partition is its number modulo their count.

    Records are stamped now: what claims to be years old is deleted by a broker's first look at retention.
    """
    write = WRITERS[job.codec]
    keys = [b"stream-%05d" % stream for stream in range(job.streams)]
    rng = np.random.default_rng(7)
    readings = np.round(rng.normal(20.0, 5.0, (DISTINCT, 2)), 3).tolist()
    number, now_ms = 0, time.time_ns() // 1_000_000
    while True:
        turn, stream = divmod(number, job.streams)
        temp, load = readings[number % DISTINCT]
        time_ms = START_MS + turn * 1000
        value = write({"time": time_ms, "temp": temp, "load": load})
        yield OutRecord(stream % job.partitions, now_ms, keys[stream], value)
        number += 1
