"""What a foreign client (librdkafka) and a damaged disk put into a real broker's log, and what we make of it.

confluent-kafka is of the test extra. A broker checks no checksum when it sends what lies on its disk.
"""

import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streamrnn.config import Settings
from streamrnn.errors import CorruptBatch
from streamrnn.kafka.admin import create_topic
from streamrnn.kafka.reading.log import log_extent
from streamrnn.kafka.writing.sink import Sink
from streamrnn.nn.bundle import load_bundle
from streamrnn.ticks import OutRecord, Record
from streamrnn.verifying.verify import verify

from .conftest import KEEP_ALL, SettingsFactory, _run, kafka_home, real_only
from .reading_back import read_range
from .served import start

confluent = pytest.importorskip("confluent_kafka", reason="no foreign client: pip install confluent-kafka")
pytestmark = pytest.mark.kafka
YEAR_9999 = 253_402_300_799_999
ODD = [("plain", b"1"), ("\udcff\udcfe-key", b"2"), ("none", None)]


def produce(bootstrap: str, topic: str, messages: Sequence[dict[str, Any]], **options: Any) -> None:
    producer = confluent.Producer({"bootstrap.servers": bootstrap, "linger.ms": 50} | options)
    for message in messages:
        producer.produce(topic, partition=0, **message)
    assert producer.flush(20) == 0


async def everything(s: Settings) -> list[Record]:
    extent = await log_extent(s, s.input.topic, 0)
    return [r async for rs in read_range(s, 0, extent.start, extent.stop, 1000) for r in rs]


def tick(n: int) -> bytes:
    return json.dumps({"time": 1_700_000_000_000 + n, "x": n % 7}).encode()


@real_only
@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_what_librdkafka_compresses_is_read(settings: SettingsFactory, compression: str) -> None:
    s = await settings(partitions=1)
    sent = [{"key": b"s", "value": tick(n), "headers": [("h", None), ("h", b"%d" % n)]} for n in range(500)]
    produce(s.kafka.bootstrap, s.input.topic, sent, **{"compression.type": compression})
    got = await everything(s)
    assert [r.value for r in got] == [tick(n) for n in range(500)]
    assert [list(r.headers) for r in got] == [[("h", None), ("h", b"%d" % n)] for n in range(500)]


@real_only
async def test_times_of_the_producer_of_the_log_and_of_year_9999(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    configs = {
        "any": {"message.timestamp.after.max.ms": str(1 << 62)},
        "append": {"message.timestamp.type": "LogAppendTime"},
    }
    found = {}
    for name, config in configs.items():
        await with_topic(s, name, config)
        other = s.model_copy(update={"input": s.input.model_copy(update={"topic": f"{s.input.topic}-{name}"})})
        sent = [{"value": b"v", "timestamp": at} for at in (1, YEAR_9999)]
        produce(s.kafka.bootstrap, other.input.topic, sent)
        found[name] = [r.timestamp_ms for r in await everything(other)]
    assert found["any"] == [1, YEAR_9999]
    assert all(1_700_000_000_000 < at < YEAR_9999 for at in found["append"])
    assert len(found["append"]) == 2


async def with_topic(s: Settings, name: str, configs: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=s.kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(f"{s.input.topic}-{name}", 1, 1, topic_configs=configs)])
    await admin.close()


@real_only
async def test_an_aborted_transaction_of_a_foreign_producer_is_passed_over(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    options = {"bootstrap.servers": s.kafka.bootstrap, "transactional.id": s.input.topic}

    def transactions() -> None:
        producer = confluent.Producer(options)
        producer.init_transactions(20)
        for n, is_kept in enumerate((True, False, True)):
            producer.begin_transaction()
            for _ in range(3):
                producer.produce(s.input.topic, b"%d" % n, partition=0)
            producer.flush(20)
            (producer.commit_transaction if is_kept else producer.abort_transaction)(20)

    await asyncio.to_thread(transactions)
    assert [r.value for r in await everything(s)] == [b"0"] * 3 + [b"2"] * 3


@real_only
@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_a_header_with_any_key_goes_through_the_service_into_the_dead_letter(
    settings: SettingsFactory, bundle: Path, guarantee: str
) -> None:
    s = await settings(partitions=1, delivery={"guarantee": guarantee}, engine={"device": "cpu"})
    bad = [OutRecord(0, 1_000, b"s", value, ODD) for value in (b"no tick", None)]
    good = [OutRecord(0, 1_000, b"s", tick(n), ODD if n == 3 else []) for n in range(6)]
    sink = Sink(s)
    await sink.start()
    await sink.publish(s.input.topic, [*good[:3], *bad, *good[3:]])
    await sink.stop()
    async with start(s, bundle) as daemon:
        await daemon.until_metric("streamrnn_predictions_total", 6)
    letters = s.model_copy(update={"input": s.input.model_copy(update={"topic": s.dead_letter_topic})})
    got = await everything(letters)
    assert [(r.value, list(r.headers)[:3]) for r in got] == [(b"no tick", ODD), (None, ODD)]
    assert (await verify(s, load_bundle(bundle))).is_clean


async def test_a_damaged_log_costs_what_it_holds_and_the_service_goes_on(tmp_path: Path, bundle: Path) -> None:
    """Three batches of ten, the second one's bytes changed on the stopped broker's disk."""
    home, folder = kafka_home("start", "stop", "restart"), tmp_path / "cluster"
    bootstrap = _run([home / "start", folder, "1", KEEP_ALL]).strip().splitlines()[-1]
    try:
        s = Settings(
            kafka={"bootstrap": bootstrap, "group": "g"},
            input={"topic": "ticks"},
            output={"topic": "out"},
            engine={"device": "cpu"},
        )
        await create_topic(s.kafka, "ticks", 1)
        sink = Sink(s)
        await sink.start()
        for k in range(3):
            await sink.publish("ticks", [OutRecord(0, 1_000, b"s", tick(10 * k + n)) for n in range(10)])
        await sink.stop()
        _run([home / "stop", folder])
        damage(folder)
        _run([home / "restart", folder, "0"])
        assert [r.offset for r in await everything(s)] == [*range(10), *range(20, 30)]
        refusing = s.model_copy(update={"input": s.input.model_copy(update={"corrupt": "refuse"})})
        with pytest.raises(CorruptBatch, match=r'ticks-0: offsets 10 to 19 .*checksum.*input.corrupt = "skip"'):
            await everything(refusing)
        await serve_and_verify(s, bundle)
    finally:
        _run([home / "stop", folder])


def damage(folder: Path) -> None:
    [segment] = folder.glob("**/ticks-0/*.log")
    data = bytearray(segment.read_bytes())
    second = data.index(tick(13))
    data[second + 3] ^= 0xFF
    segment.write_bytes(data)


async def serve_and_verify(s: Settings, bundle: Path) -> None:
    async with start(s, bundle) as daemon:
        await daemon.until_metric("streamrnn_predictions_total", 20)
        await daemon.until_metric('streamrnn_records_skipped_total{reason="crc"}', 10)
        assert re.search(r"ticks-0: offsets 10 to 19 cannot be read: its checksum", daemon.log())
    report = await verify(s, load_bundle(bundle))
    assert report.is_clean, report
    assert "10 offsets of ticks cannot be read and were passed over" in report.partitions[0].notes
