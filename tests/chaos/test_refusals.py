"""What cannot be answered becomes one dead letter, committed with its neighbours, which notice nothing."""

import asyncio
import json
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streamrnn.nn.bundle import save_bundle
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec
from tests.chaos.conftest import SceneFactory
from tests.chaos.feeding import FIRST_TIME_MS, load
from tests.chaos.scene import Scene

pytestmark = pytest.mark.kafka
MEGABYTE = 2**20
GOOD = b'{"time": 1, "x": 1.5}'
BAD: dict[str, tuple[bytes | None, bytes | None]] = {
    "undecodable": (b"s0", b"\x00\x01 no JSON"),
    "null": (b"s0", None),
    "not_an_object": (b"s0", b"[1.5, 2]"),
    "bad_type": (b"s0", b'{"time": 1, "x": "1.5"}'),
    "not_finite": (b"s0", b'{"time": 1, "x": 1e39}'),
    "too_deep": (b"s0", b'{"time": 1, "x": 1.5, "more": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"),
    "bad_key": (b"\xff\xfe", GOOD),
    "missing_key": (None, GOOD),
    "too_large": (b"s0", b'{"time": 1, "x": 1.5, "blob": "' + b"x" * 5 * MEGABYTE + b'"}'),
}
"""Records that are no ticks, by the code they are refused with."""


async def send_bad(s: Scene) -> None:
    """Each of them into each partition, between ticks."""
    for partition in (0, 1):
        for key, value in BAD.values():
            await s.feed.send_raw(partition, key, value)
            await s.feed.send(6)


async def test_poison_in_every_batch_is_refused_once_though_the_worker_dies(scene: SceneFactory) -> None:
    """Fault 16: the dead letters are in the same transaction as the predictions."""
    s = await scene(partitions=2)
    await s.feed.send(200)
    await send_bad(s)
    async with load(s.feed, rate=300):
        dying = await s.start("--input.max_poll_records=40", fault="die", at="commit", nth=2, ready=False)
        await dying.killed()
        await send_bad(s)
        worker = await s.start()
    await s.until_drained()
    await s.check()
    await s.check_state(worker)
    _, dead = await s.answers()
    codes = Counter(letter.body["code"] for letter in dead.letters())
    assert codes == dict.fromkeys(BAD, 4)


async def make_output(s: Scene, most_bytes: int) -> None:
    """The output topic, which takes only small records."""
    admin = AIOKafkaAdminClient(bootstrap_servers=s.broker.direct)
    await admin.start()
    limits = {"max.message.bytes": str(most_bytes)}
    await admin.create_topics([NewTopic(s.settings.output.topic, 2, 1, topic_configs=limits)])
    await admin.close()


async def test_a_prediction_that_the_broker_refuses_costs_its_tick_alone(scene: SceneFactory) -> None:
    """Fault 5: too large because its stream has a long name; it is refused alone or in whatever batch it was."""
    s = await scene(partitions=2, output={"batch_bytes": 6000})
    await make_output(s, 1500)
    long = b"n" * 900
    for n in range(5):
        await s.feed.send(40)
        await s.feed.send_raw(n % 2, long, json.dumps({"time": FIRST_TIME_MS + n, "x": 1.0}).encode())
    worker = await s.start()
    async with load(s.feed, rate=200):
        await s.feed.send_raw(0, long, GOOD)
        await worker.until_total("streamrnn_dead_letters_total", 6)
    await s.until_drained()
    refused = {(r.partition, r.offset) for r in (await s.ticks()).records if r.key == long}
    await s.check(broker_refused=refused)
    _, dead = await s.answers()
    assert {(each.body["stage"], each.body["code"]) for each in dead.letters()} == {("publish", "refused")}


@pytest.fixture
def touchy(tmp_path: Path) -> Path:
    """A model that a number beyond all measure drives to NaN: infinite inputs of both signs meet in its sums."""
    torch.manual_seed(3)
    channels = (Channel("x"), Channel("x", "difference"))
    model = Model(ModelSpec(name="touchy", features=("x",), targets=("x",), channels=channels, hidden=8))
    model.set_stats(channel_mean=[0.0, 0.0], channel_std=[0.01, 0.01], target_std=[[1.0]])
    save_bundle(model, tmp_path / "touchy")
    return tmp_path / "touchy"


async def test_a_stream_whose_state_would_be_poisoned_costs_itself_alone(scene: SceneFactory, touchy: Path) -> None:
    """Fault 19: rolled back, dead-lettered, quarantined after three in a row, let go by a good tick; all of it
    goes on where it was when the worker dies in the middle."""
    s = await scene(partitions=2, bundle=touchy, engine={"quarantine_after": 3, "quarantine_retry": 4})
    wild, well = b'{"time": 2, "x": 3e38}', b'{"time": 3, "x": 0.5}'
    dying = await s.start("--input.max_poll_records=10", fault="die", at="commit", nth=3, ready=False)
    for value in [well, *[wild] * 6, *[well] * 9, wild, well]:
        await s.feed.send(10)
        await s.feed.send_raw(0, b"victim", value)
    async with load(s.feed, rate=200):
        await dying.killed()
        worker = await s.start()
    await s.until_drained()
    await s.check()
    await s.check_state(worker)
    _, dead = await s.answers()
    codes = Counter(letter.body["code"] for letter in dead.letters())
    assert set(codes) == {"not_finite", "quarantined"}
    assert {letter.key for letter in dead.letters()} == {b"victim"}


async def all_poison(scene: SceneFactory, seconds: float, rate: float) -> None:
    """Nothing but garbage for a while: fetching pauses, the process lives, then it goes on with what is good."""
    s = await scene(partitions=2, limits={"dead_letter_window": 400, "breaker_pause_s": 0.5})
    worker = await s.start()
    good = s.feed.value
    s.feed.value = lambda number: b"garbage %d" % number  # type: ignore[method-assign]
    seen = set()
    async with load(s.feed, rate):
        await worker.until_log("breaker open")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            seen.add(await worker.get("/readyz"))
            assert await worker.get("/livez") == (200, "ok\n")
            await asyncio.sleep(0.05)
    assert (503, "too many dead letters: the breaker is open\n") in seen
    s.feed.value = good  # type: ignore[method-assign]
    await s.feed.send(1000)
    await s.until_drained(120)
    await worker.until_ready()
    assert len(s.fleet.workers) == 1
    await s.check()


async def test_all_poison_opens_the_breaker_and_ends_nothing(scene: SceneFactory) -> None:
    """Fault 17, five seconds."""
    await all_poison(scene, 5.0, rate=500)


@pytest.mark.chaos
@pytest.mark.timeout(300)
async def test_a_minute_of_poison_ends_nothing(scene: SceneFactory) -> None:
    """Fault 17."""
    await all_poison(scene, 60.0, rate=400)
