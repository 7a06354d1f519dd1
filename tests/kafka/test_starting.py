"""A daemon whose model is slow to load, in a process of its own: it listens first, and stops when told."""

import asyncio
import json
import signal
import time
from pathlib import Path

import pytest

from streamrnn.config import Settings

from .served import PATIENCE_S, Served, start

SLOW = """
import os, sys, time
import streamrnn.service as service
from streamrnn.cli import main

def when_let(name, call):
    def wait(*arguments):
        while not os.path.exists(os.path.join(os.environ["GATES"], name)):
            time.sleep(0.02)
        return call(*arguments)
    return wait

service.load_model = when_let("load", service.load_model)
service._make_line = when_let("compile", service._make_line)
sys.exit(main())
"""
"""Serves, but loads and compiles no sooner than the files of these names are there."""
NOBODY = Settings(kafka={"bootstrap": "127.0.0.1:1", "acks_idempotent": False})


async def until_it_waits_for(served: Served, what: str) -> None:
    """Compiling takes as long as it takes elsewhere, and longer where it is the first time."""
    async with asyncio.timeout(PATIENCE_S):
        while not (await served.get("/readyz"))[1].startswith(what):
            await asyncio.sleep(0.05)


async def test_it_answers_from_the_beginning_and_says_what_it_waits_for(bundle: Path, tmp_path: Path) -> None:
    async with start(NOBODY, bundle, program=SLOW, GATES=str(tmp_path)) as served:
        await served.until_log("http on")
        assert await served.get("/livez") == (200, "ok\n")
        assert await served.get("/readyz") == (503, "loading the model\n")
        status = json.loads((await served.get("/status"))[1])
        assert (status["model"], status["ready"], status["streams"]) == (None, False, 0)
        assert await served.get("/streams") == (200, "[]")
        assert (await served.get("/streams/pump"))[0] == 404
        assert "streamrnn_ticks_total 0.0" in (await served.get("/metrics"))[1]
        (tmp_path / "load").touch()
        await until_it_waits_for(served, "compiling the step\n")
        (tmp_path / "compile").touch()
        await until_it_waits_for(served, "waiting for the broker")
        assert json.loads((await served.get("/status"))[1])["model"] == "toy@1"
        assert await served.stop(signal.SIGTERM) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_load(bundle: Path, tmp_path: Path, number: signal.Signals) -> None:
    async with start(NOBODY, bundle, program=SLOW, GATES=str(tmp_path)) as served:
        await served.until_log("http on")
        stopped_at = time.monotonic()
        assert await served.stop(number) == 0, served.log()
        assert time.monotonic() - stopped_at < 6


async def test_a_load_that_fails_ends_the_process_with_the_errors_own_code(tmp_path: Path) -> None:
    async with start(NOBODY, tmp_path / "nowhere", program=SLOW, GATES=str(tmp_path)) as served:
        await served.until_log("http on")
        assert (await served.get("/livez"))[0] == 200
        (tmp_path / "load").touch()
        assert await served.ended() == 3, served.log()
        assert "nowhere" in served.last_line()
        assert "Traceback" not in served.log()
