"""Whether what is in the topics is exactly once, in order, and to the bit what an undisturbed engine says.

Independent of `streamrnn verify`: logs are read with a plain client, the oracle is one engine in this process that
steps the whole input once, partition by partition.
"""

import asyncio
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from numpy.typing import NDArray

from streamrnn.codecs import Decoder
from streamrnn.codecs.input_decoder import make_decoder
from streamrnn.config import Settings
from streamrnn.engine.making import make_engine
from streamrnn.nn.bundle import load_bundle
from streamrnn.ticks import Record

READ_S = 30.0
SHOWN = 10
Place = tuple[int, int]
"""Partition and offset in the input topic."""


class Said(NamedTuple):
    """One record of the output or the dead letters: which tick it answers, and where it stands in its log."""

    source: Place
    partition: int
    offset: int
    key: bytes | None
    body: dict[str, Any]


class Expected(NamedTuple):
    """What the oracle says of a tick: values (K, O, Q), the residual (O,), NaN for none, and steps so far."""

    values: bytes
    residual: bytes
    steps: int


class Log(NamedTuple):
    """The records of a topic, partition after partition in order of offsets."""

    records: list[Record]

    def predictions(self) -> list[Said]:
        """As predictions."""
        return [self._said(r, "src-partition", "src-offset", json.loads(r.value or b"")) for r in self.records]

    def letters(self) -> list[Said]:
        """As dead letters; their body is the reason."""
        prefix = "__streamrnn.errors."
        return [
            self._said(r, f"{prefix}partition", f"{prefix}offset", _texts(r, prefix, ("stage", "code")))
            for r in self.records
        ]

    @staticmethod
    def _said(record: Record, partition: str, offset: str, body: dict[str, Any]) -> Said:
        facts = dict(record.headers)
        source = int(facts[partition]), int(facts[offset])
        return Said(source, record.partition, record.offset, record.key, body)


def _texts(record: Record, prefix: str, names: Iterable[str]) -> dict[str, Any]:
    facts = dict(record.headers)
    return {name: facts[prefix + name].decode() for name in names}


async def read_log(
    bootstrap: str, topic: str, isolation: Literal["read_committed", "read_uncommitted"] = "read_committed"
) -> Log:
    """All that a topic holds; waits for transactions that are open."""
    options = {"bootstrap_servers": bootstrap, "enable_auto_commit": False, "auto_offset_reset": "none"}
    found: list[Record] = []
    async with (
        AIOKafkaConsumer(**options, isolation_level=isolation) as consumer,
        AIOKafkaConsumer(**options) as seer,  # sees how far the log reaches, decided or not
    ):
        tps = await _partitions(consumer, topic)
        consumer.assign(tps)
        ends = await seer.end_offsets(tps)
        for tp, start in (await consumer.beginning_offsets(tps)).items():
            consumer.seek(tp, start)
        async with asyncio.timeout(READ_S):
            while not await _is_through(consumer, ends):
                for batch in (await consumer.getmany(timeout_ms=100, max_records=5000)).values():
                    found += [Record(r.partition, r.offset, r.timestamp, r.key, r.value, r.headers) for r in batch]
    return Log(sorted(found, key=lambda record: record[:2]))


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    consumer._client.set_topics([topic])
    await consumer._client.force_metadata_update()
    return [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]


