"""What an appender puts in comes out of the source: both brokers, no mock."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from streamrnn.config import Settings
from streamrnn.errors import Rebalanced, TopicError
from streamrnn.kafka.admin import _Admin, create_topic, prepare_topics
from streamrnn.kafka.marks import Mark
from streamrnn.kafka.reading.member import Assignment, Source
from streamrnn.kafka.writing.appending import Appender
from streamrnn.ticks import OutRecord, Record

from .conftest import SettingsFactory


def ticks(count: int, partitions: int = 2, first: int = 0, size: int = 0) -> list[OutRecord]:
    """Records i with partition i % partitions; the value begins with i."""
    pad = b"x" * size
    return [
        OutRecord(i % partitions, 1_000 + i, b"key-%d" % i, b"%d " % i + pad, (("n", b"%d" % i),))
        for i in range(first, first + count)
    ]


@asynccontextmanager
async def running(thing: Source | Appender) -> AsyncIterator[None]:
    await thing.start()
    try:
        yield
    finally:
        await thing.stop()


async def place(source: Source, start: int | None = None) -> frozenset[int]:
    """Take the new assignment and seek each partition: committed, else `start`, else the policy's."""
    assignment = await taken(source)
    for partition in assignment.partitions:
        mark = await source.committed(partition)
        if mark is not None:
            source.seek(partition, mark.offset)
        else:
            source.seek(partition, await source.first_start(partition) if start is None else start)
    return assignment.partitions


