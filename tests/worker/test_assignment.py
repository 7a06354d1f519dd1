"""From assignment to live: which rows are kept, which are rebuilt, and what a failure costs."""

import asyncio
from collections import deque
from dataclasses import replace

import pytest

from streamrnn.errors import BrokerUnavailable, EngineError

from .conftest import SHORT, MakeWorld, World, alone, ticks
from .fakes import Committed, check_order_of_durability


def settled(world: World) -> bool:
    """Whether all ticks of the partitions that are live have been committed."""
    assigner = world.worker.assigner
    return bool(assigner.live()) and all(
        world.source.offsets.get(p) == len(world.source.ticks[p]) for p in assigner.phases()
    )


def check_values(world: World) -> None:
    """Each prediction is the one a stream alone would get, whatever the partition went through."""
    expected = alone(r for records in world.source.ticks.values() for r in records)
    assert [(place, expected[place]) for place, _ in world.predictions()] == world.predictions()


async def test_a_group_without_offsets_begins_at_its_policys_start_and_commits_that_first(world: MakeWorld) -> None:
    w = world({0: ticks(0, 10)})
    async with w.serving():
        await w.until(lambda: settled(w))
    assert w.journal[0] == Committed({0: 0})
    assert w.source.fetched == [(0, n) for n in range(10)]


async def test_warm_up_replays_the_last_records_before_the_committed_offset_and_publishes_nothing(
    world: MakeWorld,
) -> None:
    records = ticks(0, 30)
    w = world({0: records}, input={"warmup_ticks": 8, "max_poll_records": 3})
    w.source.offsets[0] = 20
    steps: list[bool] = []
    w.engine.on_step = steps.append
    async with w.serving():
        await w.until(lambda: settled(w))
    expected = alone(records[12:])
    assert w.predictions() == [((0, n), expected[0, n]) for n in range(20, 30)]
    assert steps.count(True) == 3
    assert steps == sorted(steps, reverse=True), "warm-up comes before the first tick"