async def _is_through(consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> bool:
    positions = [(await consumer.position(tp), end) for tp, end in ends.items()]
    return all(position >= end for position, end in positions)


async def committed(bootstrap: str, group: str, topic: str) -> dict[int, tuple[int, str]]:
    """The group's committed offsets with what is written beside them."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        marks = await admin.list_consumer_group_offsets(group)
    finally:
        await admin.close()
    return {tp.partition: (mark.offset, mark.metadata) for tp, mark in marks.items() if tp.topic == topic}


async def ends_of(bootstrap: str, topic: str) -> dict[int, int]:
    """The offset after the last record of each partition."""
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        ends = await consumer.end_offsets(await _partitions(consumer, topic))
    return {tp.partition: end for tp, end in ends.items()}


class Oracle:
    """An engine that nothing disturbs, and what it says of each tick of the input.

    settings: the worker's. since: by partition, where the state begins, if not at the first tick.
    """

    def __init__(
        self, settings: Settings, bundle: Path, ticks: Log, since: Mapping[int, int] | None = None
    ) -> None:
        model, first = load_bundle(bundle), since or {}
        self.engine = make_engine(model, settings)
        self.said: dict[Place, Expected] = {}
        self.refused: set[Place] = set()
        decoder = make_decoder(model.spec, settings)
        records = [r for r in ticks.records if r.offset >= first.get(r.partition, 0)]
        for start in range(0, len(records), 977):
            self._take(decoder, records[start : start + 977])

    def _take(self, decoder: Decoder, records: list[Record]) -> None:
        batch, dead = decoder.decode(records)
        self.refused |= {(letter.record.partition, letter.record.offset) for letter in dead}
        done = self.engine.step(batch)
        rows = zip(batch.partition.tolist(), batch.offset.tolist(), done.ok.tolist(), strict=True)
        for row, (partition, offset, ok) in enumerate(rows):
            if ok:
                values, residual = _bits(done.values[row]), _bits(done.residual[row])
                self.said[partition, offset] = Expected(values, residual, int(done.steps[row]))
            else:
                self.refused.add((partition, offset))


def as_expected(body: dict[str, Any], targets: tuple[str, ...]) -> Expected:
    """A published prediction of a point model in the oracle's form."""
    horizons = zip(*(body["prediction"][target] for target in targets), strict=True)
    values = np.array([[[x] for x in row] for row in horizons], np.float32)
    shown = body.get("residual") or {}
    residual = np.array([shown.get(target, math.nan) for target in targets], np.float32)
    return Expected(_bits(values), _bits(residual), body["state"]["steps"])


def _bits(values: NDArray[np.float32]) -> bytes:
    """All NaN look alike."""
    return np.where(np.isnan(values), np.float32(np.nan), values).astype(np.float32).tobytes()


def problems(ticks: Log, said: list[Said], letters: list[Said], exactly_once: bool = True) -> list[str]:
    """What is lost, doubled, out of order or misplaced, in words; empty when all is well.

    Without `exactly_once` a tick may be answered more than once, and answers may begin again further back.
    """
    known = {(r.partition, r.offset): r.key for r in ticks.records}
    counts = Counter(each.source for each in [*said, *letters])
    found = [f"{place} is lost" for place in known if place not in counts]
    found += [f"{place} is answered and was never asked" for place in counts if place not in known]
    found += [f"{each.source} has the key {each.key!r}" for each in said if each.key != known.get(each.source)]
    wrong = [each for each in [*said, *letters] if each.partition != each.source[0]]
    found += [f"{each.source} is answered in partition {each.partition}" for each in wrong]
    if exactly_once:
        found += [f"{place} is answered {count} times" for place, count in counts.items() if count > 1]
        found += [*_out_of_order(said), *_out_of_order(letters)]
    return _shortened(found)


def _out_of_order(said: list[Said]) -> list[str]:
    by_partition: defaultdict[int, list[Said]] = defaultdict(list)
    for each in said:
        by_partition[each.partition].append(each)
    return [
        f"{later.source} comes after {earlier.source}"
        for each in by_partition.values()
        for earlier, later in pairwise(each)
        if later.source[1] < earlier.source[1]
    ]


def differences(said: list[Said], oracle: Oracle) -> list[str]:
    """Predictions whose bits or steps are not the oracle's."""
    targets = oracle.engine.spec.targets
    found = []
    for each in said:
        expected = oracle.said.get(each.source)
        if expected is None:
            found.append(f"{each.source} is predicted, the oracle refuses it")
        elif (heard := as_expected(each.body, targets)) != expected:
            found.append(f"{each.source}: {_readable(heard)} instead of {_readable(expected)}")
    return _shortened(found)


def _readable(expected: Expected) -> str:
    values, residual = (np.frombuffer(b, np.float32).tolist() for b in expected[:2])
    return f"values {values}, residual {residual}, steps {expected.steps}"


def _shortened(found: list[str]) -> list[str]:
    return found if len(found) <= SHOWN else [*found[:SHOWN], f"and {len(found) - SHOWN} more"]
