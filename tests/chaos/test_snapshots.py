"""Snapshots that cannot be trusted, that lie behind the log's start, or that cannot be written."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from tests.chaos.checking import Log, committed, differences, problems
from tests.chaos.conftest import SceneFactory
from tests.chaos.feeding import load
from tests.chaos.scene import Scene

pytestmark = pytest.mark.kafka
REFUSED_STATE = 6


def manifests(folder: Path, partition: int) -> list[Path]:
    """A partition's manifests, the newest last."""
    return sorted(p for p in folder.rglob("*.json") if p.parent.parent.name == str(partition))


def resealed(manifest: Path, **changed: Any) -> bytes:
    """A manifest that says something else, and rightly so as far as its checksum goes."""
    said = json.loads(manifest.read_bytes())["snapshot"] | changed
    raw = json.dumps(said)
    return f'{{"sha256":"{hashlib.sha256(raw.encode()).hexdigest()}","snapshot":{raw}}}'.encode()


def newest_part(manifest: Path) -> Path:
    parts = json.loads(manifest.read_bytes())["snapshot"]["parts"]
    return manifest.with_name(parts[-1]["name"])


def corrupt(manifest: Path) -> None:
    raw = bytearray(newest_part(manifest).read_bytes())
    raw[-9] ^= 0x40
    newest_part(manifest).write_bytes(raw)


def truncate(manifest: Path) -> None:
    newest_part(manifest).write_bytes(newest_part(manifest).read_bytes()[:-20])


def remove_part(manifest: Path) -> None:
    newest_part(manifest).unlink()


