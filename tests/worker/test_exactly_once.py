"""Exactly once, whatever happens around a commit: a reader sees each tick's prediction once, in order."""

import asyncio
from collections import deque

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamrnn.errors import BrokerUnavailable, Rebalanced
from streamrnn.provenance.pedigree import Pedigree

from .conftest import MakeWorld, World, alone, ticks
from .fakes import Committed, Lost, Published, place_of
from .test_interleavings import TAKES, TURNS, rebalances, serve_all

AWAY = BrokerUnavailable("nobody there")
EXACT = {"guarantee": "exactly_once", "commit_interval_ms": 0}
TOPIC = {0: ticks(0, 40), 1: ticks(1, 25), 2: ticks(2, 9)}
OUTCOMES = st.lists(st.sampled_from([None, None, AWAY, Rebalanced("late"), Lost(True), Lost(False)]), max_size=12)


def check_exact(world: World) -> None:
    """Each accepted tick once, in order within its partition, its stream's value, and with its offset."""
    expected = alone(r for records in world.source.ticks.values() for r in records)
    for partition in world.source.ticks:
        mine = [said for said in world.predictions() if said[0][0] == partition]
        assert mine == [said for said in expected.items() if said[0][0] == partition]
    stand = dict.fromkeys(world.source.ticks, 0)
    published: set[tuple[int, int]] = set()
    for done in world.journal:
        if isinstance(done, Published):
            published.update(map(place_of, done.records))
        else:
            due = {(p, o) for p, stop in done.positions.items() for o in range(stand[p], stop)}
            assert due <= published, "committed without its prediction"
            stand.update(done.positions)
            assert published <= {(p, o) for p, stop in stand.items() for o in range(stop)}, "seen before its offset"


def beginning(text: str) -> tuple[str, str, int, int]:
    """Model, fingerprint, since and served_from of a pedigree."""
    told = Pedigree.from_text(text)
    assert told is not None
    assert told.born
    return told[:4]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    poll=st.integers(1, 30),
    most=st.integers(1, 9),
    interval_ms=st.sampled_from([0, 3]),
    sending=st.lists(st.sampled_from([None, None, None, AWAY]), max_size=12),
    outcomes=OUTCOMES,
    takes=TAKES,
    turns=TURNS,
    when=st.sampled_from(["fetch", "step", "publish"]),
)
def test_no_order_of_faults_loses_doubles_or_changes_a_prediction(
    world: MakeWorld, poll: int, most: int, interval_ms: int, sending: list[Exception | None],
    outcomes: list[Exception | Lost | None], takes: list[int], turns: list[tuple[int, ...] | None], when: str,
) -> None:  # fmt: skip
    async def run() -> World:
        delivery = EXACT | {"commit_interval_ms": interval_ms}
        w = world(TOPIC, poll=poll, input={"max_poll_records": most, "warmup_ticks": 100}, delivery=delivery)
        w.sink.errors, w.sink.outcomes, w.sink.commits_take = deque(sending), deque(outcomes), deque(takes)
        rebalances(w, turns, when)
        await asyncio.wait_for(serve_all(w), 20)
        return w

    check_exact(asyncio.run(run()))


@pytest.mark.parametrize("was_applied", [True, False])
async def test_a_commit_whose_answer_is_lost_is_neither_repeated_nor_left_out(
    world: MakeWorld, was_applied: bool
) -> None:
    w = world({0: ticks(0, 20)}, poll=5, delivery=EXACT)
    w.sink.outcomes = deque([None, Lost(was_applied), None, Lost(was_applied)])
    warm: list[bool] = []
    w.engine.on_step = warm.append
    async with w.serving():
        await w.until(lambda: w.source.offsets == {0: 20})
    check_exact(w)
    assert any(warm) == was_applied, "what is committed is stepped again and not published; else it is done again"


async def test_the_pedigree_of_the_state_is_committed_with_every_offset(world: MakeWorld) -> None:
    w = world({0: ticks(0, 20)}, poll=5, delivery=EXACT)
    async with w.serving():
        await w.until(lambda: w.source.offsets == {0: 20})
    assert beginning(w.source.metadata[0]) == ("toy@1", "f" * 64, 0, 0)


async def test_a_warm_up_changes_the_pedigree_before_anything_is_published(world: MakeWorld) -> None:
    w = world({0: ticks(0, 60)}, input={"warmup_ticks": 10}, delivery=EXACT)
    w.source.offsets[0] = 30
    w.source.metadata[0] = Pedigree("toy@1", "f" * 64, 0, 0, "born").to_text()
    async with w.serving():
        await w.until(lambda: w.source.offsets == {0: 60})
    assert beginning(w.source.metadata[0]) == ("toy@1", "f" * 64, 20, 30)
    assert w.journal[0] == Committed({0: 30})
    expected = alone(ticks(0, 60)[20:])
    assert w.predictions() == [((0, n), expected[0, n]) for n in range(30, 60)]


async def test_a_state_younger_than_a_warm_up_is_made_whole_again_from_its_beginning(world: MakeWorld) -> None:
    w = world({0: ticks(0, 60)}, input={"warmup_ticks": 30}, delivery=EXACT)
    w.source.offsets[0] = 30
    known = w.source.metadata[0] = Pedigree("toy@1", "f" * 64, 5, 5, "born").to_text()
    async with w.serving():
        await w.until(lambda: w.source.offsets == {0: 60})
    assert w.source.metadata[0] == known
    expected = alone(ticks(0, 60)[5:])
    assert w.predictions() == [((0, n), expected[0, n]) for n in range(30, 60)]


async def test_ticks_of_another_model_give_a_state_of_their_own(world: MakeWorld) -> None:
    w = world({0: ticks(0, 40)}, input={"warmup_ticks": 10}, delivery=EXACT)
    w.source.offsets[0] = 15
    w.source.metadata[0] = Pedigree("toy@0", "e" * 64, 0, 0).to_text()
    async with w.serving():
        await w.until(lambda: w.source.offsets == {0: 40})
    assert beginning(w.source.metadata[0]) == ("toy@1", "f" * 64, 5, 15)
