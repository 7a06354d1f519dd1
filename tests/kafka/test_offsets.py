"""Committed offsets and what is written beside them; who may write them."""

import asyncio
import json

import pytest

from streamrnn.errors import BrokerUnavailable, Rebalanced
from streamrnn.kafka.marks import Mark
from streamrnn.kafka.offsets import committed_marks
from streamrnn.kafka.reading.member import Source

from .conftest import SettingsFactory, embedded_only, real_only
from .test_source_and_sink import publish, running, taken, ticks

PEDIGREE = json.dumps({"v": 1, "model": "größe@7", "fingerprint": "f" * 64, "since": 2**40, "served_from": 3})


@real_only
async def test_a_mark_comes_back_whole_to_members_and_to_outsiders(settings: SettingsFactory) -> None:
    s = await settings(partitions=3)
    source = Source(s)
    async with running(source):
        await taken(source)
        assert await committed_marks(s, [0, 2]) == {0: None, 2: None}
        await source.commit({0: Mark(7, PEDIGREE), 2: Mark(2**40)})
        assert [await source.committed(p) for p in range(3)] == [Mark(7, PEDIGREE), None, Mark(2**40)]
        assert await committed_marks(s, range(3)) == {0: Mark(7, PEDIGREE), 1: None, 2: Mark(2**40)}
        await source.commit({0: Mark(8, "")})
        assert await source.committed(0) == Mark(8, "")


@embedded_only
async def test_a_broker_that_keeps_no_metadata_still_gives_the_offset(settings: SettingsFactory) -> None:
    s = await settings(partitions=2)
    source = Source(s)
    async with running(source):
        await taken(source)
        await source.commit({0: Mark(7, PEDIGREE)})
        assert [await source.committed(p) for p in (0, 1)] == [Mark(7, ""), None]
        assert await committed_marks(s, [0, 1]) == {0: Mark(7, ""), 1: None}


async def test_committing_nothing_asks_nobody(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    source = Source(s)
    await source.commit({})
    with pytest.raises(BrokerUnavailable, match="not started"):
        source.is_connected()
    assert await committed_marks(s, [0]) == {0: None}


async def test_a_worker_that_has_not_been_told_its_partitions_is_no_member(settings: SettingsFactory) -> None:
    source = Source(await settings(partitions=1))
    async with running(source):
        with pytest.raises(Rebalanced, match="no assignment"):
            source.membership()
        with pytest.raises(Rebalanced):
            await source.commit({0: Mark(1)})


async def test_membership_is_of_the_assignment_taken_last_and_not_of_a_newer_one(settings: SettingsFactory) -> None:
    s = await settings(partitions=2)
    one, two = Source(s), Source(s)
    async with running(one):
        first = await taken(one)
        before = one.membership()
        assert (before.group, before.generation) == (s.kafka.group, first.generation)
        joining = asyncio.create_task(two.start())
        while not one.has_rebalanced():
            await one.fetch((), 20)
        await joining
        assert one.membership() == before, "the group has moved on, and the loop does not know yet"
        with pytest.raises(Rebalanced):
            await one.commit(dict.fromkeys(first.partitions, Mark(1)))
        second = await taken(one)
        assert one.membership().generation == second.generation > first.generation
        assert one.membership().member_id == before.member_id
        await two.stop()


async def test_a_member_of_the_past_cannot_commit_even_what_it_still_holds(settings: SettingsFactory) -> None:
    s = await settings(partitions=2)
    one, two = Source(s), Source(s)
    async with running(one):
        await taken(one)
        stale = one.membership()
        polling = asyncio.create_task(taken(one))
        async with running(two):
            kept = min((await polling).partitions)
            one._membership = stale
            with pytest.raises(Rebalanced, match="moved on"):
                await one.commit({kept: Mark(5)})
    assert await committed_marks(s, [kept]) == {kept: None}


async def test_the_start_of_the_log_is_told(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    await publish(s, ticks(5, partitions=1))
    source = Source(s)
    async with running(source):
        assert await source.log_start(0) == 0


@embedded_only
async def test_asking_a_dead_address_ends_in_time(settings: SettingsFactory) -> None:
    s = await settings(input={"topic": "t"}, kafka={"bootstrap": "127.0.0.1:1", "request_timeout_ms": 500})
    with pytest.raises(BrokerUnavailable):
        await asyncio.wait_for(committed_marks(s, [0]), 5)
