"""`streamrnn serve` as its own process on the embedded broker: how it starts, refuses, waits and ends."""

import asyncio
import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from streamrnn.cli import main
from streamrnn.config import Settings
from streamrnn.demo.embedded_broker import EmbeddedBroker
from streamrnn.kafka.admin import create_topic
from streamrnn.kafka.writing.appending import Appender
from streamrnn.ticks import OutRecord

from .conftest import SettingsFactory, embedded_only
from .served import Served, positions_of, start

pytestmark = embedded_only
COUNT = 40_000


def ticks(count: int, partitions: int = 2) -> list[OutRecord]:
    return [
        OutRecord(n % partitions, 1_000 + n, b"s%d" % (n % 7), json.dumps({"time": n, "x": n % 11}).encode())
        for n in range(count)
    ]


async def publish(settings: Settings, records: list[OutRecord]) -> None:
    appender = Appender(settings)
    await appender.start()
    await appender.append(settings.input.topic, records)
    await appender.stop()


def crash(broker: EmbeddedBroker) -> None:
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGKILL)


async def test_sigterm_under_load_ends_in_time_and_a_restart_does_nothing_twice(
    settings: SettingsFactory, bundle: Path
) -> None:
    s = await settings(partitions=2)
    await publish(s, ticks(COUNT))
    async with start(s, bundle, "--input.max_poll_records=200") as served:
        await served.until_metric("streamrnn_predictions_total", 2000)
        stopped_at = time.monotonic()
        assert await served.stop(signal.SIGTERM) == 0, served.log()
        assert time.monotonic() - stopped_at < 10
    before = await positions_of(s)
    assert 2000 <= len(before) < COUNT, "it was ended under load"
    async with start(s, bundle) as served:
        await served.until_metric("streamrnn_predictions_total", COUNT - len(before))
        assert await served.stop(signal.SIGINT) == 0, served.log()
    assert sorted(await positions_of(s)) == [(p, n) for p in (0, 1) for n in range(COUNT // 2)]


async def test_a_second_signal_ends_at_once(settings: SettingsFactory, bundle: Path) -> None:
    async with EmbeddedBroker() as broker:
        s = await settings(kafka={"bootstrap": broker.bootstrap}, input={"topic": "t"})
        await create_topic(s.kafka, "t", 1)
        await publish(s, ticks(COUNT, partitions=1))
        async with start(s, bundle, "--input.max_poll_records=200") as served:
            await served.until_metric("streamrnn_predictions_total", 1000)
            crash(broker)
            await served.until_log("broker is away")
            served.signal(signal.SIGTERM)
            await served.until_log("a second signal ends at once")
            await asyncio.sleep(0.2)
            assert served.is_running(), "it waits for the broker, within its budget"
            assert await served.stop(signal.SIGTERM) == 128 + signal.SIGTERM


async def test_a_broker_that_never_comes_back_holds_the_end_up_no_longer_than_the_budget(
    settings: SettingsFactory, bundle: Path
) -> None:
    async with EmbeddedBroker() as broker:
        s = await settings(kafka={"bootstrap": broker.bootstrap}, input={"topic": "t"})
        await create_topic(s.kafka, "t", 1)
        await publish(s, ticks(COUNT, partitions=1))
        async with start(s, bundle, "--input.max_poll_records=200", "--limits.shutdown_budget_s=2") as served:
            await served.until_metric("streamrnn_predictions_total", 1000)
            crash(broker)
            await served.until_log("broker is away")
            stopped_at = time.monotonic()
            assert await served.stop(signal.SIGTERM) == 5, served.log()
            assert time.monotonic() - stopped_at < 5
    assert "not finished within the shutdown budget of 2.0 s; what was not committed will be read again" in (
        served.last_line()
    )


async def test_a_broker_that_is_late_is_waited_for(settings: SettingsFactory, bundle: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    s = await settings(kafka={"bootstrap": f"127.0.0.1:{port}"}, input={"topic": "late"})
    async with start(s, bundle) as served:
        await served.until_log("waiting for the broker")
        assert await served.get("/livez") == (200, "ok\n")
        status, why = await served.get("/readyz")
        assert status == 503
        assert "waiting for the broker" in why
        assert f"127.0.0.1:{port}" in why
        assert await served.metric("streamrnn_broker_up") == 0
        async with EmbeddedBroker(port=port):
            await create_topic(s.kafka, "late", 2)
            await publish(s, ticks(50))
            await served.until_metric("streamrnn_predictions_total", 50)
            assert await served.get("/readyz") == (200, "ok\n")
            assert await served.metric("streamrnn_broker_up") == 1
            assert await served.stop(signal.SIGTERM) == 0


async def test_a_signal_ends_the_wait_for_a_broker(settings: SettingsFactory, bundle: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        s = await settings(kafka={"bootstrap": f"127.0.0.1:{deaf.getsockname()[1]}"}, input={"topic": "t"})
        async with start(s, bundle) as served:
            await served.until_log("http on")
            await asyncio.sleep(0.3)
            stopped_at = time.monotonic()
            assert await served.stop(signal.SIGTERM) == 0
            assert time.monotonic() - stopped_at < 3


async def refused(served: Served, code: int) -> str:
    """The one line that a process leaves behind when it refuses to start."""
    assert await served.ended() == code, served.log()
    assert "Traceback" not in served.log()
    return served.last_line()


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--input.codec=xml", "input.codec"),
        ("--kafka.session_timeout_ms=0", "kafka.session_timeout_ms"),
        ("--http.port=70000", "http.port"),
        ("--kafka.ssl_cert=/nowhere", "kafka.ssl_cert and kafka.ssl_key belong together"),
        ("--config=/nowhere.toml", "/nowhere.toml: No such file"),
        ("--model.name=toy", "no model: set model.path, or model.registry and model.name"),
    ],
)
def test_wrong_settings_are_named_in_one_line(
    bootstrap: str, capfd: pytest.CaptureFixture[str], flag: str, said: str
) -> None:
    assert main(["serve", f"--kafka.bootstrap={bootstrap}", flag]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert said in err
    assert len(err.splitlines()) == 1


async def test_a_missing_authority_file_is_named(settings: SettingsFactory, bundle: Path) -> None:
    flags = ("--kafka.security_protocol=SSL", "--kafka.ssl_ca=/nowhere/ca.pem")
    async with start(await settings(), bundle, *flags) as served:
        line = await refused(served, 2)
    assert "kafka.ssl_*" in line
    assert "/nowhere/ca.pem" in line


async def test_a_damaged_bundle_is_refused(settings: SettingsFactory, bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "damaged"
    copy.mkdir()
    (copy / "model.json").write_bytes((bundle / "model.json").read_bytes())
    (copy / "model.safetensors").write_bytes((bundle / "model.safetensors").read_bytes()[:-1] + b"\x00")
    async with start(await settings(), copy) as served:
        assert str(copy) in await refused(served, 3)


async def test_a_missing_topic_is_refused_with_the_command_to_make_it(
    settings: SettingsFactory, bundle: Path
) -> None:
    async with start(await settings(input={"topic": "nowhere"}), bundle) as served:
        assert "--create --topic nowhere" in await refused(served, 5)


async def test_a_taken_port_is_refused(settings: SettingsFactory, bundle: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with start(await settings(), bundle, f"--http.port={port}") as served:
            assert f"cannot listen on 127.0.0.1:{port}" in await refused(served, 2)


async def test_secrets_are_in_no_log_line_and_no_page(settings: SettingsFactory, bundle: Path) -> None:
    flags = ("--log.level=debug", "--kafka.sasl_username=svc", "--kafka.sasl_password=hunter2secret")
    async with start(await settings(), bundle, *flags) as served:
        await served.until_ready()
        pages = [await served.get(path) for path in ("/status", "/metrics", "/readyz", "/nowhere", "/streams")]
        assert await served.stop(signal.SIGTERM) == 0
    assert "hunter2secret" not in served.log() + str(pages)
