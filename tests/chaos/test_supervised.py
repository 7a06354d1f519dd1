"""A daemon of two workers: one is killed, all end, the supervisor is killed. Nothing is lost or doubled."""

import asyncio
import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.conftest import SceneFactory
from tests.chaos.feeding import load
from tests.chaos.scene import Scene
from tests.chaos.workers import Worker, until

pytestmark = pytest.mark.kafka
FLAGS = ("--workers=2", "--kafka.group_instance_id=name")
"""With a name of its own a worker that comes back need not wait until the group has forgotten its former life."""

FOUR: dict[str, Any] = {
    "partitions": 4,
    "kafka": {"session_timeout_ms": 20_000, "rebalance_timeout_ms": 20_000},
}
"""Nobody waits for a session's end here. A worker that is slow for longer than one would be told that its own new
life has taken its name."""


def is_gone(pid: int) -> bool:
    """One that waits to be reaped has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def workers_of(daemon: Worker) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await daemon.status())["workers"]
    return found


async def until_shared(daemon: Worker, partitions: int = 4) -> list[dict[str, Any]]:
    """Wait until both workers serve the same number of partitions; what each is."""

    async def is_shared() -> bool:
        owned = [each["partitions"] for each in await workers_of(daemon)]
        live = [[phase for phase in phases.values() if phase == "live"] for phases in owned]
        return [len(each) for each in live] == [partitions // 2, partitions // 2]

    await until(is_shared, "both to serve")
    return await workers_of(daemon)


async def check_shown(s: Scene, daemon: Worker) -> None:
    """What is shown of all streams is shown by whoever owns them, each once."""
    await s.check_state(daemon)
    status, body = await daemon.get("/streams?limit=1000")
    shown = [(row["partition"], row["stream"]) for row in json.loads(body)]
    asked = {(r.partition, (r.key or b"").decode()) for r in (await s.ticks()).records}
    assert (status, sorted(shown)) == (200, sorted(asked))
    assert (await daemon.get("/streams/nobody"))[0] == 404
    for worker in "01":
        assert f'streamrnn_worker_up{{worker="{worker}"}} 1.0' in await daemon.metrics()
        assert f'streamrnn_predictions_total{{worker="{worker}"}}' in await daemon.metrics()


async def test_a_worker_that_is_killed_under_load_comes_back_and_every_tick_is_answered_once(
    scene: SceneFactory,
) -> None:
    s = await scene(**FOUR)
    async with load(s.feed, rate=800):
        daemon = await s.start(*FLAGS)
        before = await until_shared(daemon)
        await daemon.until_total("streamrnn_predictions_total", 500)
        os.kill(before[1]["pid"], signal.SIGKILL)
        await until(lambda: "worker 1 ended with exit code 137" in daemon.log(), "its end to be seen")
        assert (await daemon.get("/readyz"))[0] == 503
        assert (await daemon.get("/livez"))[0] == 200
        await daemon.until_ready()
        after = await until_shared(daemon)
    assert [each["restarts"] for each in after] == [0, 1]
    assert after[0]["pid"] == before[0]["pid"]
    assert after[1]["pid"] != before[1]["pid"]
    await s.until_drained()
    await check_shown(s, daemon)
    assert await daemon.total("streamrnn_worker_restarts_total") == 1
    began_s = time.monotonic()
    assert await daemon.stop(signal.SIGTERM) == 0, daemon.log()
    assert time.monotonic() - began_s < s.settings.limits.shutdown_budget_s
    assert all(is_gone(each["pid"]) for each in after)
    await s.check()


async def test_workers_do_not_outlive_a_supervisor_that_is_killed_and_end_in_order(scene: SceneFactory) -> None:
    s = await scene(**FOUR)
    daemon = await s.start(*FLAGS)
    workers = await until_shared(daemon)
    async with load(s.feed, rate=800):
        await daemon.until_total("streamrnn_predictions_total", 200)
        await daemon.kill()
        await until(lambda: all(is_gone(each["pid"]) for each in workers), "the workers to end")
    assert daemon.log().count(": stopped") == 2, daemon.log()


@pytest.mark.chaos
@pytest.mark.timeout(300)
async def test_supervisors_and_workers_killed_in_a_loop_lose_and_double_nothing(scene: SceneFactory) -> None:
    s, dice = await scene(**FOUR), random.Random(1)
    end = time.monotonic() + 90
    async with load(s.feed, rate=400):
        daemon = await s.start(*FLAGS)
        while time.monotonic() < end:
            await asyncio.sleep(dice.uniform(0.5, 6.0))
            pids = [each["pid"] for each in await workers_of(daemon) if each["pid"]]
            if pids and dice.random() < 0.7:
                os.kill(dice.choice(pids), dice.choice((signal.SIGKILL, signal.SIGTERM)))
                continue
            await daemon.kill()
            daemon = await s.start(*FLAGS, ready=False)
            await daemon.until_log("http on")
        await daemon.until_ready()
        await until_shared(daemon)
    await s.until_drained(120)
    await check_shown(s, daemon)
    await s.check()


@pytest.mark.chaos
async def test_a_second_signal_ends_all_at_once(scene: SceneFactory) -> None:
    s = await scene(**FOUR)
    daemon = await s.start(*FLAGS)
    workers = await until_shared(daemon)
    for each in workers:
        os.kill(each["pid"], signal.SIGSTOP)
    daemon.signal(signal.SIGTERM)
    await until(lambda: "a second signal ends at once" in daemon.log(), "the first to be heard")
    await asyncio.sleep(0.5)
    assert daemon.is_running()
    assert await daemon.stop(signal.SIGINT) == 130
    await until(lambda: all(is_gone(each["pid"]) for each in workers), "the workers to end")


@pytest.mark.chaos
async def test_a_name_that_another_daemon_has_taken_ends_the_whole(scene: SceneFactory) -> None:
    s = await scene(**FOUR)
    older = await s.start(*FLAGS)
    workers = await until_shared(older)
    newer = await s.start(*FLAGS, ready=False)
    assert await older.ended() == 7, older.log()
    assert all(is_gone(each["pid"]) for each in workers)
    await newer.until_ready()
    await until_shared(newer)
