"""State that survives: a new process on the same broker and store goes on as if there had been no other."""

import asyncio
import re
import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamrnn.errors import BrokerUnavailable, StateError, StoreUnavailable
from streamrnn.snapshots import Draft
from streamrnn.snapshots.drawer import Drawer
from streamrnn.ticks import Record, StreamRows
from streamrnn.worker.cold_tiers import ColdTiers

from .conftest import MakeWorld, World, alone, tick, ticks
from .fakes import Lost
from .test_exactly_once import EXACT, beginning, check_exact

AWAY = BrokerUnavailable("nobody there")


def kept(folder: Path, **more: object) -> dict[str, dict[str, object]]:
    """Settings under which a snapshot is taken as often as can be; without one, all is stepped again."""
    snapshots = {"url": str(folder), "interval_s": 0.001, "interval_records": 1} | more
    return {"delivery": EXACT, "snapshots": snapshots, "input": {"warmup_ticks": 1000}}


def found(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.rglob(pattern))


def manifests(folder: Path) -> list[Path]:
    return found(folder, "*.json")


async def serve_until(world: World, offset: int, partition: int = 0, crash: bool = False) -> None:
    async with world.crashing() if crash else world.serving():
        await world.until(lambda: world.source.offsets.get(partition, 0) >= offset)


@pytest.mark.parametrize("crash", [False, True])
async def test_a_new_process_restores_the_newest_snapshot_and_goes_on_bit_for_bit(
    world: MakeWorld, tmp_path: Path, crash: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    topic = {0: ticks(0, 300, streams=7)}
    w = world(topic, poll=3, **kept(tmp_path))
    await serve_until(w, 100, crash=crash)
    while not manifests(tmp_path):
        w = world(topic, poll=3, after=w, **kept(tmp_path))
        await serve_until(w, w.source.offsets[0] + 50, crash=crash)
    again = world(topic, poll=3, after=w, **kept(tmp_path))
    warm: list[bool] = []
    again.engine.on_step = warm.append
    await serve_until(again, 300)
    check_exact(again)
    assert "partition 0 restored" in caplog.text
    if not crash:
        assert not any(warm), "the last snapshot is of the last commit: nothing is replayed"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lives=st.lists(st.tuples(st.integers(1, 60), st.booleans()), min_size=1, max_size=5),
    poll=st.integers(1, 20),
    streams=st.integers(1, 9),
    cap=st.integers(1, 4),
    outcomes=st.lists(st.sampled_from([None, None, None, AWAY, Lost(True), Lost(False)]), max_size=8),
)
def test_through_any_number_of_lives_faults_and_small_caps_each_prediction_is_its_streams_alone(
    world: MakeWorld,
    lives: list[tuple[int, bool]],
    poll: int,
    streams: int,
    cap: int,
    outcomes: list[Exception | Lost | None],
) -> None:
    topic = {0: ticks(0, 200, streams), 1: ticks(1, 60, streams)}

    async def run(folder: Path) -> World:
        options = kept(folder) | {"engine": {"max_streams": cap, "max_parked": 1}}
        w = None
        for count, crash in lives:
            w = world(topic, poll=poll, after=w, **options)
            w.sink.outcomes = deque(outcomes)
            await serve_until(w, min(200, w.source.offsets.get(0, 0) + count), crash=crash)
        w = world(topic, poll=poll, after=w, **options)
        async with w.serving():
            await w.until(lambda: w.source.offsets == {0: 200, 1: 60})
        return w

    with TemporaryDirectory() as folder:
        w = asyncio.run(run(Path(folder)))
    check_exact(w)
    assert {beginning(text) for text in w.source.metadata.values()} == {("toy@1", "f" * 64, 0, 0)}


async def kept_at(world: MakeWorld, folder: Path, offset: int, **more: dict[str, object]) -> World:
    """A worker that ended in order at `offset`, with snapshots on its way there and one at the end."""
    topic = {0: ticks(0, 100, streams=5)[:offset]}
    w = world(topic, poll=4, **(kept(folder) | more))
    await serve_until(w, offset)
    w.source.ticks[0] += ticks(0, 100, streams=5)[offset:]
    assert len(manifests(folder)) >= 2
    return w


