"""The network between a worker and the broker fails: nothing is lost, nothing is said twice."""

import asyncio
import random
import time

import pytest

from tests.chaos.broker import Broker
from tests.chaos.conftest import SceneFactory
from tests.chaos.feeding import load
from tests.chaos.proxy import END_TXN, OFFSET_COMMIT, OFFSET_FETCH, PRODUCE, TXN_OFFSET_COMMIT, Lost
from tests.chaos.workers import Worker

pytestmark = pytest.mark.kafka


async def goes_on(worker: Worker, ticks: int = 100) -> None:
    """Wait until it has published that many more."""
    done = await worker.total("streamrnn_predictions_total")
    await worker.until_total("streamrnn_predictions_total", done + ticks)


async def test_a_commit_whose_answer_or_request_is_lost_is_reconciled(
    scene: SceneFactory, shared_broker: Broker
) -> None:
    """Fault 4: applied and not known, then neither applied nor known."""
    s, proxy = await scene(partitions=2, proxy=0), shared_broker.proxies[0]
    async with load(s.feed, rate=500):
        worker = await s.start()
        losses: list[tuple[int, Lost]] = [(END_TXN, "answer"), (END_TXN, "request"), (TXN_OFFSET_COMMIT, "answer")]
        for api, what in losses:
            await goes_on(worker)
            await proxy.lose(api, what).wait()
        await goes_on(worker)
    await s.until_drained()
    await s.check()
    await s.check_state(worker)


async def test_an_owner_cut_off_past_its_session_is_fenced_when_its_commit_arrives_late(
    scene: SceneFactory, shared_broker: Broker
) -> None:
    """Fault 2, by the network: what it sent before is delivered after another has taken over."""
    s, proxy = await scene(partitions=2, proxy=0), shared_broker.proxies[0]
    async with load(s.feed, rate=500):
        cut_off = await s.start()
        await goes_on(cut_off)
        proxy.hold()
        heir = await s.start(f"--kafka.bootstrap={shared_broker.proxied(1)}")
        await goes_on(heir)
        proxy.release()
        await cut_off.until_total("streamrnn_rebalances_total", 2)
        await goes_on(heir)
    await s.until_drained()
    await cut_off.until_ready()
    await s.check()
    await s.check_state(cut_off, heir)


@pytest.mark.chaos
@pytest.mark.parametrize("what", ["request", "answer"])
@pytest.mark.parametrize("api", [PRODUCE, TXN_OFFSET_COMMIT, END_TXN, OFFSET_FETCH])
async def test_any_request_or_answer_may_be_lost_again_and_again(
    scene: SceneFactory, shared_broker: Broker, api: int, what: Lost
) -> None:
    """Fault 4, each API, five times; offsets are fetched because a worker comes in between."""
    s, proxy = await scene(partitions=2, proxy=0), shared_broker.proxies[0]
    async with load(s.feed, rate=500):
        worker = await s.start()
        for turn in range(5):
            await goes_on(worker)
            loss = proxy.lose(api, what)
            guest = await s.start(ready=False) if api == OFFSET_FETCH else None
            await loss.wait()
            if guest is not None:
                await (guest.kill() if turn % 2 else guest.stop(15))
        await goes_on(worker)
    await s.until_drained()
    await s.check()
    await s.check_state(worker)


@pytest.mark.chaos
@pytest.mark.parametrize("what", ["request", "answer"])
@pytest.mark.parametrize("api", [PRODUCE, OFFSET_COMMIT])
async def test_at_least_once_a_lost_request_or_answer_costs_repetition_at_most(
    scene: SceneFactory, shared_broker: Broker, api: int, what: Lost
) -> None:
    """Fault 4 without transactions."""
    s = await scene(partitions=2, proxy=0, delivery={"guarantee": "at_least_once"})
    async with load(s.feed, rate=500):
        worker = await s.start()
        for _ in range(5):
            await goes_on(worker)
            await shared_broker.proxies[0].lose(api, what).wait()
        await goes_on(worker)
    await s.until_drained()
    await s.check()
    await s.check_state(worker)


@pytest.mark.chaos
@pytest.mark.timeout(300)
async def test_two_minutes_of_a_bad_network_are_exact(scene: SceneFactory, shared_broker: Broker) -> None:
    """Fault 4 and 9: delays, cuts, refusals, black holes and losses, in any order, for either of two workers."""
    s, dice = await scene(partitions=4, proxy=0), random.Random(5)
    end = time.monotonic() + 120
    async with load(s.feed, rate=400):
        workers = [await s.start(), await s.start(f"--kafka.bootstrap={shared_broker.proxied(1)}")]
        while time.monotonic() < end:
            proxy = shared_broker.proxies[dice.randrange(2)]
            trouble = dice.choice(("delay", "cut", "refuse", "hold", "lose"))
            if trouble == "delay":
                proxy.delay_s = dice.uniform(0.005, 0.3)
            elif trouble == "lose":
                proxy.lose(dice.choice((PRODUCE, TXN_OFFSET_COMMIT, END_TXN)), dice.choice(("request", "answer")))
            else:
                getattr(proxy, trouble)()
            await asyncio.sleep(dice.choice((0.3, 1.0, 4.0)))
            proxy.calm()
            await asyncio.sleep(dice.uniform(0.2, 3.0))
        for worker in workers:
            await worker.until_ready()
    await s.until_drained(90)
    await s.check()
    await s.check_state(*workers)


async def test_a_slow_network_that_drops_connections_costs_time_alone(
    scene: SceneFactory, shared_broker: Broker
) -> None:
    """Fault 4: every connection cut, five times, twenty milliseconds away."""
    s, proxy = await scene(partitions=2, proxy=0), shared_broker.proxies[0]
    proxy.delay_s = 0.01
    async with load(s.feed, rate=500):
        worker = await s.start()
        for _ in range(5):
            await goes_on(worker, 50)
            proxy.cut()
        await goes_on(worker)
    await s.until_drained()
    await s.check()
    await worker.until_ready()
    await s.check_state(worker)
