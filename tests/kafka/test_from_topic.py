"""A history from the input topic is what a service steps: the same ticks, streams, order and bits; both brokers."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from aiokafka import AIOKafkaProducer

from streamrnn.config import Settings
from streamrnn.errors import DataError, TopicError
from streamrnn.kafka.reading.history import Span
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.retraining.from_topic import Collected, ReadingProgress, collect
from streamrnn.service import Service
from streamrnn.ticks import OutRecord, TickBatch
from streamrnn.train.history import Spool

from .conftest import SettingsFactory, real_only
from .test_source_and_sink import publish

SPEC = ModelSpec(
    name="pump", features=("temp", "load"), targets=("temp",), channels=(Channel("temp"), Channel("load")), hidden=8
)
HOUR_AGO_MS = int(time.time() - 3600) * 1000
Ticks = list[tuple[int, bytes]]
"""A stream's ticks in order: event time and the features' bits."""


def written(values: list[Any], key: bytes | None = b"a", partition: int = 0, first: int = 0) -> list[OutRecord]:
    """Records of these values, a second apart; what is not bytes goes as JSON."""
    raw = [value if isinstance(value, bytes | None) else json.dumps(value).encode() for value in values]
    return [OutRecord(partition, HOUR_AGO_MS + 1000 * n, key, value) for n, value in enumerate(raw, first)]


def sound(count: int, first: int = 0) -> list[dict[str, float]]:
    return [{"time": n, "temp": n / 3, "load": n / 7} for n in range(first, first + count)]


AWKWARD = [
    {"temp": 1.5, "load": 2},
    {"time": "2026-01-01T00:00:00Z", "temp": 1.5, "load": None, "other": [1]},
    {"time": 7.9, "temp": 1e-45},
    {"time": 5, "temp": 0.1, "load": -0.0},
    {"time": 5, "temp": 0.1, "load": -0.0},
]
"""No time, text for one, a fraction, missing features, a time that goes back, twice the same."""
REFUSED = {
    "undecodable": b"{",
    "null": None,
    "bad_type": {"temp": "x"},
    "not_finite": b'{"temp": 1e39}',
    "bad_time": {"time": "soon", "temp": 1},
    "not_an_object": [1],
    "too_large": b" " * 5000 + b"{}",
}


async def gather(
    s: Settings, *bounds: Any, watch: Callable[[ReadingProgress], None] = lambda _: None
) -> tuple[Collected, dict[str, Ticks]]:
    """What is collected, and what the history has of each stream."""
    with Spool(SPEC.features) as spool:
        since, until, offsets = bounds or (None, None, None)
        collected = await collect(s, SPEC, since, until, offsets, spool, watch)
        history = spool.history()
        assert len(history) == collected.ticks
        rows = [(int(t), v.tobytes()) for t, v in zip(history.time_ms, history.values, strict=True)]
        starts = history.starts.tolist()
    return collected, {name: rows[starts[n] : starts[n + 1]] for n, name in enumerate(history.streams)}


async def stepped(s: Settings, count: int) -> tuple[dict[tuple[int, bytes], Ticks], dict[str, int]]:
    """What a service steps until it has had `count` records, by partition and key; and what it refuses."""
    torch.manual_seed(1)
    service, stop, batches = Service(s, Model(SPEC)), asyncio.Event(), list[TickBatch]()
    await service.load()
    step = service.engine.step

    def recorded(batch: TickBatch, **more: Any) -> Any:
        batches.append(batch)
        return step(batch, **more)

    service.engine.step = recorded  # type: ignore[assignment, method-assign]
    running = asyncio.create_task(service.run(stop))
    dead = service.metrics._values["streamrnn_dead_letters_total"]
    try:
        async with asyncio.timeout(30):
            while sum(map(len, batches)) + sum(dead.values()) < count and not running.done():
                await asyncio.sleep(0.02)
    finally:
        stop.set()
        await asyncio.wait_for(running, 30)
    ticks: dict[tuple[int, bytes], Ticks] = {}
    for batch in batches:
        columns = zip(batch.partition.tolist(), batch.streams, batch.time_ms.tolist(), batch.values, strict=True)
        for partition, key, at, row in columns:
            ticks.setdefault((partition, key), []).append((at, row.tobytes()))
    return ticks, {code: int(n) for (_, code), n in dead.items()}


async def test_it_is_what_a_service_steps_and_refuses(settings: SettingsFactory) -> None:
    bounded = {"max_poll_records": 7, "max_record_bytes": 4000}
    s = await settings(partitions=2, http={"enabled": False}, input=bounded)
    records = written(sound(40)) + written(AWKWARD, first=40) + written(list(REFUSED.values()), first=45)
    records += written(sound(2), key=None, first=52) + written(sound(1), key=b"\xff", first=54)
    records += written(sound(30, 100), b"b", 1) + written(sound(20, 200), b"a", 1, 30)
    await publish(s, records)
    ticks, refused = await stepped(s, len(records))
    collected, streams = await gather(s)
    names = {(0, b"a"): "a", (1, b"b"): "b", (1, b"a"): "a (partition 1)"}
    assert streams == {names[stream]: rows for stream, rows in ticks.items()}
    assert [len(rows) for rows in streams.values()] == [45, 30, 20]
    assert collected.dead_letters == refused == dict.fromkeys(REFUSED, 1) | {"missing_key": 2, "bad_key": 1}
    assert collected.spans == [Span(0, 0, 55), Span(1, 0, 50)]


@pytest.mark.parametrize("codec", ["msgpack", "float32"])
async def test_it_reads_what_the_settings_say(settings: SettingsFactory, codec: str) -> None:
    fields = {"time_field": "at"} | ({"stream_field": "id"} if codec == "msgpack" else {})
    s = await settings(partitions=1, input={"codec": codec, **fields})
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    objects = [{"id": "é", "at": n, "temp": row[0].item(), "load": row[1].item()} for n, row in enumerate(rows)]
    values = [row.tobytes() for row in rows] if codec == "float32" else [msgspec.msgpack.encode(o) for o in objects]
    await publish(s, written(list(values)))
    _, streams = await gather(s)
    times = range(3) if codec == "msgpack" else [HOUR_AGO_MS + 1000 * n for n in range(3)]
    expected = [(at, row.tobytes()) for at, row in zip(times, rows, strict=True)]
    assert streams == {"é" if codec == "msgpack" else "a": expected}


async def test_a_key_in_two_partitions_never_shares_a_name(settings: SettingsFactory) -> None:
    s = await settings(partitions=3)
    odd = b"a (partition 1)"
    records = written(sound(1), odd) + written(sound(2)) + written(sound(3), b"a", 1) + written(sound(4), odd, 2)
    await publish(s, records + written(sound(5), b"a", 2))
    _, streams = await gather(s)
    assert {name: len(rows) for name, rows in streams.items()} == {
        "a (partition 1)": 1,
        "a": 2,
        "a (partition 1) (partition 1)": 3,
        "a (partition 1) (partition 2)": 4,
        "a (partition 2)": 5,
    }


@pytest.mark.parametrize(
    ("bounds", "times"),
    [
        ((HOUR_AGO_MS + 3000, None, None), range(3, 20)),
        ((None, HOUR_AGO_MS + 3000, None), range(3)),
        ((HOUR_AGO_MS + 2500, HOUR_AGO_MS + 5001, {}), range(3, 6)),
        ((None, None, {0: (5, 9)}), range(5, 9)),
        ((HOUR_AGO_MS + 6000, None, {0: (None, 9)}), range(6, 9)),
    ],
)
async def test_bounds_choose_records(settings: SettingsFactory, bounds: tuple[Any, ...], times: range) -> None:
    s = await settings(partitions=2)
    await publish(s, written(sound(10)))
    await publish(s, written(sound(10, 10), first=10))
    collected, streams = await gather(s, *bounds)
    assert [at for at, _ in streams["a"]] == list(times)
    assert collected.spans == [Span(0, times.start, times.stop)]


async def test_progress_grows_to_the_whole(settings: SettingsFactory) -> None:
    s = await settings(partitions=2, input={"max_poll_records": 4})
    await publish(s, written([*sound(9), b"{"]) + written(sound(6), b"b", 1))
    seen: list[ReadingProgress] = []
    await gather(s, watch=seen.append)
    assert [p.offsets for p in seen] == [4, 8, 10, 14, 16]
    assert seen[2] == ReadingProgress(9, 10, 16)
    assert seen[-1] == ReadingProgress(15, 16, 16)


async def test_nothing_to_train_on_is_an_error_not_an_empty_history(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    with pytest.raises(DataError, match="holds no record"):
        await gather(s)
    await publish(s, written([b"{", b"["]))
    with pytest.raises(DataError, match="no ticks"):
        await gather(s)
    with pytest.raises(TopicError, match="nowhere does not exist"):
        await gather(await settings(input={"topic": "nowhere"}))


@real_only
async def test_aborted_transactions_and_markers_are_not_there(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    producer = AIOKafkaProducer(bootstrap_servers=s.kafka.bootstrap, transactional_id=s.input.topic)
    await producer.start()
    for first, commit in ((0, True), (10, False), (20, True), (30, False)):
        await producer.begin_transaction()
        for record in written(sound(5, first), first=first):
            await producer.send_and_wait(
                s.input.topic, record.value, record.key, partition=0, timestamp_ms=record.timestamp_ms
            )
        await (producer.commit_transaction() if commit else producer.abort_transaction())
    await producer.stop()
    collected, streams = await gather(s)
    assert [at for at, _ in streams["a"]] == [*range(5), *range(20, 25)]
    assert collected.spans == [Span(0, 0, 24)]
    for bounds, span, times in (
        ((HOUR_AGO_MS + 4_000, None, None), Span(0, 4, 24), [4, *range(20, 25)]),
        ((None, HOUR_AGO_MS + 22_000, None), Span(0, 0, 14), [*range(5), 20, 21]),
        ((HOUR_AGO_MS + 12_000, None, None), Span(0, 12, 24), list(range(20, 25))),
    ):
        part, streams = await gather(s, *bounds)
        assert (part.spans, [at for at, _ in streams["a"]]) == ([span], times)