async def test_a_failing_recovery_keeps_its_partition_gated_is_counted_and_holds_up_no_other(
    world: MakeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    w = world({0: ticks(0, 20), 1: ticks(1, 20)})
    failures = w.source.committed_errors[1] = deque([BrokerUnavailable("no answer")] * 1000)
    async with w.serving():
        await w.until(lambda: w.source.offsets.get(0) == 20)
        await w.until(lambda: "partition 1 stays gated, try 4: no answer" in caplog.text)
        phases = w.worker.assigner.phases()
        assert phases[0] == "live"
        assert phases[1] in ("gated", "recovering")
        assert {p for p, _ in w.source.fetched} == {0}
        failures.clear()
        await w.until(lambda: settled(w))
    tries = [m for m in caplog.messages if "stays gated" in m]
    assert [f"try {n + 1}:" in said for n, said in enumerate(tries)] == [True] * len(tries)
    assert len(w.predictions()) == 40
    check_values(w)


async def test_a_partition_that_comes_back_untouched_goes_on_with_its_rows(world: MakeWorld) -> None:
    w = world({0: ticks(0, 20), 1: ticks(1, 20)}, input={"warmup_ticks": 5})
    warm: list[bool] = []
    w.engine.on_step = warm.append
    async with w.serving():
        await w.until(lambda: settled(w))
        for again in ((1,), (0, 1)):
            w.source.assign(*again)
            await w.until(lambda again=again: w.worker.assigner.live() == list(again))
        w.source.ticks[0].extend(ticks(0, 40)[20:])
        await w.until(lambda: settled(w))
    assert not any(warm)
    assert sorted(w.source.fetched) == [(0, n) for n in range(40)] + [(1, n) for n in range(20)]
    check_values(w)


async def test_a_partition_whose_offset_another_worker_moved_is_rebuilt(world: MakeWorld) -> None:
    w = world({0: ticks(0, 20), 1: ticks(1, 20)})
    async with w.serving():
        await w.until(lambda: settled(w))
        w.source.assign(1)
        await w.until(lambda: w.worker.assigner.phases() == {1: "live"})
        w.source.ticks[0].extend(ticks(0, 40)[20:])
        w.source.offsets[0] = 30
        w.source.assign(0, 1)
        await w.until(lambda: w.source.offsets[0] == 40)
    mine = [offset for (partition, offset), _ in w.predictions() if partition == 0]
    assert mine == [*range(20), *range(30, 40)]
    check_values(w)


async def test_rows_of_a_partition_that_has_gone_are_kept_for_a_while(world: MakeWorld) -> None:
    w = world({0: ticks(0, 20), 1: ticks(1, 20)})
    async with w.serving():
        await w.until(lambda: settled(w))
        w.source.assign(1)
        await w.until(lambda: w.worker.assigner.phases() == {1: "live"})
        assert w.worker.assigner.drop_expired() == []
        await asyncio.sleep(0.05)
        assert w.engine.resident == 6


async def test_rows_that_were_parked_too_long_are_dropped_by_the_worker_itself(world: MakeWorld) -> None:
    w = world({0: ticks(0, 20), 1: ticks(1, 20)}, pauses=replace(SHORT, parked_s=0.0))
    async with w.serving():
        await w.until(lambda: settled(w))
        w.source.assign(1)
        await w.until(lambda: w.worker.assigner.phases() == {1: "live"} and w.engine.resident == 3)
        assert w.worker.assigner.drop_expired() == []
        warm: list[bool] = []
        w.engine.on_step = warm.append
        w.source.assign(0, 1)
        w.source.ticks[0].extend(ticks(0, 30)[20:])
        await w.until(lambda: w.source.offsets[0] == 30)
    assert warm[0], "its state is made anew"
    check_values(w)


async def test_a_device_that_fails_in_a_drop_ends_the_worker_though_no_tick_comes(
    world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    w = world({0: ticks(0, 20), 1: ticks(1, 20)}, pauses=replace(SHORT, parked_s=0.0))
    async with w.crashing() as running:
        await w.until(lambda: settled(w))

        def fail(partition: int) -> None:
            raise EngineError("the device is gone")

        monkeypatch.setattr(w.engine, "drop", fail)
        w.source.assign(1)
        await w.until(running.done, 3.0)
        with pytest.raises(EngineError, match="the device is gone"):
            await running


async def test_rows_of_a_recovery_that_was_broken_off_are_dropped(world: MakeWorld) -> None:
    w = world({0: ticks(0, 20), 1: ticks(1, 20)}, pauses=replace(SHORT, watch_s=3600.0))
    async with w.serving():
        await w.until(lambda: settled(w))
        for partition in w.worker.assigner.owned():
            partition.serving.void()  # as one that is being restored
        w.source.assign(1)
        await w.until(lambda: w.worker.assigner.phases() == {1: "live"})
        assert w.engine.resident == 6
        assert w.worker.assigner.drop_expired() == [0]
        assert w.worker.assigner.drop_expired() == []
        await w.until(lambda: w.engine.resident == 3)


async def test_what_was_published_and_not_yet_committed_is_committed_when_the_partition_comes_back(
    world: MakeWorld,
) -> None:
    w = world({0: ticks(0, 20)}, delivery={"commit_interval_ms": 3_600_000})
    async with w.serving():
        await w.until(lambda: len(w.predictions()) == 20)
        assert w.source.offsets == {0: 0}
        w.source.assign(0)
        await w.until(lambda: w.source.offsets == {0: 20})
        assert len(w.predictions()) == 20
    check_order_of_durability(w.journal)


async def test_a_rebalance_in_the_middle_of_a_warm_up_begins_it_anew(world: MakeWorld) -> None:
    w = world({0: ticks(0, 30), 1: ticks(1, 5)}, input={"max_poll_records": 4})
    w.source.offsets[0] = 20
    event_loop, interruptions = asyncio.get_running_loop(), iter(range(3))

    def interrupt(warm: bool) -> None:
        if warm and next(interruptions, None) is not None:
            event_loop.call_soon_threadsafe(w.source.assign, 0, 1)

    w.engine.on_step = interrupt
    async with w.serving():
        await w.until(lambda: next(interruptions, None) is None and settled(w))
    assert [place for place, _ in w.predictions() if place[0] == 0] == [(0, n) for n in range(20, 30)]
    check_values(w)


async def test_a_device_that_fails_in_a_warm_up_ends_the_worker(world: MakeWorld) -> None:
    w = world({0: ticks(0, 30)})
    w.source.offsets[0] = 20

    def fail(warm: bool) -> None:
        raise EngineError("the device is gone")

    w.engine.on_step = fail
    with pytest.raises(EngineError, match="the device is gone"):
        async with w.serving() as running:
            await asyncio.wait({running}, timeout=5)
    assert not w.journal


async def test_phases_say_draining_at_the_end(world: MakeWorld) -> None:
    w = world({0: ticks(0, 5)})
    async with w.serving():
        await w.until(lambda: settled(w))
        assert w.worker.assigner.positions() == {0: 5}
    assert w.worker.assigner.phases() == {0: "draining"}
