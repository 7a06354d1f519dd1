"""The faults happen as they are called, and the check sees each kind of wrong."""

import asyncio
import time

import pytest
from aiokafka import AIOKafkaProducer

from streamrnn.kafka.closing import stop_producer
from streamrnn.ticks import Record
from tests.chaos.broker import Broker
from tests.chaos.checking import Log, Said, problems, read_log
from tests.chaos.conftest import SceneFactory
from tests.chaos.faulty import POINTS, located
from tests.chaos.proxy import END_TXN, PRODUCE, Lost

pytestmark = pytest.mark.kafka
TICKS = Log([Record(0, n, n, b"k%d" % (n % 2), b"{}") for n in range(4)] + [Record(1, 0, 0, b"z", b"{}")])


def answer(partition: int, offset: int, at: int | None = None) -> Said:
    key = b"z" if partition else b"k%d" % (offset % 2)
    return Said((partition, offset), partition, offset if at is None else at, key, {})


RIGHT = [*(answer(0, n) for n in range(4)), answer(1, 0)]


def test_the_check_finds_nothing_where_each_tick_is_answered_once_in_order() -> None:
    assert problems(TICKS, RIGHT, []) == []
    assert problems(TICKS, [*RIGHT[:2], *RIGHT[3:]], [RIGHT[2]]) == []


@pytest.mark.parametrize(
    ("said", "letters", "found"),
    [
        ([*RIGHT[:2], *RIGHT[3:]], [], "(0, 2) is lost"),
        ([*RIGHT, RIGHT[1]], [], "(0, 1) is answered 2 times"),
        (RIGHT, [RIGHT[1]], "(0, 1) is answered 2 times"),
        ([RIGHT[1], RIGHT[0], *RIGHT[2:]], [], "(0, 0) comes after (0, 1)"),
        ([*RIGHT, answer(0, 9)], [], "(0, 9) is answered and was never asked"),
        ([*RIGHT[:-1], RIGHT[-1]._replace(partition=0)], [], "(1, 0) is answered in partition 0"),
        ([*RIGHT[:-1], RIGHT[-1]._replace(key=b"k0")], [], "(1, 0) has the key b'k0'"),
    ],
)
def test_the_check_names_each_kind_of_wrong(said: list[Said], letters: list[Said], found: str) -> None:
    assert found in problems(TICKS, said, letters)


def test_at_least_once_forgives_repetition_and_nothing_else() -> None:
    assert problems(TICKS, [*RIGHT, *RIGHT[1:]], [], exactly_once=False) == []
    assert problems(TICKS, RIGHT[1:] * 2, [], exactly_once=False) == ["(0, 0) is lost"]


@pytest.mark.parametrize("point", POINTS)
def test_what_a_fault_strikes_is_there(point: str) -> None:
    target, _ = POINTS[point]
    assert isinstance(target, int) or callable(located(target.split()[0])[2])


@pytest.fixture
async def topic(scene: SceneFactory) -> str:
    """An empty topic of one partition."""
    return (await scene(partitions=1)).settings.input.topic


@pytest.mark.parametrize(("what", "count"), [("request", 0), ("answer", 1)])
async def test_a_lost_request_was_never_applied_and_a_lost_answer_was(
    shared_broker: Broker, topic: str, what: Lost, count: int
) -> None:
    proxy = shared_broker.proxies[0]
    options = {"transactional_id": topic, "transaction_timeout_ms": 1500, "request_timeout_ms": 1000}
    producer = AIOKafkaProducer(bootstrap_servers=shared_broker.proxied(), **options)
    await producer.start()
    await producer.begin_transaction()
    await producer.send_and_wait(topic, b"x")
    loss = proxy.lose(END_TXN, what)
    committing = asyncio.create_task(producer.commit_transaction())
    await loss.wait()
    proxy.refuse()  # or it would try again
    assert len((await read_log(shared_broker.direct, topic)).records) == count
    assert not committing.done()
    committing.cancel()
    await stop_producer(producer, 1.0)
    await asyncio.gather(committing, return_exceptions=True)


async def test_the_proxy_delays_cuts_holds_and_refuses(shared_broker: Broker, topic: str) -> None:
    proxy = shared_broker.proxies[0]

    async def seconds_to_send() -> float:
        started = time.monotonic()
        await producer.send_and_wait(topic, b"x")
        return time.monotonic() - started

    options = {"request_timeout_ms": 2000, "enable_idempotence": True}
    async with AIOKafkaProducer(bootstrap_servers=shared_broker.proxied(), **options) as producer:
        assert await seconds_to_send() < 0.15
        proxy.delay_s = 0.1
        assert 0.2 <= await seconds_to_send() < 0.6
        proxy.delay_s = 0.0
        proxy.cut()
        await seconds_to_send()
        proxy.hold()
        held = asyncio.create_task(seconds_to_send())
        await asyncio.sleep(0.5)
        assert not held.done()
        proxy.release()
        assert await held >= 0.5
        loss = proxy.lose(PRODUCE, "answer")
        await seconds_to_send()
        assert loss.happened.is_set()
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        proxy.calm()
    assert len((await read_log(shared_broker.direct, topic)).records) == 5
