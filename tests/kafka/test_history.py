"""Bounds in time and in offsets to spans of the log, and their reading, on both brokers."""

import time
from contextlib import aclosing
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete

from streamrnn.config import Settings
from streamrnn.errors import BrokerUnavailable, DataError, TopicError
from streamrnn.kafka.reading.history import Span, find_spans, read_spans
from streamrnn.ticks import OutRecord

from .conftest import SettingsFactory, embedded_only, real_only
from .test_source_and_sink import publish

HOUR_AGO_MS = int(time.time() - 3600) * 1000
"""What the times below count from: a real broker deletes what is a week old."""


def written(*times_ms: int, partition: int = 0) -> list[OutRecord]:
    return [OutRecord(partition, HOUR_AGO_MS + at, b"k", b"%d" % at) for at in times_ms]


async def found(s: Settings, since: int | None = None, until: int | None = None, offsets: Any = None) -> list[Span]:
    """`find_spans` with times as `written` has them."""
    first, last = (None if at is None else HOUR_AGO_MS + at for at in (since, until))
    return await find_spans(s, first, last, offsets)


async def log_of(settings: SettingsFactory) -> Settings:
    """Partition 0 with records at 1000, 1100 .. 2900 in two batches, 1 with three at 1500, 1600, 1700, 2 empty."""
    s = await settings(partitions=3)
    await publish(s, written(*range(1000, 2000, 100)))
    await publish(s, written(*range(2000, 3000, 100)))
    await publish(s, written(1500, 1600, 1700, partition=1))
    return s


async def read(s: Settings, spans: list[Span], max_records: int = 1000) -> list[tuple[int, int]]:
    async with aclosing(read_spans(s, spans, max_records)) as batches:
        return [(record.partition, record.offset) async for records in batches for record in records]


async def test_without_bounds_it_is_all_that_there_is_now(settings: SettingsFactory) -> None:
    s = await log_of(settings)
    spans = await find_spans(s)
    assert spans == [Span(0, 0, 20), Span(1, 0, 3)]
    await publish(s, written(9000))
    assert await read(s, spans) == [(0, n) for n in range(20)] + [(1, n) for n in range(3)]


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (1500, None, [Span(0, 5, 20), Span(1, 0, 3)]),
        (None, 1600, [Span(0, 0, 6), Span(1, 0, 1)]),
        (1501, 1700, [Span(0, 6, 7), Span(1, 1, 2)]),
        (1701, None, [Span(0, 8, 20)]),
        (2850, None, [Span(0, 19, 20)]),
        (-(10**13), 10**13, [Span(0, 0, 20), Span(1, 0, 3)]),
    ],
)
async def test_times_become_offsets(
    settings: SettingsFactory, since: int | None, until: int | None, expected: list[Span]
) -> None:
    assert await found(await log_of(settings), since, until) == expected


async def test_out_of_order_timestamps_leave_no_hole(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    await publish(s, written(10, 30, 20, 40, 15, 50, 60))
    assert await found(s, 30, 50) == [Span(0, 1, 5)]


@pytest.mark.parametrize(
    ("offsets", "expected"),
    [
        ({0: (3, 7)}, [Span(0, 3, 7)]),
        ({0: (None, 7), 1: (2, None)}, [Span(0, 0, 7), Span(1, 2, 3)]),
        ({1: (None, None), 2: (None, None)}, [Span(1, 0, 3)]),
        ({0: (0, 20)}, [Span(0, 0, 20)]),
    ],
)
async def test_offsets_name_the_partitions_and_what_of_them(
    settings: SettingsFactory, offsets: dict[int, Any], expected: list[Span]
) -> None:
    assert await find_spans(await log_of(settings), offsets=offsets) == expected


async def test_times_and_offsets_mean_what_lies_within_both(settings: SettingsFactory) -> None:
    s = await log_of(settings)
    assert await found(s, 1200, 1600, {0: (4, 19)}) == [Span(0, 4, 6)]


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ((3000, None, None), r"holds no record since [-+0-9:. ]+, but 23 offsets at other times"),
        ((None, 1000, None), r"holds no record before [-+0-9:. ]+, but 23 offsets at other times"),
        ((1601, 1605, {1: (None, None)}), "holds no record since .* and before .*, but 3 offsets"),
        ((2000, 2000, None), "nothing is since .* and before"),
        ((None, None, {3: (None, None)}), "has no partition 3: it has 0 to 2"),
        ((None, None, {-1: (None, None)}), "has no partition -1"),
        ((None, None, {0: (7, 7)}), "-0: offsets 7 to 7 are none"),
        ((None, None, {0: (3, 21)}), "-0 ends at 20: there are no offsets up to 21"),
        ((None, None, {0: (500, None)}), "-0 ends at 20: there are no offsets up to 500"),
        ((None, None, {2: (None, None)}), "holds no record$"),
        ((None, None, {0: (20, None)}), "holds no record there"),
        ((10**17, None, None), f"since {HOUR_AGO_MS + 10**17} ms"),
    ],
)
async def test_what_cannot_be_read_is_said(settings: SettingsFactory, bounds: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        await found(await log_of(settings), *bounds)


async def test_a_topic_that_is_not_there_is_named(settings: SettingsFactory) -> None:
    with pytest.raises(TopicError, match="topic nowhere does not exist"):
        await find_spans(await settings(input={"topic": "nowhere"}))


async def test_an_empty_topic_has_no_history_and_says_so_at_once(settings: SettingsFactory) -> None:
    s = await settings(partitions=2)
    began = time.monotonic()
    with pytest.raises(DataError, match=r"holds no record$"):
        await find_spans(s, since=5)
    assert time.monotonic() - began < 4


@embedded_only
async def test_nobody_there_is_said(settings: SettingsFactory) -> None:
    s = await settings(partitions=1, kafka={"bootstrap": "127.0.0.1:1"})
    with pytest.raises(BrokerUnavailable, match="nothing listens there"):
        await find_spans(s)


async def test_lists_are_of_one_partition_and_bounded(settings: SettingsFactory) -> None:
    s = await log_of(settings)
    async with aclosing(read_spans(s, [Span(0, 2, 20), Span(1, 1, 3)], 8)) as batches:
        shapes = [(len(rs), {r.partition for r in rs}) async for rs in batches]
    assert shapes == [(8, {0}), (8, {0}), (2, {0}), (2, {1})]


async def test_it_may_be_left_early(settings: SettingsFactory) -> None:
    s = await log_of(settings)
    async with aclosing(read_spans(s, await find_spans(s), 5)) as batches:
        assert len(await anext(batches)) == 5


@real_only
async def test_it_begins_at_the_logs_start_where_retention_took_the_rest(settings: SettingsFactory) -> None:
    s = await log_of(settings)
    admin = AIOKafkaAdminClient(bootstrap_servers=s.kafka.bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(s.input.topic, 0): RecordsToDelete(before_offset=12)})
    await admin.close()
    assert await find_spans(s) == [Span(0, 12, 20), Span(1, 0, 3)]
    assert await found(s, 1100, offsets={0: (None, None)}) == [Span(0, 12, 20)]
    with pytest.raises(DataError, match="but 8 offsets at other times"):
        await found(s, None, 1100, offsets={0: (None, None)})
    with pytest.raises(DataError, match="-0 begins at 12: offsets 5 to 11 are gone"):
        await find_spans(s, offsets={0: (5, 15)})


