"""An interval is committed while the next one is on its way: what may overlap, and what no overlap may break."""

import asyncio
from collections import Counter, deque

import pytest

from streamrnn.errors import BrokerUnavailable, Rebalanced, StreamrnnError, TopicError

from .conftest import MakeWorld, World, alone, ticks
from .fakes import Lost, check_order_of_durability
from .test_exactly_once import check_exact
from .test_loop import all_committed, check_each_once_and_right

AWAY = BrokerUnavailable("nobody there")
EXACT = {"guarantee": "exactly_once", "commit_interval_ms": 0}


async def closing(world: World, records: int = 20) -> None:
    """The first records of the topic are sent and acknowledged, and their commit is held up."""
    await world.until(lambda: world.source.offsets.keys() == world.source.ticks.keys())
    world.sink.held_at = "acknowledging"
    more = ticks(0, len(world.source.ticks[0]) + records)
    world.source.ticks[0] += more[len(world.source.ticks[0]) :]
    await world.until(lambda: world.sink.is_closing)


async def next_one(world: World, records: int = 20) -> None:
    """The next ones are sent meanwhile."""
    stop = len(world.source.ticks[0]) + records
    world.source.ticks[0] += ticks(0, stop)[stop - records :]
    await world.until(lambda: (0, stop - 1) in dict(world.predictions()))


def check_values(world: World) -> None:
    """Every tick has its stream's value, as often as it was published, and none is left out."""
    expected = alone(r for records in world.source.ticks.values() for r in records)
    assert [(place, expected[place]) for place, _ in world.predictions()] == world.predictions()
    assert {place for place, _ in world.predictions()} == set(expected)
    check_order_of_durability(world.journal)


def layers(world: World) -> int:
    """How many steps could be undone."""
    return len(world.engine._undo._layers)


async def test_batches_go_on_while_a_commit_is_held_up_and_are_committed_after_it(world: MakeWorld) -> None:
    w = world({0: []}, poll=5)
    async with w.serving():
        await closing(w, 5)
        await next_one(w, 30)
        assert w.source.offsets == {0: 0}
        assert layers(w) >= 7, "no step of either interval is settled"
        w.sink.held_at = ""
        await w.until(lambda: all_committed(w) and not layers(w))
    assert [done for done in w.commits() if done != {0: 0}] == [{0: 5}, {0: 35}], "one commit for all that came"
    check_each_once_and_right(w)


async def test_settling_an_interval_leaves_the_next_ones_undo(world: MakeWorld) -> None:
    w = world({0: []})
    async with w.serving():
        await closing(w)
        await next_one(w)
        w.sink.held_at = ""
        w.sink.acknowledging = deque([None, None, AWAY])  # twice for the first, whose commit looks again
        await w.until(lambda: all_committed(w) and not layers(w))
    seen = Counter(place for place, _ in w.predictions())
    assert [seen[0, n] for n in range(40)] == [1] * 20 + [2] * 20, "the first is committed, the second done again"
    check_values(w)


async def test_a_commit_that_fails_joins_the_next_interval(world: MakeWorld) -> None:
    w = world({0: []})
    async with w.serving():
        await closing(w)
        await next_one(w)
        w.source.commit_errors = deque([AWAY, AWAY])
        w.sink.held_at = ""
        await w.until(lambda: all_committed(w) and not layers(w))
        assert w.worker.health.is_broker_good
    assert w.commits() == [{0: 0}, {0: 40}]
    check_each_once_and_right(w)


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_a_failure_of_what_is_closing_undoes_the_next_interval_too(world: MakeWorld, guarantee: str) -> None:
    w = world({0: []}, poll=10, delivery=EXACT | {"guarantee": guarantee})
    async with w.serving():
        await closing(w, 10)
        w.source.ticks[0] += ticks(0, 40)[10:]
        await w.until(lambda: (0, 29) in w.source.fetched)
        w.sink.acknowledging = deque([AWAY])
        w.sink.held_at = ""
        await w.until(lambda: all_committed(w) and not layers(w))
    again = Counter(w.source.fetched)
    assert all(again[0, n] == 2 for n in range(30)), "both are read again"
    (check_exact if guarantee == "exactly_once" else check_values)(w)


async def test_a_failure_of_the_next_interval_waits_for_the_commit_before_it(world: MakeWorld) -> None:
    w = world({0: []})
    async with w.serving():
        await closing(w)
        w.sink.errors = deque([AWAY])
        w.source.ticks[0] += ticks(0, 40)[20:]
        await w.until(lambda: not w.sink.errors)
        await asyncio.sleep(0.02)
        assert layers(w) == 2, "nothing is undone while it may yet be committed"
        w.sink.held_at = ""
        await w.until(lambda: all_committed(w) and not layers(w))
    assert w.commits()[:2] == [{0: 0}, {0: 20}]
    check_each_once_and_right(w)


async def test_a_refusal_in_what_is_closing_is_its_ticks_dead_letter(world: MakeWorld) -> None:
    w = world({0: []})
    async with w.serving():
        await w.until(lambda: all_committed(w))
        w.sink.refuses = lambda topic, r: topic == "predictions" and dict(r.headers)["src-offset"] == b"3"
        await closing(w)
        await next_one(w)
        w.sink.held_at = ""
        await w.until(lambda: all_committed(w))
    assert w.letters()[-1] == ((0, 3), "refused")
    assert {place for place, _ in w.predictions()} == {(0, n) for n in range(40) if n != 3}


