"""Another version takes over from a running daemon: each tick is answered once, by a state of all its ticks."""

import asyncio
import json
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from streamrnn.codecs import make_decoder
from streamrnn.config import Settings
from streamrnn.engine.engine import Engine
from streamrnn.kafka.writing.appending import Appender
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.registry import Registry, load_label
from streamrnn.ticks import OutRecord, Record
from streamrnn.verifying.verify import Options, verify

from .conftest import SettingsFactory, embedded_only, real_only
from .reading_back import read_range
from .served import Served, start

PARTITIONS = 2
EVERY_S = 0.05


def spec(version: int, feature: str = "x") -> ModelSpec:
    features = ("x",) if feature == "x" else ("x", feature)
    channels = tuple(Channel(name) for name in features)
    return ModelSpec(
        name="toy", version=version, features=features, targets=("x",), channels=channels, hidden=8 * version
    )


def model(version: int, feature: str = "x") -> Model:
    torch.manual_seed(version)
    made = Model(spec(version, feature))
    torch.nn.init.normal_(made.head.weight, std=0.1)
    return made


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Two versions of a model, the first of which serves."""
    made = Registry(tmp_path / "registry")
    for version in (1, 2):
        assert made.publish(model(version)) == version
    made.set_champion("toy", 1)
    return made


def flags(tmp_path: Path) -> list[str]:
    named = [f"--model.registry={tmp_path / 'registry'}", "--model.name=toy", "--model.poll_s=0.1"]
    return [*named, "--input.warmup_ticks=1000000", "--delivery.commit_interval_ms=20"]


def tick(n: int) -> OutRecord:
    value = {"time": 1_700_000_000_000 + n, "x": 1.0 + (n * 7) % 5}
    return OutRecord(n % PARTITIONS, 1_000 + n, b"s%d" % (n % 6), json.dumps(value).encode())


class Feed:
    """Ticks that go on until they are told to stop."""

    def __init__(self) -> None:
        self.sent = 0

    @asynccontextmanager
    async def flowing(self, settings: Settings) -> AsyncIterator["Feed"]:
        appender = Appender(settings)
        await appender.start()
        flow = asyncio.create_task(self._flow(appender, settings.input.topic))
        try:
            yield self
        finally:
            flow.cancel()
            await asyncio.gather(flow, return_exceptions=True)
            await appender.stop()

    async def _flow(self, appender: Appender, topic: str) -> None:
        while True:
            records = [tick(self.sent + n) for n in range(10)]
            self.sent += len(records)
            await asyncio.shield(asyncio.ensure_future(appender.append(topic, records)))
            await asyncio.sleep(EVERY_S)


async def state(served: Served) -> dict[str, Any]:
    await served.until_log("http on")
    status, body = await served.get("/model")
    assert status == 200, body
    found: dict[str, Any] = json.loads(body)
    return found


async def until(served: Served, happened: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while not (partitions := (found := await state(served)).get("partitions")) or not happened(found):
            assert served.is_running(), served.log()
            await asyncio.sleep(0.05)
    assert partitions
    return found


def all_spoken_by(label: str) -> Callable[[dict[str, Any]], bool]:
    return lambda found: {p["speaker"] for p in found["partitions"]} == {label}


def all_ready(found: dict[str, Any]) -> bool:
    return {p["state"] for p in found["partitions"]} == {"ready"}


async def records_of(settings: Settings, topic: str) -> list[Record]:
    there = settings.model_copy(update={"input": settings.input.model_copy(update={"topic": topic})})
    parts = [read_range(there, p, 0, 10_000_000, 5000) for p in range(PARTITIONS)]
    return [record for part in parts async for records in part for record in records]


def alone(version: int, records: list[Record]) -> dict[tuple[int, int], np.float32]:
    """What the version says when it steps all of them from the first on."""
    engine = Engine(model(version), max_streams=100, device="cpu")
    decoder = make_decoder(spec(version), Settings())
    said = engine.step(decoder.decode(records)[0])
    return dict(
        zip(zip(said.ticks.partition, said.ticks.offset, strict=True), said.values[:, 0, 0, 0], strict=True)
    )


async def check(settings: Settings, feed: Feed) -> dict[int, list[str]]:
    """Each tick has one answer, bit for bit that of its version alone; who spoke, by partition."""
    oracles = {f"toy@{v}": alone(v, await records_of(settings, settings.input.topic)) for v in (1, 2)}
    spoken: dict[int, list[str]] = {}
    seen: set[tuple[int, int]] = set()
    for record in await records_of(settings, settings.output.topic):
        value, facts = json.loads(record.value or b""), dict(record.headers)
        place = (int(facts["src-partition"]), int(facts["src-offset"]))
        assert place not in seen, f"{place} is answered twice"
        seen.add(place)
        assert np.float32(value["prediction"]["x"][0]) == oracles[value["model"]][place], place
        speakers = spoken.setdefault(place[0], [])
        if not speakers or speakers[-1] != value["model"]:
            speakers.append(value["model"])
    assert len(seen) == feed.sent
    return spoken


async def verify_clean(settings: Settings, registry: Registry, tmp_path: Path, feed: Feed) -> None:
    """Every prediction is recomputed with the model that made it, whichever is given."""
    named = settings.model.model_copy(update={"registry": str(tmp_path / "registry"), "name": "toy"})
    for version in (1, 2):
        given = registry.load("toy", version)
        report = await verify(settings, given, Options(strict=True), load=partial(load_label, named))
        assert report.is_clean, report.as_json()
        assert (report.total("checked"), report.total("not_recomputed")) == (feed.sent, 0)
        assert [note for each in report.partitions for note in each.notes] == []


@real_only
async def test_a_version_is_staged_promoted_and_rolled_back_while_the_ticks_flow(
    settings: SettingsFactory, registry: Registry, tmp_path: Path
) -> None:
    s = await settings(partitions=PARTITIONS, delivery={"guarantee": "exactly_once"})
    feed = Feed()
    async with start(s, None, *flags(tmp_path)) as served:
        async with feed.flowing(s):
            await until(served, all_spoken_by("toy@1"))
            await served.until_metric("streamrnn_predictions_total", 300)
            registry.stage("toy", 2)
            found = await until(served, all_ready)
            assert found["challenger"] == "toy@2"
            assert all_spoken_by("toy@1")(found), "it says nothing yet"
            await until(served, lambda found: bool(found["comparison"]))
            registry.set_champion("toy", 2)
            await until(served, all_spoken_by("toy@2"))
            at = await served.metric("streamrnn_predictions_total")
            await served.until_metric("streamrnn_predictions_total", at + 200)
            assert registry.rollback("toy") == 1
            await until(served, all_spoken_by("toy@1"))
            at = await served.metric("streamrnn_predictions_total")
            await served.until_metric("streamrnn_predictions_total", at + 200)
        await served.until_metric("streamrnn_predictions_total", feed.sent)
        assert await served.stop(signal.SIGTERM) == 0, served.log()
    assert await check(s, feed) == {p: ["toy@1", "toy@2", "toy@1"] for p in range(PARTITIONS)}
    await verify_clean(s, registry, tmp_path, feed)
    assert [r.is_fresh for r in registry.reports("toy").heard] == [], "it has taken its report along"


@real_only
async def test_a_restart_between_a_promotion_and_its_cut_over_goes_on_with_who_is_written(
    settings: SettingsFactory, registry: Registry, tmp_path: Path
) -> None:
    s = await settings(partitions=PARTITIONS, delivery={"guarantee": "exactly_once"})
    feed = Feed()
    async with feed.flowing(s):
        async with start(s, None, *flags(tmp_path)) as served:
            await served.until_metric("streamrnn_predictions_total", 200)
            assert await served.stop(signal.SIGKILL) == -signal.SIGKILL
        registry.set_champion("toy", 2)
        async with start(s, None, *flags(tmp_path)) as served:
            await until(served, all_spoken_by("toy@2"))
            at = await served.metric("streamrnn_predictions_total")
            await served.until_metric("streamrnn_predictions_total", at + 100)
            assert await served.stop(signal.SIGKILL) == -signal.SIGKILL
    async with start(s, None, *flags(tmp_path)) as served:
        async with asyncio.timeout(60):
            while sum(1 for _ in await records_of(s, s.output.topic)) < feed.sent:
                await asyncio.sleep(0.2)
        assert await served.stop(signal.SIGTERM) == 0, served.log()
    assert await check(s, feed) == {p: ["toy@1", "toy@2"] for p in range(PARTITIONS)}
    await verify_clean(s, registry, tmp_path, feed)


@real_only
@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 2])
async def test_two_workers_that_are_killed_and_frozen_while_the_champion_changes_answer_each_tick_once(
    settings: SettingsFactory, registry: Registry, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    s = await settings(partitions=PARTITIONS, delivery={"guarantee": "exactly_once"})
    feed = Feed()
    given = [*flags(tmp_path), f"--snapshots.url={tmp_path / 'snapshots'}", "--snapshots.interval_s=0.5"]
    async with feed.flowing(s), AsyncExitStack() as daemons:
        running = [await daemons.enter_async_context(start(s, None, *given)) for _ in range(2)]
        await running[0].until_metric("streamrnn_predictions_total", 50)
        for _ in range(20):
            await asyncio.sleep(rng.uniform(0.2, 1.5))
            act, one = rng.choice(["promote", "promote", "kill", "freeze"]), rng.randrange(2)
            if act == "promote":
                registry.set_champion("toy", rng.choice([1, 2]))
            elif act == "kill":
                await running[one].stop(signal.SIGKILL)
                running[one] = await daemons.enter_async_context(start(s, None, *given))
            else:
                running[one].signal(signal.SIGSTOP)
                await asyncio.sleep(rng.uniform(0.1, 3.0))
                running[one].signal(signal.SIGCONT)
            running = [one if one.is_running() else await again(daemons, s, given) for one in running]
    async with start(s, None, *given) as served:
        async with asyncio.timeout(120):
            while sum(1 for _ in await records_of(s, s.output.topic)) < feed.sent:
                await asyncio.sleep(0.3)
        assert await served.stop(signal.SIGTERM) == 0, served.log()
    spoken = await check(s, feed)
    assert any(len(speakers) > 1 for speakers in spoken.values()), "nothing has changed"
    await verify_clean(s, registry, tmp_path, feed)


async def again(daemons: AsyncExitStack, settings: Settings, given: list[str]) -> Served:
    """A daemon in place of one that has ended, as who was taken for dead does."""
    return await daemons.enter_async_context(start(settings, None, *given))


@embedded_only
async def test_a_version_that_does_not_fit_is_refused_and_the_other_serves_on(
    settings: SettingsFactory, registry: Registry, tmp_path: Path
) -> None:
    s = await settings(partitions=PARTITIONS)
    assert registry.publish(model(3, "humidity")) == 3
    (tmp_path / "registry" / "toy" / "2" / "model.safetensors").write_bytes(b"cut off")
    feed = Feed()
    async with start(s, None, *flags(tmp_path)) as served, feed.flowing(s):
        await served.until_metric("streamrnn_predictions_total", 200)
        for version, why in ((3, "has humidity, which toy@3 needs"), (2, "model.safetensors")):
            registry.set_champion("toy", version)
            label = f"toy@{version}"
            found = await until(served, lambda found, label=label: label in found["refused"])  # type: ignore[misc]
            assert why in found["refused"][label]
            assert all_spoken_by("toy@1")(found)
        at = await served.metric("streamrnn_predictions_total")
        await served.until_metric("streamrnn_predictions_total", at + 100)
        assert await served.metric("streamrnn_models_refused_total") == 2
        assert await served.stop(signal.SIGTERM) == 0, served.log()
