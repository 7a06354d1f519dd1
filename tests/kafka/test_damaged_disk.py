"""What lies damaged on a real broker's disk: each topic's log is edited while the broker is stopped.

A broker checks no checksum when it sends what lies on its disk, but stumbles over lengths: it says CORRUPT_MESSAGE,
or gives nothing at all, for all offsets from there up to the next entry of its index.
"""

import asyncio
import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamrnn.config import Settings
from streamrnn.errors import CorruptBatch
from streamrnn.kafka.admin import create_topic
from streamrnn.kafka.writing.appending import Appender
from streamrnn.nn.bundle import load_bundle
from streamrnn.ticks import OutRecord
from streamrnn.verifying.verify import verify

from .conftest import KEEP_ALL, _run, kafka_home
from .reading_back import everything, read_range
from .served import start

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
BATCHES, TEN = 8, 10
SMALL = (3, 4)
"""These batches are too small for an entry of their own in the broker's index."""
LENGTH_AT = 8


def tick(n: int) -> bytes:
    """Wide enough that a batch of ten gets an entry in the index, which has one for each 4,096 bytes."""
    padding = "" if n // TEN in SMALL else "-" * 700
    return json.dumps({"time": 1_700_000_000_000 + n, "x": n % 7, "padding": padding}).encode()


def length(number: int) -> tuple[int, bytes]:
    return LENGTH_AT, struct.pack(">i", number)


DAMAGES: dict[str, tuple[int, tuple[int, bytes]]] = {
    "checksum": (2, (200, b"\xff")),
    "magic": (2, (16, b"\5")),
    "zeros": (2, (0, bytes(61))),
    "negative": (2, length(-5)),
    "short": (2, length(100)),
    "long": (2, length(1 << 20)),
    "first": (0, length(-5)),
}
"""By topic the batch that is damaged, and the bytes written into it, from where on."""


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home, folder = kafka_home("start", "stop", "restart"), tmp_path_factory.mktemp("damaged") / "cluster"
    address = _run([home / "start", folder, "1", KEEP_ALL]).strip().splitlines()[-1]
    try:
        asyncio.run(write(address))
        _run([home / "stop", folder])
        for topic, (number, (at, content)) in DAMAGES.items():
            [segment] = folder.glob(f"**/{topic}-0/*.log")
            segment.write_bytes(damaged(segment.read_bytes(), number, at, content))
        _run([home / "restart", folder, "0"])
        yield address
    finally:
        _run([home / "stop", folder])


async def write(bootstrap: str) -> None:
    """Eight batches of ten ticks into each topic."""
    s = settings_of(bootstrap, "checksum")
    appender = Appender(s)
    await appender.start()
    for topic in DAMAGES:
        await create_topic(s.kafka, topic, 1)
        for k in range(BATCHES):
            await appender.append(topic, [OutRecord(0, 1_000, b"s", tick(TEN * k + n)) for n in range(TEN)])
    await appender.stop()


def settings_of(bootstrap: str, topic: str, corrupt: str = "skip") -> Settings:
    return Settings(
        kafka={"bootstrap": bootstrap, "group": f"g-{topic}-{corrupt}"},
        input={"topic": topic, "corrupt": corrupt},
        output={"topic": f"out-{topic}"},
        engine={"device": "cpu"},
    )


def damaged(log: bytes, number: int, at: int, content: bytes) -> bytes:
    """A log with `content` at `at` of its batch of this number."""
    begin = 0
    for _ in range(number):
        begin += 12 + int(struct.unpack_from(">i", log, begin + LENGTH_AT)[0])
    return log[: begin + at] + content + log[begin + at + len(content) :]


def left(topic: str) -> list[int]:
    bad = DAMAGES[topic][0] * TEN
    return [n for n in range(BATCHES * TEN) if not bad <= n < bad + TEN]


async def test_a_damaged_batch_costs_what_it_holds_wherever_reading_begins(bootstrap: str) -> None:
    async def read(topic: str, begin: int) -> tuple[str, int, list[int]]:
        settings = settings_of(bootstrap, topic)
        return topic, begin, [r.offset async for rs in read_range(settings, 0, begin, 80, 1000) for r in rs]

    asked = [(topic, at + 10 * number) for topic, (number, _) in DAMAGES.items() for at in (0, 7, 10, 15)]
    for topic, begin, got in await asyncio.gather(*(read(*each) for each in [*asked, *((t, 0) for t in DAMAGES)])):
        assert got == [n for n in left(topic) if n >= begin], (topic, begin)


@pytest.mark.parametrize("topic", ["checksum", "negative", "long", "first"])
async def test_where_it_is_refused_topic_partition_and_offset_are_said(bootstrap: str, topic: str) -> None:
    bad = DAMAGES[topic][0] * TEN
    said = rf'{topic}-0: offsets {bad} to {bad + 9} cannot be read: .*input.corrupt = "skip"'
    with pytest.raises(CorruptBatch, match=said):
        await everything(settings_of(bootstrap, topic, "refuse"))


@pytest.mark.parametrize(("topic", "reason"), [("checksum", "crc"), ("negative", "header"), ("first", "broker")])
async def test_the_service_goes_on_and_verify_is_clean(
    bootstrap: str, bundle: Path, topic: str, reason: str
) -> None:
    s, bad = settings_of(bootstrap, topic), DAMAGES[topic][0] * TEN
    async with start(s, bundle) as daemon:
        await daemon.until_log("http on")
        await daemon.until_metric("streamrnn_predictions_total", 70)
        await daemon.until_metric(f'streamrnn_records_skipped_total{{reason="{reason}"}}', 10)
        assert re.search(rf"{topic}-0: offsets {bad} to {bad + 9} cannot be read: ", daemon.log())
        assert await daemon.metric("streamrnn_predictions_total") == 70
    report = await verify(s, load_bundle(bundle))
    assert report.is_clean, report
    assert f"10 offsets of {topic} cannot be read and were passed over" in report.partitions[0].notes


async def test_the_service_ends_where_its_broker_cannot_read_if_that_is_refused(
    bootstrap: str, bundle: Path
) -> None:
    async with start(settings_of(bootstrap, "first", "refuse"), bundle) as daemon:
        assert await daemon.ended() == CorruptBatch.exit_code
    assert "first-0: offsets 0 to 9 cannot be read: the broker cannot read its own log there" in daemon.last_line()
