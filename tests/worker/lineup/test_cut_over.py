"""A worker with two lines: who speaks of which offset, and with which state, whatever happens meanwhile."""

import asyncio
import json
import os
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from streamrnn.codecs import make_decoder
from streamrnn.config import Settings
from streamrnn.engine.engine import Engine
from streamrnn.errors import BrokerUnavailable, Rebalanced, StoreUnavailable
from streamrnn.metrics import Metrics
from streamrnn.nn.model import Model
from streamrnn.provenance.pedigree import Pedigree
from streamrnn.ticks import Record
from streamrnn.worker.assembly import make_voice, make_worker
from streamrnn.worker.line import make_line
from streamrnn.worker.lineup.handed import HandedQueue
from streamrnn.worker.lineup.lineup import Lineup
from streamrnn.worker.lineup.voice import ModelVoice
from streamrnn.worker.loop import Worker
from streamrnn.worker.partition import Partition, Phase

from ..conftest import SHORT, SPEC, ticks
from ..fakes import (
    Committed,
    FakeDelivery,
    FakeSource,
    Journal,
    Lost,
    Place,
    check_order_of_durability,
    place_of,
    published,
)

OLD, NEW = "toy@1", "toy@2"
SEEDS = int(os.environ.get("STREAMRNN_TEST_SEEDS", "3"))


def model(version: int) -> Model:
    """Versions differ in their weights; the second is wider."""
    torch.manual_seed(version)
    made = Model(msgspec.structs.replace(SPEC, version=version, hidden=8 * version))
    torch.nn.init.normal_(made.head.weight, std=0.1)
    torch.nn.init.ones_(made.head.bias)
    return made


