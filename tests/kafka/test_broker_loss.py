"""The broker dies under load and comes back; the input topic grows. A real Kafka, a real process."""

import asyncio
import json
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from streamrnn.codecs import Decoder
from streamrnn.config import Settings
from streamrnn.engine.engine import Engine
from streamrnn.errors import BrokerUnavailable, TopicError
from streamrnn.kafka.admin import create_topic
from streamrnn.kafka.writing.appending import Appender
from streamrnn.nn.bundle import load_bundle
from streamrnn.service import Service
from streamrnn.ticks import OutRecord, Record
from tests.kafka.reading_back import read_range

from .conftest import SettingsFactory, kafka_home, real_kafka, real_only
from .served import start

Place = tuple[int, int]
PARTITIONS, COUNT, LATE = 2, 16_000, 500


def ticks(first: int, count: int) -> list[OutRecord]:
    return [
        OutRecord(n % PARTITIONS, 1_000 + n, b"s%d" % (n % 10), json.dumps({"time": n, "x": n * 7 % 23}).encode())
        for n in range(first, first + count)
    ]


async def publish(settings: Settings, records: list[OutRecord]) -> None:
    appender = Appender(settings)
    await appender.start()
    await appender.append(settings.input.topic, records)
    await appender.stop()


async def in_the_log(settings: Settings, topic: str) -> list[Record]:
    s = settings.model_copy(update={"input": settings.input.model_copy(update={"topic": topic})})
    everything = [read_range(s, partition, 0, 10_000_000, 5000) for partition in range(PARTITIONS)]
    return [record for batches in everything async for records in batches for record in records]


def alone(bundle: Path, records: list[Record]) -> dict[Place, float]:
    """The oracle: an engine that steps each stream by itself, tick by tick."""
    model = load_bundle(bundle)
    engine, decoder = Engine(model, max_streams=100, device="cpu"), Decoder(model.spec)
    steps = ((r, engine.step(decoder.decode([r])[0])) for r in records)
    return {(r.partition, r.offset): float(step.values[0, 0, 0, 0]) for r, step in steps}


def said(records: list[Record]) -> list[tuple[Place, float]]:
    """Each prediction's source position and value."""
    facts = [(dict(r.headers), json.loads(r.value or b"")["prediction"]["x"][0]) for r in records]
    return [((int(f["src-partition"]), int(f["src-offset"])), float(np.float32(x))) for f, x in facts]


def crash(cluster: Path) -> None:
    os.kill(int((cluster / "0.pid").read_text()), signal.SIGKILL)


async def restart(home: Path, cluster: Path) -> None:
    command = [str(home / "restart"), str(cluster), "0"]
    await asyncio.to_thread(subprocess.run, command, check=True, timeout=60)


@pytest.mark.kafka
async def test_a_broker_that_dies_under_load_and_returns_costs_no_tick_and_no_bit(
    tmp_path: Path, bundle: Path
) -> None:
    home, cluster = kafka_home("start", "restart"), tmp_path / "cluster"
    with real_kafka(home, cluster) as bootstrap:
        kafka = {"bootstrap": bootstrap, "session_timeout_ms": 6000, "heartbeat_interval_ms": 500}
        s = Settings(kafka=kafka | {"request_timeout_ms": 5000}, output={"topic": "out"})
        await create_topic(s.kafka, "ticks", PARTITIONS)
        await publish(s, ticks(0, COUNT))
        async with start(s, bundle, "--input.max_poll_records=40") as served:
            await served.until_metric("streamrnn_predictions_total", 1000)
            crash(cluster)
            await served.until_log("broker is away, waiting for it")
            assert await served.metric("streamrnn_broker_up") == 0
            assert await served.metric("streamrnn_predictions_total") < COUNT, "it died under load"
            await asyncio.sleep(3)
            assert await served.get("/livez") == (200, "ok\n")
            assert await served.get("/readyz") == (503, "the broker is away\n")
            await restart(home, cluster)
            await publish(s, ticks(COUNT, LATE))
            await served.until_metric("streamrnn_predictions_total", COUNT + LATE)
            await served.until_ready()
            assert await served.metric("streamrnn_broker_up") == 1
            assert "broker is back" in served.log()
            assert await served.stop(signal.SIGTERM) == 0, served.log()
            assert "Traceback" not in served.log()
        expected = alone(bundle, await in_the_log(s, "ticks"))
        found = said(await in_the_log(s, "out"))
    assert len(expected) == COUNT + LATE
    assert {place for place, _ in found} == set(expected)
    assert [(place, expected[place]) for place, _ in found] == found


@real_only
async def test_a_producer_that_lost_its_place_in_the_sequence_is_replaced(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    appender = Appender(s)
    await appender.start()
    first, second = ([OutRecord(0, 1_000, b"k", b"%d" % n)] for n in (1, 2))
    await appender.append(s.input.topic, first)
    producer = appender._publisher.producer
    assert producer is not None
    sequence = producer._txn_manager
    sequence.increment_sequence_number(TopicPartition(s.input.topic, 0), 7)
    with pytest.raises(BrokerUnavailable, match="OutOfOrderSequenceNumber"):
        await appender.append(s.input.topic, second)
    await appender.append(s.input.topic, second)
    await appender.stop()
    found = [r.value async for records in read_range(s, 0, 0, 10, 10) for r in records]
    assert found == [b"1", b"2"]


@real_only
async def test_a_topic_that_grows_stops_the_service_with_a_message(settings: SettingsFactory, bundle: Path) -> None:
    made = await settings(partitions=2, kafka={"metadata_max_age_ms": 200})
    s = made.model_copy(update={"http": made.http.model_copy(update={"enabled": False})})
    await publish(s, ticks(0, 20))
    service = Service(s, load_bundle(bundle))
    running = asyncio.create_task(service.run(asyncio.Event()))
    async with asyncio.timeout(20):
        while service.metrics.glance()["ticks"] < 20:
            await asyncio.sleep(0.05)
    admin = AIOKafkaAdminClient(bootstrap_servers=s.kafka.bootstrap)
    await admin.start()
    await admin.create_partitions({s.input.topic: NewPartitions(3)})
    await admin.close()
    with pytest.raises(TopicError, match=f"{s.input.topic} has grown from 2 to 3 partitions"):
        await asyncio.wait_for(running, 20)
