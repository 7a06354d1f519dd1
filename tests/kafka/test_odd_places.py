"""Where a daemon may have to live, and what its streams may be called: on the embedded broker.

What was tried of odd places and rough handling, what happens, and which test holds it (chaos: tests/chaos):

| tried | what happens | test |
| --- | --- | --- |
| two workers of one kafka.group_instance_id | older ends with exit code 7, newer goes on | chaos/test_names |
| two of one delivery.transactional_id | the same | chaos/test_names |
| a worker frozen, its name taken, woken | ends with 7, its successor notices nothing | chaos/test_names |
| topic deleted | not ready at once, exit code 5 after 10 s | chaos/test_topics_made_anew |
| topic made anew, also with fewer partitions | exit code 5; next start begins anew | chaos/test_topics_made_anew |
| offsets set back by Kafka's tool | answered again, same bits | chaos/test_offsets_moved |
| offsets set forward | what is passed over is stepped, not answered | chaos/test_offsets_moved |
| offsets deleted or expired | begins at input.start; the way back is told | chaos/test_offsets_moved |
| records deleted before they were read | warm-up, or exit code 6: snapshots.on_gap | chaos/test_offsets_moved |
| read-only root, /tmp too | serves; the compiled step is not kept | here (chaos) |
| HOME unset, or a folder that is not there | serves | here |
| 64 file descriptors | serves: it has some 20 open | here |
| 256 partitions, a restart with snapshots, 64 descriptors | serves with 21 open, 390 MB | by hand |
| records stamped 5 minutes ahead or behind | latency 0 with a warning, or 300 s; none negative | here |
| stream names with slashes, spaces, %, ?, #, umlauts, 200 characters | found by URL and inspect | here |
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from signal import SIGTERM
from urllib.parse import quote

import pytest

from streamrnn.config import Settings
from streamrnn.kafka.writing.appending import Appender
from streamrnn.ticks import OutRecord

from .conftest import SettingsFactory, embedded_only
from .served import start

pytestmark = embedded_only
NAMES = (
    "plant/line 1/sensor", "/leading", "trailing/", "100%", "%2F", "a+b c", "a?b=c&d#e", "..", "Größe/温度",
    "🙂" * 50, "n" * 200, "new\nline", '"quoted"', "a;b", "\\", "s",
)  # fmt: skip


async def publish(settings: Settings, names: Sequence[str] = ("s",), shift_s: float = 0.0) -> None:
    now_ms = int((time.time() + shift_s) * 1000)
    values = [json.dumps({"time": n, "x": n}).encode() for n in range(len(names))]
    records = [OutRecord(0, now_ms, name.encode(), value) for name, value in zip(names, values, strict=True)]
    appender = Appender(settings)
    await appender.start()
    await appender.append(settings.input.topic, records)
    await appender.stop()


async def test_streams_are_found_by_url_and_by_inspect_whatever_they_are_called(
    settings: SettingsFactory, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    s = await settings(partitions=1)
    await publish(s, NAMES)
    async with start(s, bundle) as served:
        await served.until_metric("streamrnn_predictions_total", len(NAMES))
        port = served.log().partition("http on 127.0.0.1:")[2].split()[0]
        for number, name in enumerate(NAMES):
            status, body = await served.get(f"/streams/{quote(name, safe='')}")
            assert status == 200, name
            found = json.loads(body)
            assert (found["stream"], found["last_offset"]) == (name, number)
            status, body = await served.get(f"/streams?prefix={quote(name, safe='')}")
            assert name in {each["stream"] for each in json.loads(body)}
        for name in ("plant/line 1/sensor", "100%", "🙂" * 50, "n" * 200, ".."):
            done = await inspected(port, name)
            assert json.loads(done)["stream"] == name
        assert await served.get("/streams/no/such") == (404, '{"error": "no such stream here"}')


async def inspected(port: str, name: str) -> str:
    """What `streamrnn inspect NAME --json` prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streamrnn", "inspect", name, "--json", "--url", f"http://127.0.0.1:{port}"),
        stdout=subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, name
    return out.decode()


def read_only() -> tuple[str, ...]:
    """What starts a program that can write nowhere; the test is skipped where that cannot be had."""
    shut = "mount -o remount,bind,ro / && for each in /tmp /var /run /dev/shm; do "
    shut += "mountpoint -q $each && mount -o remount,bind,ro $each; done; touch /tmp/w 2>/dev/null && exit 99; "
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("a read-only root takes unshare and root")
    prefix = ("unshare", "-m", "sh", "-c", shut + 'exec "$0" "$@"')
    if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("no mount of one's own here")
    return prefix


ODD = {
    "HOME unset": ("env", "-u", "HOME"),
    "no such HOME": ("env", "HOME=/nonexistent", "XDG_CACHE_HOME=/nonexistent/cache"),
    "64 descriptors": ("sh", "-c", 'ulimit -n 64; exec "$0" "$@"'),
}


@pytest.mark.parametrize("prefix", ODD.values(), ids=ODD)
async def test_it_serves_in_odd_places(settings: SettingsFactory, bundle: Path, prefix: tuple[str, ...]) -> None:
    s = await settings(partitions=2)
    await publish(s, ["a", "b", "c"])
    async with start(s, bundle, prefix=prefix) as served:
        await served.until_metric("streamrnn_predictions_total", 3)
        await served.until_ready()
        assert await served.stop(SIGTERM) == 0, served.log()
    assert "Traceback" not in served.log()


@pytest.mark.chaos
@pytest.mark.timeout(240)
async def test_it_serves_where_nothing_can_be_written(settings: SettingsFactory, bundle: Path) -> None:
    """The CPU step is compiled at each start there, which takes its time and is said."""
    s = await settings(partitions=2)
    await publish(s, ["a", "b", "c"])
    async with start(s, bundle, prefix=read_only()) as served:
        async with asyncio.timeout(180):
            while "bytes a stream" not in served.log():
                assert served.is_running(), served.log()
                await asyncio.sleep(0.1)
        assert "the compiled CPU step is not kept for the next start (see NUMBA_CACHE_DIR)" in served.log()
        await served.until_metric("streamrnn_predictions_total", 3)
        await served.until_ready()
        assert await served.stop(SIGTERM) == 0, served.log()
    assert "Traceback" not in served.log()


@pytest.mark.parametrize("shift_s", [300.0, -300.0], ids=["ahead", "behind"])
async def test_a_clock_that_is_five_minutes_off_makes_no_number_negative(
    settings: SettingsFactory, bundle: Path, shift_s: float
) -> None:
    s = await settings(partitions=1)
    await publish(s, ["a", "b", "c"], shift_s)
    async with start(s, bundle) as served:
        await served.until_metric("streamrnn_predictions_total", 3)
        mean_s = await served.metric("streamrnn_latency_seconds_sum") / 3
        lag_s = await served.metric('streamrnn_lag_seconds{partition="0"}')
        is_said = "ahead of this machine's clock" in served.log()
    assert is_said == (shift_s > 0)
    assert mean_s == 0 if shift_s > 0 else 300 <= mean_s < 400
    assert lag_s >= 0