def spoil(path: Path) -> None:
    """Change one byte in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("what", ["parts", "manifests", "all parts"])
async def test_a_damaged_snapshot_gives_way_to_an_older_one_or_to_all_ticks_and_says_why(
    world: MakeWorld, tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    w = await kept_at(world, tmp_path, 60)
    newest = manifests(tmp_path)[-1]
    parts = found(tmp_path, "*.safetensors")
    wanted = {"parts": parts[-1:], "manifests": [newest], "all parts": parts}[what]
    for path in wanted:
        spoil(path)
    again = world(w.source.ticks, after=w, **kept(tmp_path))
    await serve_until(again, 100)
    check_exact(again)
    assert newest.name in caplog.text
    assert ("(beginning)" in caplog.text) == (what == "all parts")


async def test_a_snapshot_beyond_the_committed_offset_is_passed_over(
    world: MakeWorld, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    w = await kept_at(world, tmp_path, 60)
    w.source.offsets[0] = 59  # as if an operator had set the group back
    again = world(w.source.ticks, after=w, **kept(tmp_path))
    await serve_until(again, 100)
    assert "newer than the committed offset 59" in caplog.text
    expected = alone(ticks(0, 100, streams=5))
    assert again.predictions()[-41:] == [((0, n), expected[0, n]) for n in range(59, 100)]


@pytest.mark.parametrize("on_gap", ["warmup", "fail"])
async def test_ticks_that_retention_took_before_a_snapshot_could_use_them_are_a_gap(
    world: MakeWorld, tmp_path: Path, on_gap: str, caplog: pytest.LogCaptureFixture
) -> None:
    w = await kept_at(world, tmp_path, 60)
    w.source.offsets[0], w.source.log_starts[0] = 80, 70
    options = kept(tmp_path, on_gap=on_gap)
    again = world(w.source.ticks, after=w, **options)

    async def serve() -> None:
        async with again.serving() as running:
            await again.until(lambda: running.done() or again.source.offsets[0] == 100)

    if on_gap == "fail":
        with pytest.raises(StateError, match=r"needs ticks below 70.*on_gap is fail"):
            await serve()
        return
    await serve()
    assert "warming up anew" in caplog.text
    assert beginning(w.source.metadata[0]) == ("toy@1", "f" * 64, 70, 80)
    expected = alone(ticks(0, 100, streams=5)[70:])
    assert again.predictions()[-20:] == [((0, n), expected[0, n]) for n in range(80, 100)]


def told(w: World, name: str) -> int:
    """A gauge of partition 0, -1 before it is told."""
    found = re.search(rf'streamrnn_snapshot_{name}{{partition="0"}} (\d+)', w.metrics.text().decode())
    return int(found[1]) if found else -1


async def test_what_a_crash_would_replay_is_told(
    world: MakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    w = world({0: ticks(0, 50)}, **kept(tmp_path))
    async with w.serving():
        await w.until(lambda: told(w, "offset") == 50 and told(w, "behind_records") == 0)
        with monkeypatch.context() as disk:
            disk.setattr(Draft, "finish", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            w.source.ticks[0].extend(ticks(0, 70)[50:])
            await w.until(lambda: told(w, "behind_records") == 20)
            assert told(w, "offset") == 50
        w.source.ticks[0].extend(ticks(0, 80)[70:])
        await w.until(lambda: told(w, "offset") == 80 and told(w, "behind_records") == 0)


async def test_a_store_that_fails_stops_no_tick_and_is_counted(
    world: MakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    w = world({0: ticks(0, 50)}, poll=2, **kept(tmp_path))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path))

    with monkeypatch.context() as disk:
        disk.setattr(Draft, "finish", full)
        await serve_until(w, 50)
    check_exact(w)
    assert "partition 0: no snapshot" in caplog.text
    assert b"streamrnn_snapshot_failures_total 0.0" not in w.metrics.text()
    w.source.ticks[0] += ticks(0, 90)[50:]
    again = world(w.source.ticks, after=w, **kept(tmp_path))
    await serve_until(again, 90)
    check_exact(again)
    assert manifests(tmp_path)


async def test_a_stream_that_only_snapshots_hold_goes_on_where_it_was(world: MakeWorld, tmp_path: Path) -> None:
    """Forty streams tick, then two of them until the others have left memory, then all again."""
    records: list[Record] = []
    w = world({0: records}, poll=3, **(kept(tmp_path) | {"engine": {"max_streams": 2, "max_parked": 2}}))

    async def tick_streams(streams: Iterable[int]) -> None:
        records.extend([tick(0, len(records) + i, 1.0 + i % 7, b"s%d" % s) for i, s in enumerate(streams)])
        await w.until(lambda: w.source.offsets.get(0) == len(records))

    async with w.serving():
        await tick_streams([*range(40)] * 2)
        while w.engine.resident + w.engine.parked == 40:
            await tick_streams([0, 1, 0])
        await tick_streams([*range(40)] * 2)
    check_exact(w)
    assert w.engine.brought_back_total >= 38
    assert w.engine.forgotten_total == 0


async def test_a_topic_made_anew_is_not_given_the_state_of_the_old_one(world: MakeWorld, tmp_path: Path) -> None:
    """Nor when the process dies before its first snapshot of it."""
    w = await kept_at(world, tmp_path, 60)
    w.source.offsets.clear()  # the operator deletes the group's offsets with the topic
    w.source.metadata.clear()
    fresh = {0: [tick(0, n, 9.0 - n % 4, b"s%d" % (n % 5)) for n in range(100)]}
    seldom = kept(tmp_path, interval_s=3600.0, interval_records=0)
    dies = world(dict(fresh), after=w, **seldom)
    dies.source.journal.clear()
    dies.source.ticks[0] = fresh[0][:80]
    await serve_until(dies, 80, crash=True)
    again = world(fresh, after=dies, **seldom)
    await serve_until(again, 100)
    check_exact(again)


async def test_a_step_that_fails_for_the_store_spoils_no_snapshot(
    world: MakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A capture that is queued behind a failed step is of rows before their label."""
    options = kept(tmp_path) | {"engine": {"max_streams": 2, "max_parked": 2}}
    topic = {0: ticks(0, 200, streams=9)}
    w, fails, real = world(topic, poll=3, **options), iter([False, False, True] * 20), ColdTiers.find

    def find(self: ColdTiers, partition: int, streams: list[bytes]) -> StreamRows:
        if next(fails, False):
            raise StoreUnavailable("away")
        return real(self, partition, streams)

    with monkeypatch.context() as store:
        store.setattr(ColdTiers, "find", find)
        await serve_until(w, 120, crash=True)
    again = world(topic, after=w, **options)
    await serve_until(again, 200)
    check_exact(again)


