"""The path of a tick: what is published, what is committed, in which order, and what nothing may break."""

import asyncio
from collections import deque

import pytest

from streamrnn.errors import BrokerUnavailable, EngineError, Rebalanced, StreamrnnError, TopicError
from streamrnn.ticks import OutRecord

from .conftest import POISON, MakeWorld, World, alone, tick, ticks
from .fakes import check_order_of_durability, published

AWAY = BrokerUnavailable("nobody there")
EXACT = {"delivery": {"guarantee": "exactly_once", "commit_interval_ms": 0}}


def all_committed(world: World) -> bool:
    return world.source.offsets == {p: len(records) for p, records in world.source.ticks.items()}


def check_each_once_and_right(world: World) -> None:
    """Every accepted tick has one prediction, in order within its partition, equal to its stream's alone."""
    expected = alone(r for records in world.source.ticks.values() for r in records)
    for partition in world.source.ticks:
        mine = [said for said in world.predictions() if said[0][0] == partition]
        assert mine == [said for said in expected.items() if said[0][0] == partition]
    check_order_of_durability(world.journal)


async def test_predictions_come_in_order_and_offsets_are_committed_only_behind_them(world: MakeWorld) -> None:
    w = world({0: ticks(0, 50), 1: ticks(1, 30), 2: []}, poll=7)
    async with w.serving():
        await w.until(lambda: all_committed(w))
    check_each_once_and_right(w)


