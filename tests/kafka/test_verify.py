"""`streamrnn verify` on a broker: what the service published is clean, what was tampered with is not."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from streamrnn.config import Settings, SnapshotSettings
from streamrnn.config.sections import DeliverySettings
from streamrnn.kafka.admin import create_topic
from streamrnn.kafka.reading.log import log_extent, read_whole
from streamrnn.kafka.writing.appending import Appender
from streamrnn.nn.bundle import save_bundle
from streamrnn.ticks import OutRecord, Record
from streamrnn.verifying.verify import Options, verify

from .conftest import SettingsFactory, real_only
from .test_end_to_end import PARTITIONS, as_records, make_model, publish, served, stock_ticks, ticks_done, until

BAD = [OutRecord(n % PARTITIONS, 1_700_000_000_000, b"IBM", value) for n, value in enumerate((None, b"no", b"[]"))]
_MAIN = "import sys; from streamrnn.cli import main; sys.exit(main())"


async def serve(settings: Settings, ticks: int) -> int:
    """Have a service work through ticks of five stocks and three that are none; how many ticks there were."""
    records = as_records(stock_ticks(ticks))
    await publish(settings, [*records[:100], *BAD, *records[100:]])
    async with served(settings, make_model()) as service:
        await until(lambda: ticks_done(service) >= len(records))
        await until(lambda: service.metrics.glance()["dead_letters"] >= len(BAD))
    return len(records)


async def command(settings: Settings, bundle: Path, *flags: str) -> tuple[int, str, str]:
    """Exit code and what was said, to whom."""
    given = [
        f"--kafka.bootstrap={settings.kafka.bootstrap}",
        f"--kafka.group={settings.kafka.group}",
        f"--input.topic={settings.input.topic}",
        f"--output.topic={settings.output.topic}",
        f"--output.dead_letter_topic={settings.dead_letter_topic}",
        f"--model.path={bundle}",
        *flags,
    ]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _MAIN, "verify", *given),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"COLUMNS": "200"},
    )
    async with asyncio.timeout(60):
        said, complained = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode(), complained.decode()


async def test_what_the_service_published_is_clean_and_the_command_says_so(
    settings: SettingsFactory, tmp_path: Path
) -> None:
    made = await settings(PARTITIONS)
    count = await serve(made, 60)
    report = await verify(made, make_model())
    assert report.is_clean, report
    assert report.counts == {}
    assert (report.total("checked"), report.total("letters"), report.total("ahead")) == (count, len(BAD), 0)
    save_bundle(make_model(), tmp_path / "model")
    code, said, complained = await command(made, tmp_path / "model", "--json", "--strict")
    assert (code, complained) == (0, "")
    assert f"clean: {count} predictions are as recomputed" in said
    assert json.loads(said.splitlines()[-1])["is_clean"] is True


@real_only
@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
@pytest.mark.parametrize("has_snapshots", [False, True])
async def test_a_service_that_was_started_again_is_clean(
    settings: SettingsFactory, tmp_path: Path, guarantee: str, has_snapshots: bool
) -> None:
    kept = SnapshotSettings(url=str(tmp_path / "kept") if has_snapshots else None)
    given = await settings(PARTITIONS, input={"warmup_ticks": 30})
    made = given.model_copy(update={"delivery": DeliverySettings(guarantee=guarantee), "snapshots": kept})
    records = as_records(stock_ticks(60))
    for at in (0, 100, 200):
        await publish(made, [*records[at : at + 100], BAD[at // 100]])
        async with served(made, make_model()) as service:
            await until(lambda: service.metrics.glance()["dead_letters"] >= 1)
            await until(lambda: ticks_done(service) >= 100)
    report = await verify(made, make_model(), Options(strict=True))
    assert report.is_clean, report
    assert report.counts == {}
    assert report.total("checked") + report.total("not_recomputed") == len(records)
    since = [one.since for one in report.partitions]
    assert since == [0, 0] if has_snapshots else min(since) > 0


@real_only
@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_a_service_that_goes_on_meanwhile_is_clean_at_every_moment(
    settings: SettingsFactory, guarantee: str
) -> None:
    given = await settings(PARTITIONS)
    made = given.model_copy(update={"delivery": DeliverySettings(guarantee=guarantee, commit_interval_ms=20)})
    records = as_records(stock_ticks(100))
    async with served(made, make_model()) as service:
        await until(lambda: service.ready()[0])
        feeding = asyncio.create_task(feed(made, records))
        checked = []
        while not feeding.done():
            report = await verify(made, make_model())
            assert report.is_clean, report
            assert report.counts == {}
            assert not any("transaction" in note for one in report.partitions for note in one.notes)
            checked.append(report.total("checked"))
        await until(lambda: ticks_done(service) >= len(records))
    assert len(set(checked)) > 2
    assert (await verify(made, make_model())).total("checked") == len(records)


async def feed(settings: Settings, records: list[OutRecord]) -> None:
    """Some at a time."""
    appender = Appender(settings)
    for at in range(0, len(records), 5):
        await appender.append(settings.input.topic, records[at : at + 5])
        await asyncio.sleep(0.04)
    await appender.stop()


async def test_an_output_that_was_tampered_with_is_not_clean_and_each_fault_is_named(
    settings: SettingsFactory, tmp_path: Path
) -> None:
    made = await settings(PARTITIONS)
    await serve(made, 40)
    output = made.output.model_copy(update={"topic": f"{made.output.topic}-2"})
    forged = made.model_copy(update={"output": output})
    await create_topic(forged.kafka, output.topic, PARTITIONS)
    first = [record async for record in whole(made, made.output.topic, 0)]
    rest = [record async for record in whole(made, made.output.topic, 1)]
    first[30] = first[30]._replace(value=first[30].value.replace(b'"steps":', b'"steps":1'))
    gone = first.pop(7)
    rest.append(rest[3])
    appender = Appender(forged)
    await appender.append(output.topic, [OutRecord(*record[:1], *record[2:]) for record in (*first, *rest)])
    await appender.stop()
    report = await verify(forged, make_model())
    assert report.counts == {"missing": 1, "doubled": 1, "differing": 1}
    assert report.faults == {"missing": 1, "differing": 1}
    save_bundle(make_model(), tmp_path / "model")
    code, said, _ = await command(forged, tmp_path / "model")
    assert code == 1
    missing = dict(gone.headers)["src-offset"].decode()
    assert f"source offset {missing}, stream {gone.key.decode()}: expected" in said
    assert "state.steps" in said
    assert "NOT CLEAN: 2 faults" in said


async def test_a_missing_topic_is_an_error_of_the_broker(settings: SettingsFactory, tmp_path: Path) -> None:
    made = await settings(1)
    save_bundle(make_model(), tmp_path / "model")
    code, _, complained = await command(made, tmp_path / "model")
    assert code == 5
    assert f"topic {made.output.topic} does not exist" in complained


async def whole(settings: Settings, topic: str, partition: int):
    """All records of a log."""
    extent = await log_extent(settings, topic, partition)
    async for records in read_whole(settings, topic, partition, extent.start, extent.stop, 1000):
        for record in records:
            assert type(record) is Record
            yield record
