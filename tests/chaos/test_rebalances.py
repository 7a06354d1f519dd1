"""Workers come and go under load: each tick is answered once, and rows that come back are used again."""

import pytest

from streamrnn.metrics.declared import RECOVERED_FROM
from tests.chaos.conftest import SceneFactory
from tests.chaos.feeding import load
from tests.chaos.scene import Scene

pytestmark = pytest.mark.kafka


async def come_and_go(s: Scene, rebalances: int) -> None:
    """One worker stays; others join it, and leave in order or are killed, in turn. Some rebalances become one."""
    async with load(s.feed, rate=500):
        host = await s.start()
        turn = 0
        while await host.total("streamrnn_rebalances_total") < rebalances:
            guest = await s.start()
            await guest.until_total("streamrnn_predictions_total", 50)
            await (guest.stop(15) if turn % 2 == 0 else guest.kill())
            turn += 1
        await host.until_ready()
    await s.until_drained()
    await s.check()
    await s.check_state(host)
    names = {source: f'streamrnn_recoveries_total{{source="{source}"}}' for source in RECOVERED_FROM}
    sources = {source: await host.metric(name) for source, name in names.items()}
    assert {source for source, count in sources.items() if count} == {"new", "memory"}
    assert sources["memory"] >= rebalances, "what stayed and what came back went on with its rows"


async def test_a_guest_that_leaves_and_one_that_dies_change_nothing(scene: SceneFactory) -> None:
    """Fault 6, four rebalances."""
    await come_and_go(await scene(partitions=4), 4)


@pytest.mark.chaos
@pytest.mark.timeout(300)
async def test_twenty_rebalances_under_load_change_nothing(scene: SceneFactory) -> None:
    """Fault 6."""
    await come_and_go(await scene(partitions=4), 20)


@pytest.mark.chaos
@pytest.mark.timeout(300)
async def test_twenty_rebalances_at_least_once_lose_nothing(scene: SceneFactory) -> None:
    """Fault 6 without transactions."""
    await come_and_go(await scene(partitions=4, delivery={"guarantee": "at_least_once"}), 20)
