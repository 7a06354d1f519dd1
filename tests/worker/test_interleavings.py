"""Whatever the order of polls, rebalances and outages: no tick is lost, none is stepped twice."""

import asyncio
import math
from collections import deque

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamrnn.errors import BrokerUnavailable, Rebalanced

from .conftest import MakeWorld, World, alone, ticks
from .fakes import check_order_of_durability

TOPIC = {0: ticks(0, 40), 1: ticks(1, 25), 2: ticks(2, 9)}
ERRORS = st.lists(st.sampled_from([None, None, BrokerUnavailable("away"), Rebalanced("late")]), max_size=12)
PUBLISHING = st.lists(st.sampled_from([None, None, BrokerUnavailable("away")]), max_size=12)
TAKES = st.lists(st.integers(0, 60), max_size=12)
"""Turns of the event loop that a commit takes, before and after it is done."""
TURNS = st.lists(st.sampled_from([None, None, (0, 1, 2), (0, 1), (2,), ()]), max_size=10)
"""What is assigned at the next fetch, step or publish; None changes nothing."""


def rebalances(world: World, turns: list[tuple[int, ...] | None], when: str) -> None:
    """Let a rebalance begin and end at each turn of fetching, stepping or publishing."""
    event_loop, left = asyncio.get_running_loop(), iter(turns)

    def turn(_: bool = False) -> None:
        partitions = next(left, None)
        if partitions is not None:
            event_loop.call_soon_threadsafe(world.source.assign, *partitions)

    if when == "step":
        world.engine.on_step = turn
    elif when == "fetch":
        world.source.on_fetched = turn
    else:
        world.sink.on_published = turn


async def serve_all(world: World) -> None:
    everything = {p: len(records) for p, records in world.source.ticks.items()}
    async with world.serving() as running:
        while world.source.offsets != everything and not running.done():
            await asyncio.sleep(0.003)
            if set(world.worker.assigner.phases()) != set(TOPIC) and not world.source.has_rebalanced():
                world.source.assign(*TOPIC)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    poll=st.integers(1, 30),
    warmup=st.integers(1, 9),
    interval_ms=st.sampled_from([0, 3]),
    publishing=PUBLISHING,
    acknowledging=PUBLISHING,
    commits=ERRORS,
    takes=TAKES,
    turns=TURNS,
    when=st.sampled_from(["fetch", "step", "publish"]),
    at_once_s=st.sampled_from([0.0, math.inf]),
)
def test_each_tick_is_predicted_as_its_stream_alone_would_be_and_committed_only_then(
    world: MakeWorld, poll: int, warmup: int, interval_ms: int, publishing: list[Exception | None],
    acknowledging: list[Exception | None], commits: list[Exception | None], takes: list[int],
    turns: list[tuple[int, ...] | None], when: str, at_once_s: float,
) -> None:  # fmt: skip
    async def run() -> World:
        read = {"max_poll_records": warmup, "warmup_ticks": 100}
        kept = {"commit_interval_ms": interval_ms}
        w = world(TOPIC, poll=poll, at_once_s=at_once_s, input=read, delivery=kept)
        w.sink.errors, w.source.commit_errors = deque(publishing), deque(commits)
        w.sink.acknowledging, w.sink.commits_take = deque(acknowledging), deque(takes)
        rebalances(w, turns, when)
        await asyncio.wait_for(serve_all(w), 20)
        return w

    w = asyncio.run(run())
    expected = alone(record for records in TOPIC.values() for record in records)
    assert [(place, expected[place]) for place, _ in w.predictions()] == w.predictions()
    assert {place for place, _ in w.predictions()} == set(expected)
    check_order_of_durability(w.journal)
