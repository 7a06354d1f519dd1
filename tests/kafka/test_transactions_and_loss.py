"""Transactions that time out, and a broker that dies or hangs in one: calls are bounded, nothing is seen twice."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from streamrnn.config import Settings
from streamrnn.errors import BrokerUnavailable, Unsettled
from streamrnn.kafka.admin import create_topic
from streamrnn.kafka.marks import Mark
from streamrnn.kafka.reading.member import Source

from .conftest import kafka_home, real_kafka
from .test_delivery import numbers, predictions, seen
from .test_transactions import MARKS, delivering, exactly, vanish


class Cluster(NamedTuple):
    """A broker of our own, which ends timed-out transactions promptly."""

    home: Path
    folder: Path
    bootstrap: str

    def signal(self, number: int) -> None:
        os.kill(int((self.folder / "0.pid").read_text()), number)

    async def restart(self) -> None:
        command = [str(self.home / "restart"), str(self.folder), "0"]
        await asyncio.to_thread(subprocess.run, command, check=True, timeout=60)

    async def settings(self, name: str) -> Settings:
        kafka = {"bootstrap": self.bootstrap, "group": f"group-{name}", "request_timeout_ms": 3000}
        timing = {"session_timeout_ms": 30_000, "heartbeat_interval_ms": 500}
        made = Settings(kafka=kafka | timing, input={"topic": f"in-{name}"}, output={"topic": name})
        for topic in (made.input.topic, name):
            await create_topic(made.kafka, topic, 2)
        return exactly(made, transaction_timeout_ms=3000)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    home, folder = kafka_home("start", "restart"), tmp_path_factory.mktemp("own") / "cluster"
    with real_kafka(home, folder, "transaction.abort.timed.out.transaction.cleanup.interval.ms=200") as bootstrap:
        yield Cluster(home, folder, bootstrap)


async def bounded(call: Callable[[], Any], seconds: float) -> float:
    """Await it; how long it took, which must be less than `seconds`."""
    started = time.monotonic()
    async with asyncio.timeout(seconds):
        await call()
    return time.monotonic() - started


@pytest.mark.kafka
async def test_an_unsettled_offset_settles_when_the_transaction_times_out(cluster: Cluster) -> None:
    s = await cluster.settings("late")
    async with delivering(exactly(s, transaction_timeout_ms=1000)) as (delivery, source):
        await vanish(delivery, "late", {0: Mark(5)})
        tries = 0
        async with asyncio.timeout(10):
            while True:
                try:
                    assert await source.committed(0) is None
                    break
                except Unsettled:
                    tries += 1
                    await asyncio.sleep(0.1)
        assert tries > 0
        await delivery.begin(source.membership())
        await delivery.send("late", predictions(1))
        await asyncio.sleep(2)
        with pytest.raises(BrokerUnavailable):
            await delivery.commit({0: Mark(6)})
        await delivery.abort()
        await delivery.begin(source.membership())
        await delivery.commit({0: Mark(7)})
        assert await source.committed(0) == Mark(7)
    assert await numbers(s, "late") == []


@pytest.mark.kafka
async def test_a_broker_that_dies_bounds_every_call_and_its_return_settles_all(cluster: Cluster) -> None:
    s = await cluster.settings("dead")
    async with delivering(s) as (delivery, source):
        await delivery.send("dead", predictions(2, 2))
        await delivery.commit(MARKS)
        await delivery.begin(source.membership())
        await delivery.send("dead", predictions(2, 2, first=2))
        await delivery.acknowledged()
        cluster.signal(signal.SIGKILL)
        await fails(lambda: delivery.commit({0: Mark(4)}), 4)
        await bounded(delivery.abort, 6)
        await fails(lambda: delivery.begin(source.membership()), 4)
        await bounded(delivery.abort, 6)
        await fails(lambda: source.committed(0), 4)
        await cluster.restart()
        await insist(lambda: delivery.begin(source.membership()))
        await insist(lambda: is_mark(source, MARKS[0]))
        sent = await delivery.send("dead", predictions(2, 2, first=4))
        await delivery.commit({0: Mark(4)})
        assert sent.is_done
    assert await seen(s, "dead", [0, 4], [1, 5])


@pytest.mark.kafka
async def test_a_broker_that_hangs_bounds_every_call_and_what_it_got_meanwhile_is_never_seen(
    cluster: Cluster,
) -> None:
    s = await cluster.settings("hung")
    async with delivering(s) as (delivery, source):
        await delivery.send("hung", predictions(2, 2))
        await delivery.commit(MARKS)
        await delivery.begin(source.membership())
        cluster.signal(signal.SIGSTOP)
        try:
            await delivery.send("hung", predictions(2, 2, first=2))
            await fails(delivery.acknowledged, 4)
            await bounded(delivery.abort, 10)
        finally:
            cluster.signal(signal.SIGCONT)
        await insist(lambda: delivery.begin(source.membership()))
        await insist(lambda: is_mark(source, MARKS[0]))
        await delivery.send("hung", predictions(2, 2, first=4))
        await delivery.commit({0: Mark(4)})
    assert await seen(s, "hung", [0, 4], [1, 5])


async def is_mark(source: Source, mark: Mark) -> None:
    assert await source.committed(0) == mark


async def insist(call: Callable[[], Any]) -> None:
    """As a worker does: again, after a pause, while the broker comes back."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await call()
            except BrokerUnavailable:
                await asyncio.sleep(0.2)


async def fails(call: Callable[[], Any], seconds: float) -> None:
    with pytest.raises(BrokerUnavailable):
        await bounded(call, seconds)