async def taken(source: Source, timeout_s: float = 20) -> Assignment:
    """The next assignment; polls as the loop does."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if (assignment := source.take_rebalance()) is not None:
            return assignment
        await source.fetch((), 50)
    raise TimeoutError("no rebalance")


async def fetched(source: Source, live: frozenset[int], count: int, timeout_s: float = 20) -> list[Record]:
    """At least `count` records."""
    got: list[Record] = []
    end = time.monotonic() + timeout_s
    while len(got) < count and time.monotonic() < end:
        got += await source.fetch(live)
    return got


async def publish(settings: Settings, records: list[OutRecord], topic: str | None = None) -> None:
    appender = Appender(settings)
    async with running(appender):
        await appender.append(topic or settings.input.topic, records)


async def test_records_come_back_whole_and_in_order(settings: SettingsFactory) -> None:
    s = await settings(partitions=2)
    sent = ticks(500)
    await publish(s, sent)
    source = Source(s)
    async with running(source):
        live = await place(source)
        got = await fetched(source, live, 500)
    for partition in (0, 1):
        mine = [r for r in got if r.partition == partition]
        assert [r.offset for r in mine] == list(range(250))
        expected = [r for r in sent if r.partition == partition]
        assert [(r.timestamp_ms, r.key, r.value, tuple(r.headers)) for r in mine] == [r[1:5] for r in expected]


async def test_a_batch_is_sorted_by_partition_and_offset_and_bounded(settings: SettingsFactory) -> None:
    s = await settings(partitions=3, input={"max_poll_records": 70})
    await publish(s, ticks(300, partitions=3))
    source = Source(s)
    async with running(source):
        live = await place(source)
        total = 0
        while total < 300:
            records = await source.fetch(live, 500)
            places = [(r.partition, r.offset) for r in records]
            assert places == sorted(places)
            assert 0 < len(records) <= 70
            total += len(records)


async def test_only_live_partitions_yield_and_the_gate_opens_later(settings: SettingsFactory) -> None:
    s = await settings(partitions=2)
    await publish(s, ticks(100))
    source = Source(s)
    async with running(source):
        await place(source)
        assert await source.fetch((), 300) == []
        first = await fetched(source, frozenset({1}), 50)
        assert {r.partition for r in first} == {1}
        assert len(await fetched(source, frozenset({0, 1}), 50)) == 50
        assert source.positions() == {0: 50, 1: 50}


async def test_a_partition_must_be_sought_before_it_goes_live(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    source = Source(s)
    async with running(source):
        await taken(source)
        with pytest.raises(AssertionError, match="seek before going live"):
            await source.fetch({0})


async def test_a_committed_position_is_where_the_next_worker_begins(settings: SettingsFactory) -> None:
    s = await settings(partitions=2)
    await publish(s, ticks(100))
    source = Source(s)
    async with running(source):
        live = await place(source)
        assert await source.committed(0) is None
        await fetched(source, live, 100)
        await source.commit({0: Mark(20), 1: Mark(30)})
    later = Source(s)
    async with running(later):
        live = await place(later)
        assert await later.committed(0) == Mark(20)
        got = await fetched(later, live, 50)
    assert [r.offset for r in got if r.partition == 0] == list(range(20, 50))
    assert [r.offset for r in got if r.partition == 1] == list(range(30, 50))


async def test_seek_goes_back(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    await publish(s, ticks(40, partitions=1))
    source = Source(s)
    async with running(source):
        live = await place(source)
        await fetched(source, live, 40)
        source.seek(0, 35)
        assert [r.offset for r in await fetched(source, live, 5)] == list(range(35, 40))


async def test_a_second_worker_takes_its_share_and_gives_it_back(settings: SettingsFactory) -> None:
    s = await settings(partitions=4)
    one, two = Source(s), Source(s)
    async with running(one):
        assert (await taken(one)).partitions == frozenset(range(4))
        polling = asyncio.create_task(taken(one))
        async with running(two):
            mine, other = await polling, await taken(two)
            assert mine.partitions | other.partitions == frozenset(range(4))
            assert len(mine.partitions) == len(other.partitions) == 2
            assert one.rebalances == 2
        again = await taken(one)
        assert again.partitions == frozenset(range(4))
        assert again.generation > mine.generation


async def test_committing_what_is_no_longer_held_says_rebalanced(settings: SettingsFactory) -> None:
    s = await settings(partitions=2)
    one, two = Source(s), Source(s)
    async with running(one):
        await place(one)
        polling = asyncio.create_task(taken(one))
        async with running(two):
            lost = next(iter({0, 1} - (await polling).partitions))
            with pytest.raises(Rebalanced):
                await one.commit({lost: Mark(0)})
            with pytest.raises(Rebalanced):
                one.seek(lost, 0)


async def test_nothing_flows_while_a_new_assignment_waits(settings: SettingsFactory) -> None:
    s = await settings(partitions=2)
    await publish(s, ticks(20))
    one, two = Source(s), Source(s)
    async with running(one):
        live = await place(one)
        await fetched(one, live, 20)
        joining = asyncio.create_task(two.start())
        while one.rebalances < 2:
            assert await one.fetch(live, 20) == []
        await joining
        await publish(s, ticks(20))
        assert await one.fetch(live, 500) == []
        await two.stop()


async def test_latest_starts_after_what_is_there(settings: SettingsFactory) -> None:
    s = await settings(partitions=1, input={"start": "latest"})
    for i in range(10):
        await publish(s, ticks(1, partitions=1, first=i))
    source = Source(s)
    async with running(source):
        live = await place(source)
        await publish(s, ticks(1, partitions=1, first=10))
        assert [r.offset for r in await fetched(source, live, 1)] == [10]
        assert await source.end_offsets([0]) == {0: 11}
        assert source.partition_count() == 1


async def test_output_and_dead_letter_topics_are_made_like_the_input(settings: SettingsFactory) -> None:
    s = await settings(partitions=3)
    assert await prepare_topics(s) == 3
    assert await prepare_topics(s) == 3
    await publish(s, ticks(3, partitions=3), s.output.topic)
    await publish(s, ticks(3, partitions=3), f"{s.input.topic}.dlq")


async def test_the_brokers_own_replication_factor_can_be_asked_for(settings: SettingsFactory) -> None:
    s = await settings(partitions=1, output={"replication_factor": -1})
    assert await prepare_topics(s) == 1


async def test_a_missing_input_topic_is_refused_with_the_command_to_make_it(settings: SettingsFactory) -> None:
    s = await settings(input={"topic": "nowhere"})
    with pytest.raises(TopicError, match=r"kafka-topics\.sh .* --create --topic nowhere"):
        await prepare_topics(s)
    with pytest.raises(TopicError):
        await prepare_topics(s)


async def test_a_broker_that_lags_behind_the_one_that_made_a_topic_is_borne_with(
    settings: SettingsFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request asks any broker of a cluster; here every second answer is that of one that knows nothing yet."""
    s = await settings(partitions=3)
    asked, answers = _Admin._leaders, itertools.count()

    async def lagging(admin: _Admin, topics: Sequence[str]) -> dict[str, list[int]]:
        known = await asked(admin, topics)
        return known if next(answers) % 2 else {topic: [] for topic in topics}

    monkeypatch.setattr(_Admin, "_leaders", lagging)
    assert await prepare_topics(s) == 3
    s = await settings(input={"topic": s.input.topic}, output={"topic": s.output.topic, "create_topics": False})
    next(answers)
    assert await prepare_topics(s) == 3


async def test_a_topic_that_another_was_first_to_create_has_the_partitions_that_it_has(
    settings: SettingsFactory,
) -> None:
    s = await settings(partitions=3)
    assert await create_topic(s.kafka, s.input.topic, 5) == 3
    assert await create_topic(s.kafka, s.output.topic, 5) == 5


async def test_unequal_partition_counts_are_refused(settings: SettingsFactory) -> None:
    s = await settings(partitions=2)
    other = await settings(partitions=3)
    s = await settings(input={"topic": s.input.topic}, output={"topic": other.input.topic})
    with pytest.raises(TopicError, match=r"2 partitions and .* has 3"):
        await prepare_topics(s)


async def test_missing_topics_are_not_made_when_that_is_off(settings: SettingsFactory) -> None:
    s = await settings(partitions=1, output={"create_topics": False})
    with pytest.raises(TopicError, match="create_topics is off"):
        await prepare_topics(s)
