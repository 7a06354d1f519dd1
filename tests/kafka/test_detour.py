"""The way past what a broker cannot read, against a broker of a few lines that walks as a real one does."""

from collections.abc import Collection

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import NotLeaderForPartitionError

from streamrnn.kafka.internals.answers import CORRUPT_MESSAGE, Part, read_part, with_part
from streamrnn.kafka.reading.detour import PATIENCE_S, SILENCE_S, Detour, Refusals, find_detour

from .logs import ten

TP = TopicPartition("ticks", 0)
REFUSED, SILENT = Part(CORRUPT_MESSAGE, -1, -1, [], b""), Part(0, 1000, 1000, [], b"")


class Broker:
    """A log of batches of ten up to offset 1000, some of which stop it until its index's next entry."""

    def __init__(self, bad: Collection[int], entries: Collection[int] = (), gives: Part = REFUSED) -> None:
        self.bad, self.entries, self.gives = set(bad), sorted({0, *entries}), gives
        self.asked = 0

    async def ask(self, offset: int, most_bytes: int) -> Part:
        self.asked += 1
        begin = max(entry for entry in self.entries if entry <= offset)
        if any(begin // 10 <= number <= offset // 10 for number in self.bad) or offset >= 1000:
            return self.gives
        batches = range(offset // 10, min(100, offset // 10 + max(1, most_bytes // 200)))
        return Part(0, 1000, 1000, [], b"".join(b"?" * 150 if n in self.bad else ten(10 * n) for n in batches))

    async def detour(self, offset: int, is_long: bool = False) -> Detour | None:
        return await find_detour(self.ask, self.gives, offset, (0, 1000), is_long)


@pytest.mark.parametrize("gives", [REFUSED, SILENT])
async def test_it_begins_with_the_batch_before_the_bad_one(gives: Part) -> None:
    broker = Broker({50}, [600], gives)
    for offset in (500, 505, 510, 599):
        found = await broker.detour(offset)
        assert found is not None
        assert (found.start, found.beyond) == (offset, 600)
        assert found.part.data.startswith(ten(490))
    assert broker.asked < 4 * 40


@pytest.mark.parametrize("gives", [REFUSED, SILENT])
async def test_where_nothing_lies_before_it_begins_at_the_next_entry_of_the_index(gives: Part) -> None:
    for offset in (0, 3, 77):
        found = await Broker({0}, [100, 205, 500], gives).detour(offset, is_long=True)
        assert found is not None
        assert (found.start, found.beyond) == (100, 100)


async def test_a_broker_that_is_silent_for_a_while_may_be_waiting_for_slow_storage() -> None:
    assert await Broker({0}, [100, 205, 500], SILENT).detour(20) is None


async def test_an_index_may_name_a_batch_s_last_offset() -> None:
    found = await Broker({0}, [109]).detour(4)
    assert found is not None
    assert found.start == 100
    inside = await Broker({0}, [109]).detour(105)
    assert inside is not None
    assert inside.start == 105


async def test_where_all_is_refused_up_to_the_end_all_is_left() -> None:
    found = await Broker({0}).detour(20)
    assert found == Detour(Part(0, 1000, 1000, [], b""), 1000, 1000)


async def test_silence_alone_is_not_taken_for_damage() -> None:
    assert await Broker({0}, gives=SILENT).detour(20) is None
    assert await find_detour(Broker(()).ask, SILENT, 1000, (0, 1005)) is None  # compaction may leave nothing there


async def test_what_was_wrong_for_a_moment_costs_nothing() -> None:
    found = await find_detour(Broker(()).ask, REFUSED, 500, (0, 1000))
    assert found is not None
    assert found.start == 500
    assert found.part.data.startswith(ten(500))


@pytest.mark.parametrize("answers", [0, 1, 4])
async def test_a_leader_that_moves_during_the_search_tells_nothing_of_the_log(answers: int) -> None:
    broker = Broker({50}, [510])

    async def ask(offset: int, most_bytes: int) -> Part:
        return await broker.ask(offset, most_bytes) if broker.asked < answers else Part(6, -1, -1, [], b"")

    with pytest.raises(NotLeaderForPartitionError):
        await find_detour(ask, REFUSED, 505, (0, 1000))


def test_a_broker_is_given_time_and_then_more() -> None:
    now_s = 0.0
    refusals = Refusals(lambda: now_s)
    assert not refusals.is_due(TP, 5)
    now_s = PATIENCE_S
    assert refusals.is_due(TP, 5)
    assert not refusals.is_due(TP, 6), "another offset is another matter"
    now_s = 2 * PATIENCE_S
    assert refusals.is_due(TP, 6)
    refusals.put_off(TP)
    now_s = 3 * PATIENCE_S
    assert not refusals.is_due(TP, 6)
    now_s = 4 * PATIENCE_S
    assert refusals.is_due(TP, 6)
    assert not refusals.is_long(TP)
    now_s = PATIENCE_S + SILENCE_S - 1
    assert not refusals.is_long(TP), "however often it was put off"
    now_s += 1
    assert refusals.is_long(TP)
    refusals.forget(TP)
    assert not refusals.is_due(TP, 6)


@pytest.mark.parametrize(
    ("version", "fields"),
    [
        (1, (3, 0, 10, b"data")),
        (4, (3, 0, 10, 9, [(7, 1)], b"data")),
        (5, (3, 0, 10, 9, 2, [(7, 1)], b"data")),
        (11, (3, 0, 10, 9, 2, [(7, 1)], -1, b"data")),
    ],
)
def test_the_fields_of_an_answer_are_found_in_each_version(version: int, fields: tuple[object, ...]) -> None:
    part = read_part(version, fields)
    assert part == (Part(0, 10, -1, [], b"data") if version == 1 else Part(0, 10, 9, [(7, 1)], b"data"))
    assert with_part(version, fields, part) == fields
    other = part._replace(code=2, highwater=-1, data=b"")
    assert read_part(version, with_part(version, fields, other)) == other
