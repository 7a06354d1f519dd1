"""Offsets and records that others move: Kafka's own tools, run against a group and its topic as operators do."""

import asyncio
from pathlib import Path

import pytest

from tests.chaos.conftest import SceneFactory
from tests.chaos.scene import Scene
from tests.chaos.workers import Worker, until
from tests.kafka.conftest import kafka_home

pytestmark = pytest.mark.kafka
WITHOUT_SNAPSHOTS = {"snapshots": {"url": None}}
AGAIN = {"delivery": {"guarantee": "at_least_once"}}
"""Ticks that are answered again are answered twice, whatever was promised: by order of who set the offset."""


async def tool(s: Scene, script: str, *arguments: str) -> None:
    """Run one of Kafka's scripts."""
    path = kafka_home(f"bin/{script}") / "bin" / script
    process = await asyncio.create_subprocess_exec(
        *(path, "--bootstrap-server", s.broker.direct, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert "Error" not in said.decode(), said.decode()


async def groups(s: Scene, *arguments: str) -> None:
    """kafka-consumer-groups.sh on the input topic; the group must have no members."""
    of_group = ("--group", s.settings.kafka.group, "--topic", s.settings.input.topic)
    await tool(s, "kafka-consumer-groups.sh", *of_group, *arguments)


async def set_offsets(s: Scene, *how: str) -> None:
    await groups(s, "--reset-offsets", *how, "--execute")


async def drained(s: Scene, worker: Worker) -> None:
    """All of the topic is committed, and the rows are those of all ticks from the first on."""
    await s.until_drained()
    await s.check_state(worker)


@pytest.mark.parametrize(
    ("how", "sections"),
    [
        pytest.param(["--to-earliest"], {}, id="to earliest, with snapshots"),
        pytest.param(["--shift-by", "-150"], WITHOUT_SNAPSHOTS, id="by -150, without"),
        pytest.param(["--to-earliest"], WITHOUT_SNAPSHOTS, id="to earliest, without", marks=pytest.mark.chaos),
        pytest.param(["--shift-by", "-150"], {}, id="by -150, with snapshots", marks=pytest.mark.chaos),
    ],
)
async def test_offsets_set_back_have_the_same_ticks_answered_again_alike(
    scene: SceneFactory, how: list[str], sections: dict[str, dict[str, object]]
) -> None:
    s = await scene(partitions=2, **AGAIN, **sections)
    await s.cycle(1000)
    before = await s.committed()
    await set_offsets(s, *how)
    assert all(offset < before[partition] for partition, offset in (await s.committed()).items())
    await s.feed.send(400)
    worker = await s.start()
    await drained(s, worker)
    await s.check()


@pytest.mark.parametrize(
    "sections",
    [
        pytest.param({}, id="with snapshots"),
        pytest.param(WITHOUT_SNAPSHOTS, id="without", marks=pytest.mark.chaos),
    ],
)
async def test_ticks_that_offsets_set_forward_pass_over_are_stepped_and_not_answered(
    scene: SceneFactory, sections: dict[str, dict[str, object]]
) -> None:
    """A state is made of all ticks below the committed offset, whoever committed it."""
    s = await scene(partitions=2, **sections)
    await s.cycle(1000)
    before = await s.committed()
    await s.feed.send(300)
    await set_offsets(s, "--to-latest")
    after = await s.committed()
    worker = await s.start()
    await s.feed.send(200)
    await drained(s, worker)
    answered = {each.source for each in (await s.answers())[0].predictions()}
    passed = {(p, n) for p in before for n in range(before[p], after[p])}
    assert len(passed) == 300
    assert answered == {(r.partition, r.offset) for r in (await s.ticks()).records} - passed


async def test_deleted_offsets_are_begun_anew_and_the_way_back_to_the_snapshot_is_told(scene: SceneFactory) -> None:
    """As after offsets.retention.minutes without a worker; then the operator takes the advice."""
    s = await scene(partitions=2, **AGAIN)
    await s.cycle(1000)
    marks = await s.committed()
    await groups(s, "--delete-offsets")
    worker = await s.start()
    for partition, offset in marks.items():
        said = "the group has no offset there, expired or deleted, but a snapshot"
        await worker.until_log(f"partition {partition}: {said} at {offset}")
        assert f"--to-offset {offset} --topic {s.settings.input.topic}:{partition}" in worker.log()
    await drained(s, worker)
    await s.check()


async def overtaken(s: Scene, folder: Path) -> Worker:
    """Records are deleted that a worker has yet to read: it sleeps meanwhile."""
    await s.feed.send(1000)
    worker = await s.start()
    await s.until_drained()
    worker.freeze()
    await asyncio.sleep(0.5)  # until the fetch that it waits for has ended without a record
    await s.feed.send(600)
    offsets = folder / "offsets.json"
    wanted = ", ".join(
        f'{{"topic": "{s.settings.input.topic}", "partition": {partition}, "offset": {offset + 200}}}'
        for partition, offset in (await s.committed()).items()
    )
    offsets.write_text(f'{{"partitions": [{wanted}], "version": 1}}')
    await tool(s, "kafka-delete-records.sh", "--offset-json-file", str(offsets))
    worker.thaw()
    return worker


async def test_records_deleted_before_they_were_read_are_said_and_what_is_left_is_answered(
    scene: SceneFactory, tmp_path: Path
) -> None:
    s = await scene(partitions=1, kafka={"session_timeout_ms": 30_000})
    worker = await overtaken(s, tmp_path)
    await worker.until_log("which retention has deleted: warming up anew")
    await s.until_drained()
    await worker.until_ready()
    left = (await s.ticks()).records
    assert {r.offset for r in left} == set(range(1200, 1600))
    answered = {each.source[1] for each in (await s.answers())[0].predictions()}
    assert answered == {*range(1000), *range(1200, 1600)}
    held = await worker.state_of(0, "s0")
    assert held is not None
    assert held["steps"] == sum(r.key == b"s0" for r in left), "a new state, of the ticks that are left"


async def test_records_deleted_before_they_were_read_end_the_worker_where_that_is_asked_for(
    scene: SceneFactory, tmp_path: Path
) -> None:
    s = await scene(partitions=1, kafka={"session_timeout_ms": 30_000}, snapshots={"on_gap": "fail"})
    worker = await overtaken(s, tmp_path)
    assert await worker.ended() == 6, worker.log()
    assert "which retention has deleted; snapshots.on_gap is fail" in worker.last_line()


async def test_records_deleted_that_were_read_are_missed_by_nobody(scene: SceneFactory, tmp_path: Path) -> None:
    s = await scene(partitions=2)
    await s.feed.send(1000)
    worker = await s.start()
    await s.until_drained()
    ticks = await s.ticks()
    offsets = tmp_path / "offsets.json"
    topic = s.settings.input.topic
    wanted = ", ".join(f'{{"topic": "{topic}", "partition": {p}, "offset": -1}}' for p in (0, 1))
    offsets.write_text(f'{{"partitions": [{wanted}], "version": 1}}')
    await tool(s, "kafka-delete-records.sh", "--offset-json-file", str(offsets))

    async def is_empty() -> bool:
        return not (await s.ticks()).records

    await until(is_empty, "the records to be gone")
    await s.feed.send(400)
    await s.until_drained()
    left = await s.ticks()
    whole = ticks._replace(records=sorted([*ticks.records, *left.records], key=lambda r: (r.partition, r.offset)))
    await s.check(ticks=whole)
    assert await worker.total("streamrnn_rebalances_total") == 1
