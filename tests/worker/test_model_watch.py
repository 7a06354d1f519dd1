"""Which models are wanted: told when that changes, kept while the registry is away, never waited for."""

import asyncio
import logging
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from streamrnn.cli import main
from streamrnn.config import Settings, load_settings
from streamrnn.errors import BundleError
from streamrnn.metrics import Metrics
from streamrnn.registry import Registry, Wanted
from streamrnn.worker import model_watch
from streamrnn.worker.model_watch import ModelWatch
from tests.registry.marked_models import make_model


class Pointers(Registry):
    """A registry of pointers alone, in memory; `before` runs when it is asked."""

    def __init__(self, now: Wanted) -> None:
        self.now, self.looks = now, 0
        self.before: Callable[[], None] = lambda: None

    def wanted(self, name: str) -> Wanted:
        assert name == "oil"
        self.looks += 1
        self.before()
        return self.now

    def champion(self, name: str) -> int:
        return self.wanted(name).champion


def settings(**model: object) -> Settings:
    given = {"model.registry": "m", "model.name": "oil", "model.poll_s": "0.01", "limits.recovery_stall_s": "0.05"}
    return load_settings(overrides=given | {f"model.{key}": str(value) for key, value in model.items()})


@asynccontextmanager
async def watching(watch: ModelWatch) -> AsyncIterator[list[Wanted]]:
    told: list[Wanted] = []
    task = asyncio.create_task(watch.run(told.append))
    try:
        yield told
        assert not task.done()
    finally:
        task.cancel()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.005)


def failures(metrics: Metrics) -> float:
    return metrics._values["streamrnn_registry_failures_total"][()]


async def test_what_is_wanted_is_told_first_and_whenever_it_changes() -> None:
    registry = Pointers(Wanted(7))
    watch = ModelWatch(settings(), registry, Metrics())
    async with watching(watch) as told:
        for now in (Wanted(7, 8), Wanted(8), Wanted(7)):
            await until(lambda: watch.last == registry.now)
            looks = registry.looks
            await until(lambda looks=looks: registry.looks > looks + 3)  # type: ignore[misc]
            registry.now = now
        await until(lambda: watch.last == Wanted(7) and len(told) == 4)
    assert told == [Wanted(7), Wanted(7, 8), Wanted(8), Wanted(7)]


async def test_asking_looks_at_once() -> None:
    registry = Pointers(Wanted(7))
    watch = ModelWatch(settings(poll_s=600), registry, Metrics())
    async with watching(watch) as told:
        await until(lambda: told == [Wanted(7)])
        registry.now = Wanted(7, 8)
        await asyncio.sleep(0.05)
        assert told == [Wanted(7)]
        watch.ask()
        await until(lambda: told == [Wanted(7), Wanted(7, 8)])


async def test_an_asking_while_a_look_is_under_way_is_answered_by_another_look() -> None:
    registry, gate = Pointers(Wanted(7)), threading.Event()
    registry.before = lambda: None if gate.wait(10) else pytest.fail("never opened")
    watch = ModelWatch(settings(poll_s=600, registry="m"), registry, Metrics())
    watch._patience_s = 20
    async with watching(watch) as told:
        await until(lambda: registry.looks == 1)
        watch.ask()
        gate.set()
        await until(lambda: registry.looks == 2)
        assert told == [Wanted(7)]


async def test_a_registry_that_is_away_keeps_the_last_and_is_said_once_at_either_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "streamrnn.worker.model_watch")
    registry, metrics = Pointers(Wanted(7, 8)), Metrics()
    watch = ModelWatch(settings(), registry, metrics)

    def fail() -> None:
        raise BundleError("m/oil/champion.json: Input/output error")

    async with watching(watch) as told:
        for number in (1, 2):
            await until(lambda: watch.last == registry.now)
            registry.before, counted = fail, failures(metrics)
            await until(lambda counted=counted: failures(metrics) > counted + 3)  # type: ignore[misc]
            assert watch.is_away
            assert watch.last == registry.now
            registry.before, looks = lambda: None, registry.looks
            await until(lambda looks=looks: registry.looks > looks + 3)  # type: ignore[misc]
            assert not watch.is_away
            said = [record.getMessage() for record in caplog.records]
            assert len(said) == 2 * number
        assert told == [Wanted(7, 8)]
    assert said[0] == (
        "the registry cannot be asked for a new model, what runs goes on: m/oil/champion.json: Input/output error"
    )
    assert said[1] == "the registry answers again"


