"""A compacted topic of ticks, lists of ticks and null values under kills: every tick is answered once, to the bit.

The oracle knows neither lists nor ends: it is given each element as a record, and each life of a key as a stream.
"""

import json
import random
from collections import Counter
from signal import SIGTERM
from typing import Any, NamedTuple

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streamrnn.ticks import Record
from tests.chaos.checking import Log, Oracle, as_expected
from tests.chaos.conftest import SceneFactory
from tests.chaos.feeding import Feed, load
from tests.chaos.scene import Scene

pytestmark = pytest.mark.kafka
Source = tuple[int, int, int | None]
"""Partition, offset and index of a tick."""


def mix(feed: Feed, seed: int) -> None:
    """Have a third of the records be lists, some with a bad tick, and a twelfth of them null."""
    plain = feed.value

    def value(number: int) -> Any:
        dice = random.Random(seed * 1_000_003 + number)
        kind = dice.random()
        if kind < 0.08:
            return None
        if kind > 0.4:
            return plain(number)
        ticks = [json.loads(plain(number + 7 * k)) for k in range(dice.randrange(1, 5))]
        if kind < 0.12:
            ticks[-1]["x"] = "no number"
        return json.dumps(ticks).encode()

    feed.value = value  # type: ignore[method-assign]


class Plain(NamedTuple):
    """The input as ticks alone: records of one tick each, and of each its place in the topic; the last life of each
    key, None where it has ended."""

    ticks: Log
    places: list[Source]
    living: dict[tuple[int, bytes], bytes | None]


def plainly(log: Log) -> Plain:
    lives: Counter[tuple[int, bytes]] = Counter()
    made, places = list[Record](), list[Source]()
    living: dict[tuple[int, bytes], bytes | None] = {}
    for record in log.records:
        assert record.key is not None
        at = record.partition, record.key
        if record.value is None:
            lives[at] += 1
            living[at] = None
            continue
        value = json.loads(record.value)
        listed = isinstance(value, list)
        stream = living[at] = record.key + b"#%d" % lives[at]
        for index, tick in enumerate(value if listed else [value]):
            raw = json.dumps(tick).encode()
            made.append(record._replace(offset=len(made), key=stream, value=raw, headers=()))
            places.append((record.partition, record.offset, index if listed else None))
    return Plain(Log(made), places, living)


def sources(log: Log, prefix: str) -> list[Source]:
    facts = [dict(r.headers) for r in log.records]
    indexes = [f.get(prefix + "index") for f in facts]
    return [
        (int(f[prefix + "partition"]), int(f[prefix + "offset"]), None if index is None else int(index))
        for f, index in zip(facts, indexes, strict=True)
    ]


async def check(s: Scene) -> Plain:
    """Each tick answered once, in order, with the bits that the oracle has for it; nothing for a null value."""
    plain = plainly(await s.ticks())
    oracle = oracle_of(s, plain)
    out, dead = await s.answers()
    said = sources(out, "src-")
    expected = {plain.places[offset]: one for (_, offset), one in oracle.said.items()}
    assert len(expected) > 1000
    for partition in {place[0] for place in said}:
        due = [place for place in plain.places if place in expected and place[0] == partition]
        assert [place for place in said if place[0] == partition] == due
    targets = oracle.engine.spec.targets
    heard = [as_expected(json.loads(r.value or b""), targets) for r in out.records]
    assert dict(zip(said, heard, strict=True)) == expected
    refused = {plain.places[offset] for _, offset in oracle.refused}
    letters = sources(dead, "__streamrnn.errors.")
    assert (len(letters), set(letters)) == (len(refused), refused)
    assert any(index is not None for *_, index in refused)
    return plain


def oracle_of(s: Scene, plain: Plain) -> Oracle:
    reading = s.settings.input.model_copy(update={"records": "one", "tombstones": "dead-letter"})
    engine = s.settings.engine.model_copy(update={"max_streams": 10**6})
    return Oracle(s.settings.model_copy(update={"input": reading, "engine": engine}), s.bundle, plain.ticks)


async def compact(s: Scene) -> None:
    """As a topic that holds null values is."""
    admin = AIOKafkaAdminClient(bootstrap_servers=s.broker.direct)
    await admin.start()
    try:
        topic = ConfigResource(ConfigResourceType.TOPIC, s.settings.input.topic, {"cleanup.policy": "compact"})
        await admin.alter_configs([topic])
    finally:
        await admin.close()


async def test_kills_among_lists_and_ends_lose_and_double_nothing_and_no_state_comes_back(
    scene: SceneFactory,
) -> None:
    s = await scene(
        partitions=2, input={"records": "list", "tombstones": "forget"}, engine={"max_streams": 3, "max_parked": 5}
    )
    await compact(s)
    mix(s.feed, 3)
    async with load(s.feed, rate=600):
        for least in (400, 30, 900):
            worker = await s.start()
            await worker.until_total("streamrnn_predictions_total", least)
            await worker.kill()
        last = await s.start()
        await last.until_total("streamrnn_snapshots_total", 2)
    await s.until_drained()
    plain = await check(s)
    await s.check_verified()
    oracle = oracle_of(s, plain)
    seen = Counter[str]()
    for (partition, key), stream in sorted(plain.living.items()):
        held = await last.state_of(partition, key.decode())
        view = None if stream is None else oracle.engine.inspect(partition, stream)
        if view is None:
            assert held is None
        elif held is not None:  # others are only in snapshots
            assert (held["state"], held["steps"]) == (view.state, view.steps), (partition, key)
        seen["ended" if view is None else "cold" if held is None else "held"] += 1
    assert seen["held"] >= 4
    assert await last.stop(SIGTERM) == 0
