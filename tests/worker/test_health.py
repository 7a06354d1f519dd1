"""How a worker is: what probes see of it without a service, and what it looks after by itself."""

import asyncio
from collections import deque
from dataclasses import replace

import pytest

from streamrnn.errors import BrokerUnavailable, TopicReplaced
from streamrnn.worker.pauses import Pauses

from .conftest import SHORT, MakeWorld, ticks


async def test_a_worker_waits_for_partitions_then_for_their_recoveries_and_is_ready(world: MakeWorld) -> None:
    w = world({0: ticks(0, 10)})
    failures = w.source.committed_errors[0] = deque([BrokerUnavailable("no")] * 3)
    assert w.worker.health.readiness() == (False, "waiting for partitions")
    seen: list[str] = []

    def is_ready() -> bool:
        seen.append(w.worker.health.readiness().reason)
        return seen[-1] == "ok"

    async with w.serving():
        await w.until(is_ready)
    assert seen[0] == "waiting for partitions"
    assert any(reason.startswith("partitions not live: 0 is ") for reason in seen)
    assert not failures


async def test_a_lost_connection_is_no_readiness_until_it_is_back(world: MakeWorld) -> None:
    w = world({0: ticks(0, 10)})
    ready = w.worker.health.readiness
    async with w.serving():
        await w.until(lambda: ready().is_ready)
        w.source.has_connection = False
        await w.until(lambda: ready() == (False, "the broker is away"))
        w.source.has_connection = True
        await w.until(lambda: ready() == (True, "ok"))


async def test_lag_is_told_of_live_partitions_though_a_look_fails_now_and_then(world: MakeWorld) -> None:
    breaker = {"dead_letter_window": 1, "dead_letter_share": 0.01, "breaker_pause_s": 3600}
    w = world({0: ticks(0, 10)}, limits=breaker)
    lag = 'streamrnn_lag_records{partition="0"} '
    async with w.serving():
        await w.until(lambda: f"{lag}0.0" in w.metrics.text().decode())
        w.source.look_errors.append(BrokerUnavailable("no answer"))
        w.source.ticks[0].append(ticks(0, 11)[10]._replace(value=b"{"))  # the breaker opens
        await w.until(lambda: w.source.offsets[0] == 11)
        w.source.ticks[0].extend(ticks(0, 16)[11:])
        await w.until(lambda: f"{lag}5.0" in w.metrics.text().decode())
    assert not w.source.look_errors


async def test_where_the_log_of_each_partition_begins_is_told_in_turn(world: MakeWorld) -> None:
    w = world({0: ticks(0, 10), 1: ticks(1, 10)})
    w.source.log_starts = {0: 3, 1: 4}

    def is_told(number: int, start: int) -> bool:
        return f'streamrnn_log_start_offset{{partition="{number}"}} {start}.0' in w.metrics.text().decode()

    async with w.serving():
        await w.until(lambda: is_told(0, 3) and is_told(1, 4))
        w.source.log_starts[1] = 7
        await w.until(lambda: is_told(1, 7))


async def test_an_input_topic_that_is_another_ends_the_worker(world: MakeWorld) -> None:
    w = world({0: ticks(0, 10)})
    async with w.crashing() as running:
        await w.until(lambda: w.worker.health.readiness().is_ready)
        w.source.look_errors.append(TopicReplaced("deleted and made anew"))
        with pytest.raises(TopicReplaced, match="made anew"):
            await asyncio.wait_for(running, 5)


async def test_a_loop_that_makes_no_round_for_long_is_not_alive_until_it_does(world: MakeWorld) -> None:
    w = world({0: ticks(0, 10)}, pauses=replace(SHORT, stalled_s=0.2))
    is_alive = w.worker.health.is_alive
    async with w.serving():
        await w.until(lambda: w.worker.health.readiness().is_ready)
        assert is_alive()
        w.sink.is_open.clear()
        w.source.ticks[0].extend(ticks(0, 20)[10:])
        await w.until(lambda: not is_alive())
        w.sink.is_open.set()
        await w.until(is_alive)


def test_pauses_double_up_to_the_longest() -> None:
    pauses = Pauses(first_retry_s=0.5, longest_retry_s=8.0)
    assert [pauses.after_failures(n) for n in (1, 2, 3, 4, 5, 6, 10_000)] == [0.5, 1, 2, 4, 8, 8, 8]
