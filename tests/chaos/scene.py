"""One test's topic, group, model, workers and feed, and the question that all of them end with: was it exact?"""

import uuid
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM
from typing import Any

from streamrnn.config import Settings
from streamrnn.kafka.admin import create_topic
from streamrnn.nn.bundle import load_bundle
from streamrnn.verifying.verify import verify
from tests.chaos.broker import Broker
from tests.chaos.checking import Log, Oracle, Place, committed, differences, ends_of, problems, read_log
from tests.chaos.feeding import Feed, feed
from tests.chaos.workers import Fleet, Worker, until

GUARANTEE = "exactly_once"
QUICK_KAFKA = {
    "session_timeout_ms": 2000,
    "heartbeat_interval_ms": 300,
    "rebalance_timeout_ms": 2000,
    "request_timeout_ms": 5000,
}


@dataclass
class Scene:
    """What a test on one input topic needs."""

    broker: Broker
    settings: Settings
    fleet: Fleet
    feed: Feed
    bundle: Path
    folder: Path

    async def start(self, *flags: str, fault: str = "", ready: bool = True, **facts: Any) -> Worker:
        """A worker."""
        return await self.fleet.start(*flags, fault=fault, ready=ready, **facts)

    async def cycle(self, ticks: int, *flags: str, fault: str = "", **facts: Any) -> Worker:
        """So many ticks more, a worker that serves all there is, and its end by SIGTERM."""
        await self.feed.send(ticks)
        worker = await self.start(*flags, fault=fault, **facts)
        await self.until_drained()
        assert await worker.stop(SIGTERM) == 0, worker.log()
        return worker

    async def ticks(self) -> Log:
        """The input."""
        return await read_log(self.broker.direct, self.settings.input.topic)

    async def committed(self) -> dict[int, int]:
        """The group's offsets."""
        marks = await committed(self.broker.direct, self.settings.kafka.group, self.settings.input.topic)
        return {partition: offset for partition, (offset, _) in marks.items()}

    async def until_drained(self, seconds: float = 40.0) -> None:
        """Wait until all of the input is committed."""
        ends = await ends_of(self.broker.direct, self.settings.input.topic)

        async def is_drained() -> bool:
            return (await self.committed()) == ends

        await until(is_drained, f"the group to commit {ends}", seconds)

    async def answers(self) -> tuple[Log, Log]:
        """Predictions and dead letters as a reader sees them that reads what is committed."""
        said = await read_log(self.broker.direct, self.settings.output.topic)
        return said, await read_log(self.broker.direct, self.settings.dead_letter_topic)

    def oracle(self, ticks: Log, since: Mapping[int, int] | None = None) -> Oracle:
        """What should be said of these ticks; with snapshots no stream is ever forgotten, whatever the caps."""
        engine = {} if self.settings.snapshots.url is None else {"max_streams": 10**7}
        settings = self.settings.model_copy(update={"engine": self.settings.engine.model_copy(update=engine)})
        return Oracle(settings, self.bundle, ticks, since)

    @property
    def is_exact(self) -> bool:
        """Whether exactly once is promised."""
        return self.settings.delivery.guarantee == "exactly_once"

    async def check(self, broker_refused: Collection[Place] = (), ticks: Log | None = None) -> None:
        """EXACT: each tick answered once, in order, with the oracle's bits; and `streamrnn verify` says so too.

        broker_refused: ticks that must be dead letters besides those that the oracle refuses. ticks: the input
        where the topic has lost some of it; then `verify` is not asked. Under at least once: each tick answered
        with the oracle's bits, however often.
        """
        log = ticks or await self.ticks()
        out, dead = await self.answers()
        said, letters = out.predictions(), dead.letters()
        assert problems(log, said, letters, self.is_exact) == []
        oracle = self.oracle(log)
        assert differences(said, oracle) == []
        assert {each.source for each in letters} == oracle.refused | set(broker_refused)
        if ticks is None:
            await self.check_verified()

    async def check_verified(self) -> None:
        """`streamrnn verify` finds nothing."""
        direct = self.settings.kafka.model_copy(update={"bootstrap": self.broker.direct})
        report = await verify(self.settings.model_copy(update={"kafka": direct}), load_bundle(self.bundle))
        assert report.is_clean, report

    async def check_state(self, *workers: Worker) -> None:
        """The rows of each partition are the oracle's where it is live, to the bit."""
        ticks = await self.ticks()
        oracle = self.oracle(ticks)
        owners = {partition: worker for worker in workers for partition in await worker.live()}
        for partition, stream in sorted({(r.partition, r.key or b"") for r in ticks.records}):
            view = oracle.engine.inspect(partition, stream)
            if view is not None:
                held = await owners[partition].state_of(partition, view.stream.decode())
                assert held is not None, (partition, stream)
                assert (held["state"], held["steps"]) == (view.state, view.steps), (partition, stream)


@asynccontextmanager
async def make_scene(
    broker: Broker, bundle: Path, folder: Path, *, partitions: int = 2, streams: int = 20,
    proxy: int | None = None, **sections: dict[str, Any],
) -> AsyncIterator[Scene]:  # fmt: skip
    """A fresh input topic and whatever runs on it; workers come in through that proxy, or directly."""
    topic = f"ticks-{uuid.uuid4().hex[:8]}"
    address = broker.direct if proxy is None else broker.proxied(proxy)
    defaults: dict[str, dict[str, Any]] = {
        "kafka": {"bootstrap": address, "group": f"group-{topic}", **QUICK_KAFKA},
        "input": {"topic": topic, "max_poll_records": 200, "warmup_ticks": 1_000_000},
        "output": {"topic": f"{topic}-out"},
        "delivery": {"guarantee": GUARANTEE, "transaction_timeout_ms": 1500},
        "snapshots": {"url": str(folder / "snapshots"), "interval_s": 1.0},
    }
    merged = {name: defaults.get(name, {}) | sections.get(name, {}) for name in {*defaults, *sections}}
    settings = Settings(**merged)
    direct = settings.kafka.model_copy(update={"bootstrap": broker.direct})
    await create_topic(direct, topic, partitions, -1)
    fleet = Fleet(settings, bundle, folder)
    try:
        async with feed(broker.direct, topic, partitions, streams) as fed:
            yield Scene(broker, settings, fleet, fed, bundle, folder)
    finally:
        await fleet.close()
        broker.calm()