@real_only
async def test_what_retention_takes_before_or_while_it_is_read_is_left_out_and_told(
    settings: SettingsFactory, caplog: pytest.LogCaptureFixture
) -> None:
    s = await log_of(settings)
    spans = await find_spans(s)
    admin = AIOKafkaAdminClient(bootstrap_servers=s.kafka.bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(s.input.topic, 0): RecordsToDelete(before_offset=12)})
    await admin.close()
    async with aclosing(read_spans(s, spans, 5)) as batches:
        read = [record.offset async for records in batches for record in records if record.partition == 0]
    assert read == list(range(12, 20))
    assert f"{s.input.topic}-0: offsets 0 to 11 are gone (retention) and left out" in caplog.messages


@real_only
async def test_it_ends_where_a_transaction_is_still_open(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    producer = AIOKafkaProducer(bootstrap_servers=s.kafka.bootstrap, transactional_id=s.input.topic)
    await producer.start()
    for commit in (True, False, True):
        await producer.begin_transaction()
        for n in range(3):
            await producer.send_and_wait(s.input.topic, b"%d" % n, partition=0, timestamp_ms=HOUR_AGO_MS + n)
        await (producer.commit_transaction() if commit else producer.abort_transaction())
    assert await find_spans(s) == [Span(0, 0, 12)], "three records and a marker, three times"
    await producer.begin_transaction()
    await producer.send_and_wait(s.input.topic, b"open", partition=0, timestamp_ms=HOUR_AGO_MS)
    assert await find_spans(s) == [Span(0, 0, 12)]
    with pytest.raises(DataError, match="ends at 12"):
        await find_spans(s, offsets={0: (0, 13)})
    assert await read(s, await find_spans(s)) == [(0, n) for n in (0, 1, 2, 8, 9, 10)]
    assert await found(s, 1, 2) == [Span(0, 1, 2)], "the marker is written an hour later"
    assert await found(s, 2, None) == [Span(0, 2, 12)]
    with pytest.raises(DataError, match="but 12 offsets at other times"):
        await found(s, 3, None)
    await producer.abort_transaction()
    began = time.monotonic()
    spans = await find_spans(s)
    assert await read(s, spans) == [(0, n) for n in (0, 1, 2, 8, 9, 10)], "it ends with an aborted one"
    assert time.monotonic() - began < 3
    await producer.stop()


@real_only
async def test_a_partition_added_later_is_read_too(settings: SettingsFactory) -> None:
    s = await settings(partitions=1)
    await publish(s, written(10))
    admin = AIOKafkaAdminClient(bootstrap_servers=s.kafka.bootstrap)
    await admin.start()
    await admin.create_partitions({s.input.topic: NewPartitions(2)})
    await admin.close()
    await publish(s, written(20, partition=1))
    assert await find_spans(s) == [Span(0, 0, 1), Span(1, 0, 1)]
