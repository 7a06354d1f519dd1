"""Snapshots while partitions come and go, models and topics change, and memory is short."""

import asyncio
import threading
from pathlib import Path

import pytest

from streamrnn.errors import StateError
from streamrnn.snapshots.chain import SnapshotPart
from streamrnn.snapshots.drawer import Drawer
from streamrnn.ticks import Record, StreamRows
from streamrnn.worker import line as line_module
from streamrnn.worker.snapshot_keeper import SnapshotKeeper

from .conftest import MakeWorld, World, tick, ticks
from .test_exactly_once import check_exact
from .test_snapshot_keeper import kept, kept_at, manifests, serve_until


def keeper_of(world: World) -> SnapshotKeeper:
    keeper = world.line.keeper
    assert isinstance(keeper, SnapshotKeeper)
    return keeper


def rows(partition: int, start: int, stop: int) -> list[Record]:
    return [tick(partition, n, 1.0 + n % 5, b"s%d" % (n % 28)) for n in range(start, stop)]


async def test_rows_of_partitions_that_went_to_others_hold_up_no_input(world: MakeWorld, tmp_path: Path) -> None:
    """Scale-out: of six partitions five go."""
    options = kept(tmp_path) | {"engine": {"max_streams": 10, "max_parked": 18}}
    w = world({p: rows(p, 0, 100) for p in range(6)}, poll=50, **options)
    async with w.serving():
        await w.until(lambda: w.source.offsets == dict.fromkeys(range(6), 100))
        w.source.assign(0)
        w.source.ticks[0] += rows(0, 100, 200)
        await w.until(lambda: w.source.offsets[0] == 200, 5)


async def test_a_snapshot_is_taken_early_where_memory_waits_for_it(world: MakeWorld, tmp_path: Path) -> None:
    small = {"engine": {"max_streams": 10, "max_parked": 10}}
    seldom = kept(tmp_path, interval_s=3600.0, interval_records=0) | small
    w = world({0: [tick(0, n, 1.0 + n % 5, b"k%d" % n) for n in range(60)]}, poll=10, **seldom)
    async with w.serving():
        await w.until(lambda: w.source.offsets.get(0) == 60, 10)
    check_exact(w)


async def test_a_part_that_comes_late_to_a_restore_given_up_joins_no_other(
    world: MakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its older rows would override the newer ones of the restore that followed."""
    seldom = kept(tmp_path, interval_s=3600.0, interval_records=0)
    records = [tick(0, n, 1.0 + n % 5, b"s%d" % (n % 40)) for n in range(80)]
    w = world({0: records}, poll=8, **seldom)
    async with w.serving():
        await w.until(lambda: w.source.offsets.get(0) == 80)
        [partition] = w.worker.assigner.owned()
        await keeper_of(w)._take(partition)
        records += [tick(0, 80 + i, 2.0 + i % 3, b"s%d" % i) for i in range(20)]
        await w.until(lambda: w.source.offsets.get(0) == 100)
        await keeper_of(w)._take(partition)
    again = world({0: records}, poll=4, after=w, **(seldom | {"engine": {"max_streams": 1, "max_parked": 10}}))
    hung, gate, real, first = threading.Event(), threading.Event(), Drawer.read_part, iter([True])

    def read_part(self: Drawer, part: SnapshotPart) -> StreamRows:
        if next(first, False):
            hung.set()
            gate.wait(8)
        return real(self, part)

    monkeypatch.setattr(Drawer, "read_part", read_part)
    async with again.serving():
        await again.until(hung.is_set)
        again.source.assign(0)
        await again.until(lambda: again.worker.assigner.phases() == {0: "live"})
        gate.set()
        await asyncio.sleep(0.1)
        records += [tick(0, 100 + i, 3.0 + i % 4, b"s%d" % (i % 8)) for i in range(80)]
        await again.until(lambda: again.source.offsets.get(0) == 180)
    check_exact(again)


async def test_snapshots_of_a_topic_before_are_not_taken_though_another_model_served_between(
    world: MakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = [tick(0, n, 9.0 - n % 4, b"s%d" % (n % 5)) for n in range(120)]
    before: World | None = None
    for model, topic in (("b", ticks(0, 60, 5)), ("a", fresh[:100]), ("b", fresh)):
        monkeypatch.setattr(line_module, "fingerprint", lambda *_, model=model: model * 64)
        w = world({0: topic}, after=before, poll=4, **kept(tmp_path))
        await serve_until(w, len(topic))
        if before is None:  # the topic is made anew, and the group with it
            w.source.offsets.clear()
            w.source.metadata.clear()
            w.source.journal.clear()
        before = w
    assert before is not None
    check_exact(before)


async def test_a_state_whose_first_ticks_are_gone_and_that_no_snapshot_holds_is_a_gap(
    world: MakeWorld, tmp_path: Path
) -> None:
    w = await kept_at(world, tmp_path, 60)
    for manifest in manifests(tmp_path):
        manifest.unlink()
    w.source.log_starts[0] = 30
    again = world(w.source.ticks, after=w, **kept(tmp_path, on_gap="fail"))

    async def serve() -> None:
        async with again.serving() as running:
            await asyncio.wait({running}, timeout=5)

    with pytest.raises(StateError, match="needs ticks below 30"):
        await serve()
