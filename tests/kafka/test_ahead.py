"""What is unpacked ahead of reading is what reading would unpack, and it is unpacked on another thread."""

import random
import threading

import pytest
from aiokafka import TopicPartition

from streamrnn.config import Settings
from streamrnn.kafka.internals.answers import Part
from streamrnn.kafka.internals.fetching import STAND_IN
from streamrnn.kafka.reading.ahead import Ahead, AheadOfReading, unpack
from streamrnn.kafka.reading.answer import Answer, Skip, Terms
from streamrnn.kafka.reading.compression import decompress
from streamrnn.kafka.reading.records import LeanConsumer
from streamrnn.kafka.reading.unpacking import Unpacking
from streamrnn.ticks import Record

from .logs import CODECS, Row, batch, marker, message, sealed, ten

TP = TopicPartition("ticks", 0)
LIMIT = 1 << 20


def read(data: bytes, aborted: list[tuple[int, int]], limit: int, held: Ahead, most: int) -> tuple[object, ...]:
    """All that a reader makes of an answer."""
    skips: list[Skip] = []
    terms = Terms(limit, lambda skip: skips.append(skip) is None, lambda tp, offset: True)
    unpacking = Unpacking(TP, 0, Answer(data, 100, aborted, ahead=held), terms)
    records: list[Record] = []
    while not unpacking.is_over:
        records += unpacking.take(most).tolist()
    return records, skips, unpacking.next_fetch_offset


def answer(rng: random.Random) -> bytes:
    """Batches of every form, some of them damaged."""
    makers = [
        lambda at: ten(at, rng.choice(list(CODECS.values()))),
        lambda at: batch(at, [Row(n, b"k", bytes(3000)) for n in range(10)], CODECS["gzip"]),
        lambda at: ten(at, CODECS["zstd"], attributes=16, producer=7),
        lambda at: marker(at + 9, 7),
        lambda at: message(at + 9, b"k", b"v"),
        lambda at: sealed(ten(at)[:22] + bytes([rng.randrange(8)]) + ten(at)[23:]),
    ]
    data = bytearray(b"".join(rng.choice(makers)(10 * n) for n in range(6)))
    for _ in range(rng.choice((0, 0, 1, 3))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data[: rng.randrange(len(data))] if rng.random() < 0.2 else data)


@pytest.mark.parametrize("seed", range(150))
def test_an_answer_says_the_same_whatever_was_unpacked_of_it(seed: int) -> None:
    rng = random.Random(seed)
    data, limit, most = answer(rng), rng.choice((LIMIT, 20_000)), rng.choice((3, 1 << 30))
    aborted = rng.choice(([], [(7, 0)], [(7, 20)]))
    expected = read(data, aborted, limit, Ahead({}), most)
    for room in (1 << 30, 25_000, 50):
        assert read(data, aborted, limit, Ahead(unpack(data, limit, room)), most) == expected


def test_no_more_is_unpacked_than_there_is_room_for() -> None:
    data = b"".join(batch(n, [Row(0, b"k", bytes(10_000))], CODECS["gzip"]) for n in range(5))
    sizes = {room: sum(map(len, unpack(data, LIMIT, room).values())) for room in (5_000, 15_000, 25_000, 1 << 30)}
    assert [0 < size <= room for room, size in sizes.items()] == [False, True, True, True]
    assert not unpack(data, 5_000, 1 << 30)  # the limit of a batch


async def test_room_comes_back_as_what_was_unpacked_is_read_or_dropped() -> None:
    data = batch(0, [Row(0, b"k", random.Random(1).randbytes(20_000))], CODECS["lz4"])
    reader = AheadOfReading(LIMIT, most=30_000)
    first = await reader.unpacked(data)
    assert first.nbytes > 20_000
    assert not (await reader.unpacked(data)).nbytes
    assert first.take(0) is not None
    assert (await reader.unpacked(data)).nbytes
    assert (await reader.unpacked(data)).nbytes  # the one before was dropped


@pytest.mark.parametrize("codec", [name for name in CODECS if name != "none"])
async def test_a_large_answer_is_unpacked_off_the_loop_and_a_small_one_where_it_is_read(
    codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    def spy(*given: object) -> object:
        seen.append(threading.current_thread() is threading.main_thread())
        return decompress(*given)  # type: ignore[arg-type]

    for module in ("ahead", "batches"):
        monkeypatch.setattr(f"streamrnn.kafka.reading.{module}.decompress", spy)
    settings = Settings(input={"topic": "ticks"}, model={"path": "m"})
    large = batch(0, [Row(0, b"k", random.Random(1).randbytes(50_000))], CODECS[codec])
    for data, is_on_loop in ((large, False), (ten(0, CODECS[codec]), True)):
        consumer = LeanConsumer(settings, "ticks", bootstrap_servers="127.0.0.1:1")
        part = await consumer._reader.arrived(0, TP, 0, Part(0, 10, 10, [], data))
        assert part.data == STAND_IN
        assert len(consumer._reader.read(TP, 0, []).take(100)) > 0
        assert seen == [is_on_loop]
        seen.clear()
        await consumer.stop()