async def test_a_store_that_hangs_is_left_behind_and_only_so_many_threads_with_it() -> None:
    registry, metrics, gate = Pointers(Wanted(7)), Metrics(), threading.Event()
    registry.before = lambda: gate.wait(30) and None
    watch = ModelWatch(settings(), registry, metrics)
    slowest_s = 0.0
    async with watching(watch) as told:
        while failures(metrics) < model_watch.MOST_LEFT_BEHIND + 3:
            begun_s = time.perf_counter()
            await asyncio.sleep(0.005)
            slowest_s = max(slowest_s, time.perf_counter() - begun_s)
        assert registry.looks == model_watch.MOST_LEFT_BEHIND
        hanging = [thread for thread in threading.enumerate() if thread.name == "model watch"]
        assert len(hanging) == model_watch.MOST_LEFT_BEHIND
        assert all(thread.daemon for thread in hanging)
        assert told == []
        gate.set()
        await until(lambda: told == [Wanted(7)])
    assert slowest_s < 10, "the event loop went on"


async def test_the_commands_on_a_registry_reach_a_daemon_that_follows_it(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    for _ in range(2):
        registry.publish(make_model())
    registry.set_champion("oil", 1)
    watch = ModelWatch(settings(registry=tmp_path), Registry(tmp_path), Metrics())
    async with watching(watch) as told:
        await until(lambda: told == [Wanted(1)])
        for words, wanted in (
            (("stage", "oil@2"), Wanted(1, 2)),
            (("promote", "oil@2"), Wanted(2)),
            (("rollback", "oil"), Wanted(1)),
            (("stage", "oil@2"), Wanted(1, 2)),
            (("unstage", "oil"), Wanted(1)),
        ):
            assert main(["models", *words, "--registry", str(tmp_path)]) == 0
            await until(lambda wanted=wanted: told[-1] == wanted)  # type: ignore[misc]
    assert set(told) == {Wanted(1), Wanted(1, 2), Wanted(2)}, "at no moment neither or both"


async def test_what_is_no_failure_of_the_registry_is_raised() -> None:
    registry = Pointers(Wanted(7))
    registry.before = lambda: {}["a mistake of ours"]
    with pytest.raises(KeyError, match="a mistake of ours"):
        await ModelWatch(settings(), registry, Metrics()).run(lambda wanted: None)


async def test_a_fixed_version_is_told_once_and_no_registry_is_asked() -> None:
    registry = Pointers(Wanted(7, 8))
    async with watching(ModelWatch(settings(version=3), registry, Metrics())) as told:
        await asyncio.sleep(0.1)
    assert (told, registry.looks) == ([Wanted(3)], 0)
    async with watching(ModelWatch(settings(version=3, challenger=5), registry, Metrics())) as told:
        await asyncio.sleep(0.1)
    assert (told, registry.looks) == ([Wanted(3, 5)], 0)
    assert not ModelWatch(settings(version=3), registry, Metrics()).is_followed
    assert ModelWatch(settings(), registry, Metrics()).is_followed


async def test_a_model_at_a_path_wants_nothing_else() -> None:
    watch = ModelWatch(load_settings(overrides={"model.path": "m"}), None, Metrics())
    async with watching(watch) as told:
        watch.ask()
        await asyncio.sleep(0.1)
    assert (told, watch.last, watch.is_followed) == ([], None, False)


async def test_a_fixed_challenger_runs_beside_whatever_champion_there_is_but_not_beside_itself() -> None:
    registry = Pointers(Wanted(7, 9))
    watch = ModelWatch(settings(challenger=8), registry, Metrics())
    async with watching(watch) as told:
        await until(lambda: told == [Wanted(7, 8)])
        registry.now = Wanted(8, 9)
        await until(lambda: told == [Wanted(7, 8), Wanted(8)])


def test_the_watch_needs_no_torch() -> None:
    told = "import sys, streamrnn.worker.model_watch; print(*({'torch', 'numba', 'aiokafka'} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=60
    )
    assert (done.stdout, done.returncode) == ("\n", 0), done.stderr