@dataclass
class Daemon:
    """One process: a worker of two versions at most, on a broker that outlives it."""

    source: FakeSource
    delivery: FakeDelivery
    worker: Worker
    settings: Settings
    metrics: Metrics
    voices: dict[str, ModelVoice] = field(default_factory=dict)

    @property
    def lineup(self) -> Lineup:
        return self.worker.lineup

    def voice(self, version: int) -> ModelVoice:
        """Another voice, not yet of the lineup."""
        line = make_line(model(version), self.settings, self.metrics, SHORT, slice_rows=2)
        made = make_voice(self.settings, self.source, line, self.lineup, self.metrics, SHORT)
        self.voices[made.label] = made
        return made

    async def summon(self, written: Pedigree) -> ModelVoice | None:
        if len(self.lineup.voices()) < 2 and self.lineup.get(written.model) is None:
            self.lineup.add(self.voices.get(written.model) or self.voice(int(written.model[-1])))
        return self.lineup.get(written.model)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["asyncio.Task[None]"]:
        """Leaving ends it at once."""
        task = asyncio.create_task(self.worker.run(asyncio.Event()))
        try:
            yield task
        finally:
            task.cancel()
            done, _ = await asyncio.wait({task}, timeout=10)
            assert done
            if not task.cancelled():
                raise task.exception() or AssertionError("it has stopped")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Leaving ends it in order."""
        stop = asyncio.Event()
        task = asyncio.create_task(self.worker.run(stop))
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait_for(task, 10)


@pytest.fixture
def daemons() -> Iterator[Callable[..., Daemon]]:
    made: list[Daemon] = []

    def make(source: FakeSource, version: int = 1, exact: bool = True, **sections: dict[str, object]) -> Daemon:
        guarantee = "exactly_once" if exact else "at_least_once"
        given: dict[str, dict[str, object]] = {
            "delivery": {"commit_interval_ms": 1, "guarantee": guarantee},
            "input": {"warmup_ticks": 1_000_000, "max_poll_records": 7},
        }
        settings = Settings(**{**given, **sections})  # type: ignore[arg-type]
        metrics, delivery = Metrics(), FakeDelivery(source.journal, source, exact)
        line = make_line(model(version), settings, metrics, SHORT, slice_rows=2)
        worker = make_worker(settings, source, delivery, line, metrics, SHORT)
        daemon = Daemon(source, delivery, worker, settings, metrics)
        daemon.voices[line.spec.label] = worker.lineup.main()
        worker.lineup.summon = daemon.summon
        made.append(daemon)
        return daemon

    yield make
    for daemon in made:
        for voice in daemon.voices.values():
            voice.line.thread.close(wait=True)


async def until(happened: Callable[[], object], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not happened():
            await asyncio.sleep(0.001)


def said(journal: Journal) -> dict[Place, list[tuple[str, float]]]:
    """By place: who said what, in order."""
    found: dict[Place, list[tuple[str, float]]] = {}
    for record in published(journal, "predictions"):
        value = json.loads(record.value or b"")
        found.setdefault(place_of(record), []).append(
            (value["model"], float(np.float32(value["prediction"]["x"][0])))
        )
    return found


def alone(version: int, records: list[Record]) -> dict[Place, float]:
    """What the version says of all of them from the first on, tick by tick."""
    engine = Engine(model(version), max_streams=100, device="cpu")
    decoder = make_decoder(model(version).spec, Settings())
    steps = (engine.step(decoder.decode([record])[0]) for record in records)
    return {(r.partition, r.offset): float(s.values[0, 0, 0, 0]) for r, s in zip(records, steps, strict=True)}


def check(source: FakeSource, exact: bool = True) -> dict[int, list[str]]:
    """Each offset once, by one voice, with the state of all its ticks; who spoke, by partition."""
    check_order_of_durability(source.journal)
    found = said(source.journal)
    speakers: dict[int, list[str]] = {}
    for partition, records in source.ticks.items():
        oracle = {OLD: alone(1, records), NEW: alone(2, records)}
        for record in records:
            place = (partition, record.offset)
            assert place in found, f"{place} has no prediction"
            assert not exact or len(found[place]) == 1, f"{place} was said {len(found[place])} times"
            for speaker, value in found[place]:
                assert value == oracle[speaker][place], f"{speaker} at {place} is not the state of its ticks"
            speakers.setdefault(partition, []).append(found[place][-1][0])
    return speakers


def changes(speakers: list[str]) -> int:
    return sum(a != b for a, b in pairwise(speakers))


@pytest.mark.parametrize("exact", [True, False])
async def test_another_version_speaks_from_one_offset_on_with_a_state_of_all_the_ticks(
    daemons: Callable[..., Daemon], exact: bool
) -> None:
    topic = {0: ticks(0, 60), 1: ticks(1, 60)}
    source = FakeSource([], topic, 5)
    source.assign(0, 1)
    d = daemons(source, exact=exact)
    async with d.serving():
        await until(lambda: len(said(source.journal)) >= 60)
        d.lineup.add(d.voice(2))
        d.lineup.wanted = NEW
        while not all(p.speaker == NEW for p in d.worker.assigner.owned()):
            for partition in topic:
                at = len(topic[partition])
                topic[partition] += ticks(partition, at + 3)[at:]
            await asyncio.sleep(0.002)
        for partition in topic:
            at = len(topic[partition])
            topic[partition] += ticks(partition, at + 40)[at:]
        await until(lambda: len(said(source.journal)) == sum(map(len, topic.values())))
    speakers = check(source, exact)
    for partition in topic:
        assert changes(speakers[partition]) == 1
        assert speakers[partition][0] == OLD
        assert speakers[partition][-1] == NEW
        assert Pedigree.from_text(source.metadata[partition]).served_from == speakers[partition].index(NEW)  # type: ignore[union-attr]


async def live(d: Daemon, rng: random.Random, topic: dict[int, list[Record]], acts: int) -> None:
    """Some time of one process, in which what may happen does: ticks, promotions, rebalances, commits that fail."""
    labels = [OLD, NEW]
    async with d.running() as task:
        for _ in range(acts):
            act = rng.choice(["ticks", "ticks", "ticks", "promote", "promote", "rebalance", "commit", "outcome"])
            if act == "ticks":
                partition = rng.choice(list(topic))
                at = len(topic[partition])
                topic[partition] += ticks(partition, at + rng.randint(1, 12))[at:]
            elif act == "promote":
                label = rng.choice(labels)
                if d.lineup.get(label) is None and len(d.lineup.voices()) < 2:
                    d.lineup.add(d.voices.get(label) or d.voice(int(label[-1])))
                if d.lineup.get(label) is not None:
                    d.lineup.wanted = label
            elif act == "rebalance":
                d.source.revoke()
                await asyncio.sleep(0.001 * rng.random())
                d.source.assign(*rng.sample(list(topic), rng.randint(0, len(topic))))
            elif act == "commit":
                d.source.commit_errors.append(rng.choice([None, BrokerUnavailable("away"), Rebalanced("late")]))
            elif act == "outcome" and d.delivery.is_exact:
                d.delivery.outcomes.append(rng.choice([Lost(True), Lost(False), BrokerUnavailable("away"), None]))
            if not task.done():
                await asyncio.sleep(rng.choice([0, 0, 0.001, 0.01]) * rng.random())


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_whatever_happens_each_offset_is_spoken_of_by_one_voice_with_the_state_of_all_its_ticks(
    daemons: Callable[..., Daemon], exact: bool, seed: int
) -> None:
    rng = random.Random(seed)
    topic: dict[int, list[Record]] = {0: ticks(0, 20), 1: ticks(1, 20), 2: ticks(2, 5)}
    journal: Journal = []
    before = None
    for _ in range(4):
        source = FakeSource(journal, topic, 5)
        if before is not None:
            source.offsets, source.metadata = before.offsets, before.metadata
        source.assign(*topic)
        await live(daemons(source, rng.choice([1, 2]), exact), rng, topic, 40)
        before = source
    assert before is not None
    source = FakeSource(journal, topic, 5)
    source.offsets, source.metadata = before.offsets, before.metadata
    source.assign(*topic)
    d = daemons(source, rng.choice([1, 2]), exact)
    async with d.serving():
        await until(lambda: len(said(journal)) == sum(map(len, topic.values())))
        await until(lambda: all(p.speaker == d.lineup.wanted for p in d.worker.assigner.owned()))
        await until(lambda: {p.phase for p in d.worker.assigner.owned()} == {Phase.LIVE})
    check(source, exact)


async def grow(topic: dict[int, list[Record]], source: FakeSource, count: int) -> None:
    """More ticks in every partition, and all of them answered."""
    for partition in topic:
        at = len(topic[partition])
        topic[partition] += ticks(partition, at + count)[at:]
    await until(lambda: len(said(source.journal)) == sum(map(len, topic.values())))


async def test_together_all_partitions_change_with_one_commit_and_not_before_all_are_ready(
    daemons: Callable[..., Daemon],
) -> None:
    topic = {0: ticks(0, 40), 1: ticks(1, 40)}
    source = FakeSource([], topic, 5)
    source.assign(0, 1)
    d = daemons(source, model={"switch": "together"})
    async with d.serving():
        await until(lambda: len(said(source.journal)) == 80)
        voice = d.voice(2)
        real, held = voice.follower.is_near, {1}
        voice.follower.is_near = lambda number: number not in held and real(number)  # type: ignore[method-assign]
        d.lineup.add(voice)
        d.lineup.wanted = NEW
        await until(lambda: real(0) and real(1))
        await grow(topic, source, 20)
        assert {p.speaker for p in d.worker.assigner.owned()} == {OLD}, "one is not ready"
        held.clear()
        await until(lambda: {p.speaker for p in d.worker.assigner.owned()} == {NEW})
        await grow(topic, source, 20)
    speakers = check(source)
    at_once = [done.positions for done in source.journal if isinstance(done, Committed)]
    froms = {p: speakers[p].index(NEW) for p in topic}
    assert froms in at_once


async def test_a_line_that_cannot_follow_any_more_is_let_go_and_the_other_speaks_on(
    daemons: Callable[..., Daemon],
) -> None:
    topic = {0: ticks(0, 40)}
    source = FakeSource([], topic, 5)
    source.assign(0)
    d = daemons(source)
    async with d.serving():
        voice = d.voice(2)
        d.lineup.add(voice)
        await until(lambda: voice.follower.is_near(0))
        voice.line.engine.step = _broken  # type: ignore[method-assign]
        await grow(topic, source, 20)
        await until(lambda: d.lineup.get(NEW) is None)
        assert d.lineup.broken == {NEW: "the device is gone"}
        await grow(topic, source, 20)
    assert set(check(source)[0]) == {OLD}


def _broken(*_: object, **__: object) -> None:
    raise RuntimeError("the device is gone")


async def test_who_falls_far_behind_reads_again_what_it_has_missed(
    daemons: Callable[..., Daemon],
) -> None:
    topic = {0: ticks(0, 40), 1: ticks(1, 40)}
    source = FakeSource([], topic, 5)
    source.assign(0, 1)
    d = daemons(source)
    async with d.serving():
        voice = d.voice(2)
        voice.follower._queue = HandedQueue(10)
        d.lineup.add(voice)
        await until(lambda: voice.follower.is_near(0) and voice.follower.is_near(1))
        gate = threading.Event()
        voice.thread.post(gate.wait)
        await grow(topic, source, 60)
        assert len(voice.follower._queue) < 10
        gate.set()
        await until(lambda: all(voice.follower.is_at(p, len(topic[p])) for p in topic))
        d.lineup.wanted = NEW
        await until(lambda: {p.speaker for p in d.worker.assigner.owned()} == {NEW})
        await grow(topic, source, 20)
    assert all(changes(speakers) == 1 for speakers in check(source).values())


async def test_rows_of_a_parked_partition_go_with_the_line_that_held_them(daemons: Callable[..., Daemon]) -> None:
    topic = {0: ticks(0, 30), 1: ticks(1, 30)}
    source = FakeSource([], topic, 5)
    source.assign(0, 1)
    d = daemons(source)
    async with d.serving():
        await until(lambda: len(said(source.journal)) == 60)
        source.assign(0)
        await until(lambda: [p.number for p in d.worker.assigner.owned()] == [0])
        await change(d, 2)
        d.lineup.remove(OLD)
        await change(d, 1)
        source.assign(0, 1)
        await grow(topic, source, 20)
    assert set(check(source)[1]) == {OLD}


async def change(d: Daemon, version: int) -> None:
    """Have a version made anew and speak of all."""
    d.lineup.add(d.voice(version))
    d.lineup.wanted = f"toy@{version}"
    await until(lambda: {p.speaker for p in d.worker.assigner.owned()} == {d.lineup.wanted})


async def test_a_store_that_fails_for_a_moment_ends_nobody_who_follows(daemons: Callable[..., Daemon]) -> None:
    topic = {0: ticks(0, 40)}
    source = FakeSource([], topic, 5)
    source.assign(0)
    d = daemons(source)
    async with d.serving():
        voice = d.voice(2)
        d.lineup.add(voice)
        await until(lambda: voice.follower.is_near(0))
        real, failed = voice.line.engine.step, threading.Event()

        def step(*args: Any, **named: Any) -> Any:
            if failed.is_set():
                return real(*args, **named)
            failed.set()
            raise StoreUnavailable("a part cannot be read now")

        voice.line.engine.step = step  # type: ignore[method-assign]
        await grow(topic, source, 20)
        await until(failed.is_set)
        await until(lambda: voice.follower.is_at(0, len(topic[0])))
        d.lineup.wanted = NEW
        await until(lambda: {p.speaker for p in d.worker.assigner.owned()} == {NEW})
        await grow(topic, source, 20)
    assert changes(check(source)[0]) == 1


async def test_a_keeper_that_is_busy_while_a_partition_changes_keeps_no_rows_under_another_lines_position(
    daemons: Callable[..., Daemon], tmp_path: Path
) -> None:
    topic = {0: ticks(0, 30), 1: ticks(1, 30)}
    source = FakeSource([], topic, 5)
    source.assign(0, 1)
    d = daemons(source, snapshots={"url": str(tmp_path), "interval_s": 0.01})
    async with d.serving():
        await until(lambda: len(said(source.journal)) == 60)
        keeper, resume = d.lineup.main().line.keeper, asyncio.Event()
        real, taken = keeper._take, []  # type: ignore[attr-defined]

        async def take(partition: Partition) -> None:
            taken.append((partition.number, partition.speaker))
            if partition.number == 0:
                await resume.wait()
            await real(partition)

        keeper._take = take  # type: ignore[attr-defined]
        await grow(topic, source, 5)
        await until(lambda: taken)
        await change(d, 2)
        await grow(topic, source, 20)
        taken.clear()
        resume.set()
        await grow(topic, source, 20)
        await asyncio.sleep(0.1)
        assert all(speaker != NEW for _, speaker in taken), "of those it holds rows that follow, under no speaker"
    check(source)
