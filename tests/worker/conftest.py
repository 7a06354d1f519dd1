"""A worker between a fake source and a fake sink, with a real engine, decoder and encoder."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from streamrnn.codecs import Decoder
from streamrnn.config import Settings
from streamrnn.engine.engine import Engine
from streamrnn.metrics import Metrics
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.ticks import PredictionBatch, Record, TickBatch
from streamrnn.worker import line as line_module
from streamrnn.worker.assembly import make_worker
from streamrnn.worker.cold_tiers import ColdTiers
from streamrnn.worker.line import Line, make_line
from streamrnn.worker.loop import Worker
from streamrnn.worker.pauses import Pauses

from .fakes import Committed, FakeDelivery, FakeSource, Journal, Place, place_of, published

SPEC = ModelSpec(
    name="toy",
    features=("x",),
    targets=("x",),
    channels=(Channel("x"),),
    hidden=8,
    predicts="log_change",
)
FIRST_TIME_MS = 1_700_000_000_000
SHORT = Pauses(idle_s=0.001, retry_s=0.001, snapshot_look_s=0.001, first_retry_s=0.001, watch_s=0.01)
POISON = 3e38
"""A tick whose prediction is above the largest float32: its row is rolled back."""


def make_model() -> Model:
    """Predicts e times the last value or so."""
    torch.manual_seed(5)
    model = Model(SPEC)
    torch.nn.init.normal_(model.head.weight, std=0.1)
    torch.nn.init.ones_(model.head.bias)
    return model


class TappedEngine(Engine):
    """An engine that tells a test, on its thread, of each step that is about to begin."""

    on_step: Callable[[bool], None] = staticmethod(lambda warm: None)

    def step(self, ticks: TickBatch, warm: bool = False, has_misses: bool = False) -> PredictionBatch:
        self.on_step(warm)
        return super().step(ticks, warm, has_misses)


def make_engine() -> TappedEngine:
    return TappedEngine(make_model(), max_streams=100, device="cpu")


def make_tapped(model: Model, settings: Settings, cold: ColdTiers | None = None) -> TappedEngine:
    limits = settings.engine
    return TappedEngine(
        model, max_streams=limits.max_streams, max_parked=limits.max_parked, device="cpu", cold=cold
    )


def tick(partition: int, offset: int, x: float, stream: bytes = b"s") -> Record:
    value = json.dumps({"time": FIRST_TIME_MS + offset, "x": x}).encode()
    return Record(partition, offset, 1_000 + offset, stream, value)


def ticks(partition: int, count: int, streams: int = 3) -> list[Record]:
    return [tick(partition, n, 1.0 + (n * 7 + partition) % 5, b"s%d" % (n % streams)) for n in range(count)]


def alone(records: Iterable[Record]) -> dict[Place, float]:
    """The oracle: each stream steps by itself, tick by tick, in an engine that serves nobody else."""
    engine, decoder = make_engine(), Decoder(SPEC)
    said: dict[Place, float] = {}
    for record in records:
        batch = decoder.decode([record])[0]
        if len(batch) and (step := engine.step(batch)).ok[0]:
            said[record.partition, record.offset] = float(step.values[0, 0, 0, 0])
    return said


@dataclass
class World:
    """Everything around one worker."""

    source: FakeSource
    sink: FakeDelivery
    line: Line
    engine: TappedEngine
    worker: Worker
    settings: Settings
    journal: Journal
    metrics: Metrics
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def predictions(self) -> list[tuple[Place, float]]:
        """What was published, by source position, in order."""
        records = published(self.journal, self.settings.output.topic)
        return [(place_of(r), float(np.float32(json.loads(r.value or b"")["prediction"]["x"][0]))) for r in records]

    def letters(self) -> list[tuple[Place, str]]:
        """Source position and code of each dead letter, in order."""
        records = published(self.journal, self.settings.dead_letter_topic)
        return [(place_of(r), dict(r.headers)["__streamrnn.errors.code"].decode()) for r in records]

    def commits(self) -> list[dict[int, int]]:
        """The positions of each commit, in order."""
        return [done.positions for done in self.journal if isinstance(done, Committed)]

    @asynccontextmanager
    async def crashing(self) -> AsyncIterator[asyncio.Task[None]]:
        """Run; leaving ends it at once, whatever it does."""
        running = asyncio.create_task(self.worker.run(self.stop))
        try:
            yield running
        finally:
            running.cancel()
            await asyncio.wait({running}, timeout=10)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[asyncio.Task[None]]:
        """Run; leaving stops in order and raises what the worker raised."""
        running = asyncio.create_task(self.worker.run(self.stop))
        try:
            yield running
        finally:
            self.stop.set()
            await asyncio.wait_for(running, 10)

    async def until(self, happened: Callable[[], object], seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while not happened():
                await asyncio.sleep(0.001)


MakeWorld = Callable[..., World]


def assemble(settings: Settings, source: FakeSource, pauses: Pauses = SHORT, at_once_s: float = 0.0) -> World:
    """A worker as the service makes it, on a source and a delivery that are lists.

    A snapshot copies two rows at once, so that steps come between its parts. Every step is one of the engine's
    thread, for tests that hold one up, unless `at_once_s` says so.
    """
    journal, metrics = source.journal, Metrics()
    delivery = FakeDelivery(journal, source, settings.delivery.guarantee == "exactly_once")
    line = make_line(make_model(), settings, metrics, pauses, slice_rows=2, at_once_s=at_once_s)
    assert isinstance(line.engine, TappedEngine)
    worker = make_worker(settings, source, delivery, line, metrics, pauses)
    source.assign(*source.ticks)
    return World(source, delivery, line, line.engine, worker, settings, journal, metrics)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeWorld]:
    """Make a worker over lists of records by partition; settings by section; `after` another, on what it committed.

    Pauses are a thousandth.
    """
    worlds: list[World] = []
    monkeypatch.setattr(line_module, "make_engine", make_tapped)
    monkeypatch.setattr(line_module, "fingerprint", lambda *_: "f" * 64)

    def make(
        topic: dict[int, list[Record]],
        poll: int = 1000,
        after: World | None = None,
        pauses: Pauses = SHORT,
        at_once_s: float = 0.0,
        **sections: dict[str, object],
    ) -> World:
        settings = Settings(**{"delivery": {"commit_interval_ms": 0}} | sections)
        source = FakeSource([], topic, poll)
        if after is not None:  # another process on the same broker
            source.journal, source.offsets = after.journal, after.source.offsets
            source.metadata, source.log_starts = after.source.metadata, after.source.log_starts
        worlds.append(assemble(settings, source, pauses, at_once_s))
        return worlds[-1]

    yield make
    for each in worlds:
        each.line.thread.close(wait=True)