async def test_a_store_that_hangs_holds_up_neither_ticks_nor_rebalances_nor_the_end(
    world: MakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    w, hung = await kept_at(world, tmp_path, 60), threading.Event()
    again = world(w.source.ticks, after=w, **(kept(tmp_path) | {"limits": {"shutdown_budget_s": 1.0}}))
    again.line.keeper._patience_s = 0.2  # type: ignore[attr-defined]
    with monkeypatch.context() as store:
        store.setattr(Drawer, "read", lambda *_: hung.wait(20))
        async with again.serving():
            await again.until(lambda: again.worker.assigner.phases() == {0: "recovering"})
            polls = again.source.polls
            again.source.assign()
            await again.until(lambda: again.worker.assigner.phases() == {})
            again.source.assign(0)
            await again.until(lambda: again.source.polls > polls + 20)
    hung.set()
    assert again.worker.assigner.phases() == {0: "draining"}


async def test_the_input_waits_while_no_snapshot_takes_what_memory_cannot_hold(
    world: MakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    topic = {0: [tick(0, n, 1.0 + n % 5, b"s%d" % n) for n in range(400)] + [tick(0, 400, 2.0, b"s0")]}
    w = world(topic, poll=10, **(kept(tmp_path) | {"engine": {"max_streams": 10, "max_parked": 10}}))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path))

    async with w.serving():
        with monkeypatch.context() as disk:
            disk.setattr(Drawer, "write", full)
            await w.until(lambda: w.worker.health.is_overfull)
            held, polls = w.engine.parked, w.source.polls
            assert held <= 20 + 2 * 10
            await w.until(lambda: w.source.polls > polls + 20)
            assert w.engine.parked == held
        await w.until(lambda: w.source.offsets[0] == 401)
    check_exact(w)
    assert "input goes on" in caplog.text
    assert w.engine.forgotten_total == 0
