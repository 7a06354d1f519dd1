"""What a foreign client (librdkafka) puts into a real broker's log, and what we make of it.

confluent-kafka is of the test extra.
"""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest

from streamrnn.config import Settings
from streamrnn.kafka.writing.appending import Appender
from streamrnn.nn.bundle import load_bundle
from streamrnn.ticks import OutRecord
from streamrnn.verifying.verify import verify

from . import logs
from .conftest import SettingsFactory, real_only
from .reading_back import everything
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


async def produce_bytes(s: Settings, log: bytes) -> None:
    """A batch as no producer's library writes it."""
    client = AIOKafkaClient(bootstrap_servers=s.kafka.bootstrap)
    await client.bootstrap()
    await client.set_topics([s.input.topic])
    node = client.cluster.leader_for_partition(TopicPartition(s.input.topic, 0))
    answer = await client.send(node, ProduceRequest(None, -1, 5000, [(s.input.topic, [(0, log)])]))
    assert answer.topics[0][1][0][1] == 0, answer
    await client.close()


@real_only
async def test_records_without_a_time_are_answered_and_their_event_time_is_the_value_s(
    settings: SettingsFactory, bundle: Path
) -> None:
    """The protocol's NO_TIMESTAMP is -1. A value without a time either has that for its event time."""
    s = await settings(partitions=1, engine={"device": "cpu"})
    values = [tick(0), tick(1), b'{"x": 2}', b'{"x": 3}']
    rows = [logs.Row(n, b"s" if n < 2 else b"t", value, time_ms=-1) for n, value in enumerate(values)]
    await produce_bytes(s, logs.batch(0, rows, max_ms=-1))
    assert [r.timestamp_ms for r in await everything(s)] == [-1] * 4
    async with start(s, bundle) as daemon:
        await daemon.until_log("http on")
        await daemon.until_metric("streamrnn_predictions_total", 4)
        assert await daemon.metric("streamrnn_latency_seconds_count") == 0
    out = s.model_copy(update={"input": s.input.model_copy(update={"topic": s.output.topic})})
    predictions = [json.loads(r.value or b"") for r in await everything(out)]
    assert [(p["stream"], p["time"]) for p in predictions] == [
        ("s", 1_700_000_000_000),
        ("s", 1_700_000_000_001),
        ("t", -1),
        ("t", -1),
    ]
    assert (await verify(s, load_bundle(bundle))).is_clean


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
    appender = Appender(s)
    await appender.start()
    await appender.append(s.input.topic, [*good[:3], *bad, *good[3:]])
    await appender.stop()
    async with start(s, bundle) as daemon:
        await daemon.until_metric("streamrnn_predictions_total", 6)
    letters = s.model_copy(update={"input": s.input.model_copy(update={"topic": s.dead_letter_topic})})
    got = await everything(letters)
    assert [(r.value, list(r.headers)[:3]) for r in got] == [(b"no tick", ODD), (None, ODD)]
    assert (await verify(s, load_bundle(bundle))).is_clean
