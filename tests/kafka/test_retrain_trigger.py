"""A daemon that is told to retrain over HTTP, as its own process: it serves on, and the job ends with it."""

import json
import os
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from .conftest import SettingsFactory, embedded_only
from .served import Served, start
from .test_service import publish, ticks

pytestmark = embedded_only
TOKEN = "hunter2secret"
ALERT = json.dumps({"version": "4", "status": "firing", "alerts": []})


def command(program: str) -> str:
    return "--retrain.command=" + shlex.join([sys.executable, "-u", "-c", program])


async def told(served: Served, method: str = "POST", body: str = ALERT, token: str = TOKEN) -> tuple[int, Any]:
    await served.until_log("http on")
    status, said = await served.ask(method, "/retrain", body, Authorization=f"Bearer {token}")
    return status, json.loads(said)


async def test_it_serves_on_while_it_retrains_and_the_job_ends_with_it(
    settings: SettingsFactory, bundle: Path
) -> None:
    s = await settings(partitions=2)
    job = "import os, signal, time; signal.signal(15, signal.SIG_IGN); print(os.getpid()); time.sleep(90)"
    async with start(s, bundle, command(job), STREAMRNN_RETRAIN__TOKEN=TOKEN) as served:
        assert await told(served) == (202, {"number": 1})
        assert await told(served) == (409, {"error": "job 1 is running"})
        await publish(s, ticks(50))
        await served.until_metric("streamrnn_predictions_total", 50)
        assert await served.metric("streamrnn_retrain_running") == 1
        _, state = await told(served, "GET", "")
        assert state["state"] == "running"
        stopped_at = time.monotonic()
        assert await served.stop(signal.SIGTERM) == 0, served.log()
        assert time.monotonic() - stopped_at < 10
    with pytest.raises(ProcessLookupError):
        os.kill(int(state["lines"][0]), 0)
    assert "retrain job 1 failed" in served.log()


async def test_a_job_has_the_daemons_settings_and_its_end_is_shown(settings: SettingsFactory, bundle: Path) -> None:
    s = await settings(partitions=1)
    job = "from streamrnn.config import load_settings; s = load_settings(); "
    job += "print(s.input.topic, s.model.path, s.retrain.token)"
    flags = (command(job), "--retrain.min_interval_s=60", "--kafka.sasl_password=" + TOKEN)
    async with start(s, bundle, *flags, STREAMRNN_RETRAIN__TOKEN=TOKEN) as served:
        assert await told(served, body='{"status": "resolved"}') == (200, {"ignored": "the alert is not firing"})
        assert (await told(served))[0] == 202
        await served.until_log("retrain job 1 succeeded")
        _, state = await told(served, "GET", "")
        assert (state["state"], state["exit_code"]) == ("succeeded", 0)
        assert state["lines"] == [f"{s.input.topic} {bundle} None"]
        assert (await told(served))[0] == 429
        assert (await told(served, token="x"))[0] == 403
        assert await served.metric('streamrnn_retrain_runs_total{outcome="succeeded"}') == 1
        pages = [await served.get(path) for path in ("/status", "/metrics", "/retrain", "/nowhere")]
        assert pages[2][0] == 401
        assert await served.stop(signal.SIGTERM) == 0
    assert TOKEN not in served.log() + str(pages) + str(state)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_without_a_token_there_is_nothing_to_tell(
    settings: SettingsFactory, bundle: Path, method: str
) -> None:
    async with start(await settings(partitions=1), bundle) as served:
        await served.until_log("http on")
        assert (await served.ask(method, "/retrain", ""))[0] == 404
        assert await served.stop(signal.SIGTERM) == 0