@pytest.mark.parametrize("error", [TopicError("the topic is gone"), RuntimeError("a mistake of ours")])
async def test_what_will_not_pass_ends_the_worker_from_within_a_commit(world: MakeWorld, error: Exception) -> None:
    w = world({0: []})

    async def serve() -> None:
        async with w.serving() as running:
            await closing(w)
            w.sink.acknowledging = deque([error])
            w.sink.held_at = ""
            await asyncio.wait({running}, timeout=5)

    with pytest.raises(type(error), match=str(error)):
        await serve()
    assert w.source.offsets == {0: 0}


# Exactly once


async def test_the_next_interval_is_fetched_and_stepped_while_a_transaction_ends(world: MakeWorld) -> None:
    w = world({0: []}, poll=5, delivery=EXACT)
    async with w.serving():
        await closing(w, 5)
        w.source.ticks[0] += ticks(0, 100)[5:]
        await w.until(lambda: layers(w) >= 3)
        await asyncio.sleep(0.02)
        assert w.predictions() == []
        assert len(w.source.fetched) <= 5 * 4, "what waits for the transaction's end is bounded"
        w.sink.held_at = ""
        await w.until(lambda: all_committed(w))
    check_exact(w)


@pytest.mark.parametrize("outcome", [AWAY, Rebalanced("late"), Lost(True), Lost(False)])
async def test_a_transaction_that_fails_takes_all_that_was_stepped_behind_it_back(
    world: MakeWorld, outcome: StreamrnnError | Lost
) -> None:
    w = world({0: []}, poll=5, delivery=EXACT)
    async with w.serving():
        await closing(w, 5)
        w.source.ticks[0] += ticks(0, 100)[5:]
        await w.until(lambda: layers(w) >= 3)
        w.sink.outcomes = deque([outcome])
        w.sink.held_at = ""
        await w.until(lambda: all_committed(w) and not layers(w))
    check_exact(w)


# Rebalances, and the end


async def test_a_rebalance_waits_for_the_commit_and_keeps_what_is_published(world: MakeWorld) -> None:
    w = world({0: [], 1: []})
    async with w.serving():
        await closing(w)
        await next_one(w)
        w.source.assign(0)
        await asyncio.sleep(0.02)
        assert set(w.worker.assigner.phases()) == {0, 1}, "the assignment is not yet followed"
        w.sink.held_at = ""
        await w.until(lambda: w.source.offsets == {0: 40, 1: 0} and not layers(w))
        w.source.ticks[0] += ticks(0, 60)[40:]
        await w.until(lambda: w.source.offsets == {0: 60, 1: 0})
    check_each_once_and_right(w)


async def test_a_rebalance_exactly_once_undoes_what_it_refused(world: MakeWorld) -> None:
    w = world({0: [], 1: []}, poll=5, delivery=EXACT)
    async with w.serving():
        await closing(w)
        w.source.assign(0)
        await asyncio.sleep(0.02)
        assert layers(w), "nothing is undone while it may yet be committed"
        w.sink.held_at = ""
        await w.until(lambda: w.source.offsets == {0: 20, 1: 0})
    check_exact(w)


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_stopping_waits_for_the_commit_and_for_what_came_behind_it(world: MakeWorld, guarantee: str) -> None:
    w = world({0: []}, poll=5, delivery=EXACT | {"guarantee": guarantee})
    async with w.serving():
        await closing(w, 5)
        w.source.ticks[0] += ticks(0, 15)[5:]
        await w.until(lambda: len(w.source.fetched) == 15)
        w.stop.set()
        await asyncio.sleep(0.02)
        assert w.source.offsets == {0: 0}
        w.source.commit_errors = deque([AWAY])
        w.sink.held_at = ""
    assert all_committed(w)
    check_each_once_and_right(w)


@pytest.mark.parametrize("outcome", [AWAY, Rebalanced("late")])
async def test_the_end_undoes_what_its_commit_did_not_reach(world: MakeWorld, outcome: StreamrnnError) -> None:
    w = world({0: []}, poll=5, delivery=EXACT)
    async with w.serving():
        await closing(w, 5)
        w.sink.outcomes = deque([outcome])
        w.stop.set()
        w.sink.held_at = ""
    assert w.source.offsets == {0: 0}
    assert layers(w) == 0
    assert w.worker.assigner.owned()[0].serving.position == 0


# Deaths


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
@pytest.mark.parametrize("moment", ["acknowledging", "committing", "committed"])
async def test_a_death_within_a_commit_is_made_up_for_by_the_heir(
    world: MakeWorld, guarantee: str, moment: str
) -> None:
    options = {"delivery": EXACT | {"guarantee": guarantee}, "input": {"warmup_ticks": 100}}
    w = world({0: []}, poll=5, **options)
    async with w.crashing():
        await closing(w, 5)
        w.source.ticks[0] += ticks(0, 40)[5:]
        await w.until(lambda: layers(w) >= 3)
        w.sink.held_at = moment
        await asyncio.sleep(0.02)
        assert w.source.offsets == {0: 5 if moment == "committed" else 0}
        assert w.sink.is_closing
    heir = world(w.source.ticks, poll=5, after=w, **options)
    async with heir.serving():
        await heir.until(lambda: all_committed(heir))
    (check_exact if guarantee == "exactly_once" else check_values)(heir)