def write_half(manifest: Path) -> None:
    manifest.write_bytes(manifest.read_bytes()[: manifest.stat().st_size // 2])


def change_content(manifest: Path) -> None:
    manifest.write_bytes(manifest.read_bytes().replace(b'"since":0', b'"since":1'))


def postdate(manifest: Path) -> None:
    """One that is whole and of an offset that nobody has committed."""
    offset = 10**9
    manifest.with_name(f"{offset:020d}{manifest.name[20:]}").write_bytes(resealed(manifest, offset=offset))


def give_to_another_model(manifest: Path) -> None:
    manifest.write_bytes(resealed(manifest, fingerprint="0" * 64))


def give_to_another_partition(manifest: Path) -> None:
    manifest.write_bytes(resealed(manifest, partition=77))


DAMAGES: list[tuple[Callable[[Path], None], str]] = [
    (corrupt, "corrupt"),
    (truncate, "truncated"),
    (remove_part, "is missing"),
    (write_half, "half-written or unreadable"),
    (change_content, "its checksum is not that of what it says"),
    (postdate, "newer than the committed offset"),
    (give_to_another_model, "of another model or other settings"),
    (give_to_another_partition, "of partition 77"),
]
"""What is done to the newest snapshot of partition 0, 1, ..., and the reason it is then passed over for."""


async def test_each_snapshot_that_cannot_be_trusted_is_passed_over_with_a_reason(scene: SceneFactory) -> None:
    """Fault 10, each kind in a partition of its own."""
    s = await scene(partitions=len(DAMAGES), streams=40, snapshots={"interval_s": 0.5})
    async with load(s.feed, rate=800):
        worker = await s.start()
        await worker.until_total("streamrnn_snapshots_total", 4 * len(DAMAGES))
        await worker.kill()
    for partition, (damage, _) in enumerate(DAMAGES):
        damage(manifests(s.folder, partition)[-1])
    heir = await s.start()
    await s.feed.send(400)
    await s.until_drained()
    await s.check()
    await s.check_state(heir)
    for partition, (_, reason) in enumerate(DAMAGES):
        lines = [line for line in heir.log().splitlines() if reason in line]
        assert [x for x in lines if re.search(rf"\b{partition}\b", x)], f"partition {partition}: {reason}"


async def delete_before(s: Scene, offset: int) -> None:
    """What retention does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=s.broker.direct)
    await admin.start()
    topic = s.settings.input.topic
    await admin.delete_records({TopicPartition(topic, p): RecordsToDelete(offset) for p in (0, 1)})
    await admin.close()


async def behind_the_log(s: Scene) -> Log:
    """Snapshots at 500, commits at 1000, a log that begins at 800; the ticks that were."""
    await s.cycle(1000)
    await s.feed.send(1000)
    worker = await s.start("--snapshots.interval_s=3600")
    await s.until_drained()
    await worker.kill()
    ticks = await s.ticks()
    await delete_before(s, 800)
    return ticks


async def test_a_log_that_begins_past_the_snapshot_ends_the_process_where_told_to(scene: SceneFactory) -> None:
    """Fault 11, on_gap fail."""
    s = await scene(partitions=2, snapshots={"on_gap": "fail"})
    await behind_the_log(s)
    worker = await s.start(ready=False)
    assert await worker.ended() == REFUSED_STATE, worker.log()
    assert "snapshots.on_gap is fail" in worker.last_line()
    assert "below 800" in worker.last_line()
    assert "Traceback" not in worker.log()


async def test_a_log_that_begins_past_the_snapshot_makes_a_new_state_that_says_so(scene: SceneFactory) -> None:
    """Fault 11, on_gap warmup: the bits from then on are those of the ticks that are left."""
    s = await scene(partitions=2)
    before = await behind_the_log(s)
    worker = await s.start()
    assert "warming up anew" in worker.log()
    await s.feed.send(1000)
    await s.until_drained()
    after = [record for record in (await s.ticks()).records if record.offset >= 1000]
    ticks = Log(sorted([*before.records, *after], key=lambda record: record[:2]))
    out, dead = await s.answers()
    assert problems(ticks, out.predictions(), dead.letters()) == []
    assert differences([p for p in out.predictions() if p.source[1] < 1000], s.oracle(ticks)) == []
    left = s.oracle(ticks, since={0: 800, 1: 800})
    assert differences([p for p in out.predictions() if p.source[1] >= 1000], left) == []
    marks = await committed(s.broker.direct, s.settings.kafka.group, s.settings.input.topic)
    for _, pedigree in marks.values():
        said = json.loads(pedigree)
        assert (said["since"], said["served_from"]) == (800, 1000)
    await s.check_verified()


async def test_a_full_disk_costs_snapshots_and_nothing_else(scene: SceneFactory, tmp_path: Path) -> None:
    """Fault 22."""
    s, switch = await scene(partitions=2, snapshots={"interval_s": 0.3}), tmp_path / "full"
    async with load(s.feed, rate=500):
        worker = await s.start(fault="full_disk", switch=str(switch))
        await worker.until_total("streamrnn_snapshots_total", 2)
        switch.touch()
        await worker.until_total("streamrnn_snapshot_failures_total", 4)
        served = await worker.total("streamrnn_predictions_total")
        await worker.until_total("streamrnn_predictions_total", served + 300)
        assert await worker.get("/readyz") == (200, "ok\n")
        assert "No space left on device" in worker.log()
        await worker.kill()
        worker = await s.start(fault="full_disk", switch=str(switch))
        switch.unlink()
        await worker.until_total("streamrnn_snapshots_total", 4)
    # the last ticks come as the feed ends: who is stopped before has them unanswered
    await s.until_drained()
    assert await worker.stop(SIGTERM) == 0
    await s.check()


@pytest.mark.chaos
async def test_all_snapshots_gone_or_garbage_state_is_rebuilt_from_its_first_tick(scene: SceneFactory) -> None:
    """Fault 10, the whole folder."""
    s = await scene(partitions=4)
    await s.cycle(4000)
    for file in s.folder.rglob("*.*"):
        if file.is_file() and "snapshots" in file.parts:
            file.write_bytes(b"\x00garbage")
    await s.cycle(1000)
    await s.cycle(1000)
    await s.check()