async def test_while_the_broker_is_away_a_batch_is_tried_again_and_nothing_is_committed(
    world: MakeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    w = world({0: ticks(0, 50)}, poll=7)
    w.sink.errors = deque([AWAY] * 1_000_000)
    async with w.serving():
        await w.until(lambda: w.sink.attempts >= 5)
        assert w.source.offsets == {0: 0}
        assert {offset for _, offset in w.source.fetched} <= set(range(14)), "no more than two batches are held"
        assert not w.worker.health.is_broker_good
        w.sink.errors.clear()
        await w.until(lambda: all_committed(w))
        assert w.worker.health.is_broker_good
    check_each_once_and_right(w)
    assert [m for m in caplog.messages if "broker" in m] == [
        "broker is away, waiting for it: nobody there",
        "broker is back",
    ]


async def test_a_commit_that_fails_is_made_up_for_without_new_ticks(world: MakeWorld) -> None:
    w = world({0: []})
    async with w.serving():
        await w.until(lambda: w.source.offsets == {0: 0})
        w.source.commit_errors = deque([AWAY] * 3)
        w.source.ticks[0] += ticks(0, 20)
        await w.until(lambda: len(w.predictions()) == 20 and not w.worker.health.is_broker_good)
        await w.until(lambda: all_committed(w) and w.worker.health.is_broker_good)
    check_each_once_and_right(w)


@pytest.mark.parametrize("error", [AWAY, Rebalanced("moved on")])
async def test_a_fetch_that_may_succeed_later_is_tried_again(world: MakeWorld, error: StreamrnnError) -> None:
    w = world({0: ticks(0, 20)})
    w.source.fetch_errors = deque([error] * 3)
    async with w.serving():
        await w.until(lambda: all_committed(w))
        assert w.worker.health.is_broker_good
    check_each_once_and_right(w)


@pytest.mark.parametrize("where", ["fetch_errors", "commit_errors"])
async def test_an_error_that_will_not_pass_ends_the_worker(world: MakeWorld, where: str) -> None:
    w = world({0: []})

    async def serve() -> None:
        async with w.serving() as running:
            await w.until(lambda: w.source.offsets == {0: 0})
            setattr(w.source, where, deque([TopicError("the topic is gone")]))
            w.source.ticks[0] += ticks(0, 20)
            await asyncio.wait({running}, timeout=5)

    with pytest.raises(TopicError, match="the topic is gone"):
        await serve()
    assert w.source.offsets == {0: 0}


async def test_what_a_rebalance_overtook_in_the_fetch_is_discarded_and_read_again(world: MakeWorld) -> None:
    w = world({0: ticks(0, 20), 1: ticks(1, 20)}, poll=5)
    overtaken = iter([0, 3])

    def rebalance() -> None:
        if len(w.source.fetched) // 5 - 1 == overtaken_next[0]:
            overtaken_next[0] = next(overtaken, -1)
            w.source.assign(0, 1)

    overtaken_next = [next(overtaken)]
    w.source.on_fetched = rebalance
    async with w.serving():
        await w.until(lambda: all_committed(w))
    assert len(w.source.fetched) == 50, "two batches of five were read twice"
    check_each_once_and_right(w)


@pytest.mark.parametrize("comes_back_at_once", [True, False])
async def test_a_rebalance_that_begins_during_a_step_has_no_tick_stepped_twice(
    world: MakeWorld, comes_back_at_once: bool
) -> None:
    w = world({0: ticks(0, 60)}, poll=5)
    event_loop, steps = asyncio.get_running_loop(), iter(range(1_000_000))

    def rebalance(warm: bool) -> None:
        if next(steps) in (1, 2, 4):
            event_loop.call_soon_threadsafe(w.source.revoke)
            if comes_back_at_once:
                event_loop.call_soon_threadsafe(w.source.assign, 0)

    w.engine.on_step = rebalance
    async with w.serving():
        while not all_committed(w):
            await asyncio.sleep(0.01)
            if not w.source.positions() and not w.source.has_rebalanced():
                w.source.assign(0)
    expected = alone(w.source.ticks[0])
    assert [expected[place] for place, _ in w.predictions()] == [value for _, value in w.predictions()]
    assert {place for place, _ in w.predictions()} == set(expected)
    check_order_of_durability(w.journal)


async def test_a_commit_of_what_is_no_longer_held_is_given_up(
    world: MakeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    w = world({0: ticks(0, 20), 1: ticks(1, 20)})
    w.sink.on_published = w.source.revoke
    async with w.serving():
        await w.until(lambda: "commit came too late" in caplog.text)
        w.sink.on_published = lambda: None
        w.source.assign(1)
        w.source.ticks[1].extend(ticks(1, 30)[20:])
        await w.until(lambda: w.source.offsets == {0: 0, 1: 30})
    check_order_of_durability(w.journal)


async def test_a_poisoned_tick_is_a_dead_letter_and_its_stream_goes_on_from_before_it(world: MakeWorld) -> None:
    records = [tick(0, n, POISON if n in (4, 5, 11) else 1.0 + n % 3, b"s%d" % (n % 2)) for n in range(20)]
    w = world({0: records}, poll=8)
    async with w.serving():
        await w.until(lambda: all_committed(w))
    assert w.letters() == [((0, 4), "not_finite"), ((0, 5), "not_finite"), ((0, 11), "not_finite")]
    expected = alone(r for r in records if r.offset not in (4, 5, 11))
    assert w.predictions() == list(expected.items())
    check_order_of_durability(w.journal)


async def test_an_unreadable_record_is_a_dead_letter_and_its_offset_is_committed(world: MakeWorld) -> None:
    records = [r._replace(value=b"{") if r.offset in (0, 19) else r for r in ticks(0, 20)]
    w = world({0: records})
    async with w.serving():
        await w.until(lambda: all_committed(w))
    assert w.letters() == [((0, 0), "undecodable"), ((0, 19), "undecodable")]
    check_each_once_and_right(w)


async def test_a_refused_prediction_is_the_dead_letter_of_its_tick(world: MakeWorld) -> None:
    w = world({0: ticks(0, 20)}, poll=8, **EXACT)
    w.sink.refuses = lambda topic, r: topic == "predictions" and dict(r.headers)["src-offset"] in (b"3", b"17")
    async with w.serving():
        await w.until(lambda: all_committed(w))
    assert w.letters() == [((0, 3), "refused"), ((0, 17), "refused")]
    assert [place for place, _ in w.predictions()] == [(0, n) for n in range(20) if n not in (3, 17)]
    letters = published(w.journal, "ticks.dlq")
    assert [(r.key, r.value) for r in letters] == [(r.key, r.value) for r in ticks(0, 20) if r.offset in (3, 17)]
    check_order_of_durability(w.journal)


async def test_a_dead_letter_that_is_too_large_gives_up_its_value_and_then_all_but_its_reason(
    world: MakeWorld,
) -> None:
    records = [
        tick(0, 0, 1.0)._replace(value=b"{" + b"v" * 2000),
        tick(0, 1, 1.0)._replace(value=b"{", key=b"k" * 2000, headers=(("h", b"1"),)),
        tick(0, 2, 1.0)._replace(value=b"{", headers=(("h", b"h" * 2000),)),
        tick(0, 3, 1.0)._replace(value=b"{"),
    ]
    w = world({0: records}, **EXACT)
    w.sink.refuses = lambda topic, r: weight(r) > 1000
    async with w.serving():
        await w.until(lambda: all_committed(w))
    letters = sorted(published(w.journal, "ticks.dlq"), key=lambda r: dict(r.headers)["__streamrnn.errors.offset"])
    assert [r.value for r in letters] == [None, None, None, b"{"]
    assert [r.key for r in letters] == [b"s", None, None, b"s"]
    assert sorted(w.letters()) == [((0, n), "undecodable") for n in range(4)]


def weight(record: OutRecord) -> int:
    return sum(len(part or b"") for part in (record.key, record.value, *(v for _, v in record.headers)))


async def test_a_device_that_fails_ends_the_worker_and_nothing_of_its_batch_is_committed(world: MakeWorld) -> None:
    w = world({0: ticks(0, 30)}, poll=10)
    steps = iter((False, True))

    def fail(_: bool) -> None:
        if next(steps, True):
            raise EngineError("the device is gone")

    w.engine.on_step = fail
    with pytest.raises(EngineError, match="the device is gone"):
        async with w.serving() as running:
            await asyncio.wait({running}, timeout=5)
    assert w.source.offsets[0] <= 10
    check_order_of_durability(w.journal)


async def test_stopping_publishes_and_commits_all_that_was_fetched(world: MakeWorld) -> None:
    w = world({0: ticks(0, 1000)}, poll=7, delivery={"commit_interval_ms": 3_600_000})
    w.source.commit_errors = deque()
    async with w.serving():
        await w.until(lambda: len(w.predictions()) > 20)
        w.sink.is_open.clear()
        await asyncio.sleep(0.01)
        w.source.commit_errors = deque([AWAY] * 3)
        w.stop.set()
        w.sink.is_open.set()
    assert w.source.offsets == {0: len(w.source.fetched)}
    assert len(w.predictions()) == len(w.source.fetched) < 1000
    check_order_of_durability(w.journal)


@pytest.mark.parametrize("poison", [b"{", b'{"x": 3e38}'], ids=["decode", "model"])
async def test_too_many_dead_letters_pause_fetching_and_readiness_until_the_pause_is_over(
    world: MakeWorld, poison: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    limits = {"dead_letter_window": 20, "dead_letter_share": 0.5, "breaker_pause_s": 0.3}
    w = world({0: [r._replace(value=poison) for r in ticks(0, 100)]}, poll=10, limits=limits)
    ready = w.worker.health.readiness
    async with w.serving():
        await w.until(lambda: ready() == (False, "too many dead letters: the breaker is open"))
        assert "fetching pauses 0.3 s: over 50 % of the last 20 records are dead letters" in caplog.text
        await asyncio.sleep(0.05)
        before, polls = list(w.source.fetched), w.source.polls
        assert 20 <= len(before) <= 40
        await asyncio.sleep(0.1)
        assert w.source.fetched == before
        assert w.source.polls > polls, "the group sees a worker that polls"
        await w.until(lambda: len(w.source.fetched) > len(before))
        w.source.ticks[0][60:] = ticks(0, 100)[60:]
        await w.until(lambda: all_committed(w) and ready() == (True, "ok"))
    check_order_of_durability(w.journal)
