"""Retrain jobs as real processes: how they end, what is kept of what they say, and that nothing of them stays."""

import asyncio
import json
import logging
import os
import re
import shlex
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from streamrnn.config import Settings
from streamrnn.metrics import Metrics
from streamrnn.retrainer import DEFAULT_COMMAND, KEPT_BYTES, KEPT_LINES, Retrainer

SECRET = "hunter2secret"
Make = Callable[..., Retrainer]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Retrainers of a Python program, closed at the end; at most a second between SIGTERM and SIGKILL."""
    made: list[Retrainer] = []

    def build(program: str = "", metrics: Metrics | None = None, **retrain: Any) -> Retrainer:
        command = shlex.join([sys.executable, "-u", "-c", program])
        options = {"token": SECRET, "command": command, "min_interval_s": 0.0} | retrain
        settings = Settings(retrain=options, limits={"shutdown_budget_s": 2.0})
        made.append(Retrainer(settings, metrics or Metrics()))
        return made[-1]

    yield build
    for each in made:
        await each.close()


async def ended(retrainer: Retrainer, seconds: float = 20.0) -> dict[str, Any]:
    async with asyncio.timeout(seconds):
        while retrainer.is_running():
            await asyncio.sleep(0.01)
    return retrainer.state()


async def said(retrainer: Retrainer, line: str) -> None:
    async with asyncio.timeout(20):
        while line not in retrainer.state()["lines"]:
            await asyncio.sleep(0.01)


def has_ended(pid: int) -> bool:
    """One that waits to be reaped has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def is_gone(pid: int) -> bool:
    """Whether a process ends soon."""
    for _ in range(200):
        if has_ended(pid):
            return True
        await asyncio.sleep(0.01)
    return False


def exposed(metrics: Metrics, name: str) -> float | None:
    found = re.search(rf"^{re.escape(name)} (\S+)$", metrics.text().decode(), re.MULTILINE)
    return float(found[1]) if found else None


async def test_before_the_first_there_is_none(make: Make) -> None:
    retrainer = make()
    assert not retrainer.is_running()
    assert retrainer.wait_s() == 0
    assert retrainer.state() == {
        "state": "idle",
        "number": 0,
        "started": None,
        "seconds": None,
        "exit_code": None,
        "lines": [],
    }
    await retrainer.close()


async def test_one_that_ends_well_is_a_success(make: Make) -> None:
    metrics = Metrics()
    retrainer = make("print('one'); print('two'); import time; time.sleep(0.3)", metrics)
    assert exposed(metrics, "streamrnn_retrain_running") == 0
    assert await retrainer.start() == 1
    assert retrainer.is_running()
    assert exposed(metrics, "streamrnn_retrain_running") == 1
    running = retrainer.state()
    assert (running["state"], running["exit_code"]) == ("running", None)
    state = await ended(retrainer)
    assert (state["state"], state["number"], state["exit_code"]) == ("succeeded", 1, 0)
    assert state["lines"] == ["one", "two"]
    assert 0.3 <= state["seconds"] < 10
    assert retrainer.state()["seconds"] == state["seconds"], "it stands still afterwards"
    assert state["started"].startswith(time.strftime("%Y-", time.gmtime()))
    assert exposed(metrics, "streamrnn_retrain_running") == 0
    assert exposed(metrics, 'streamrnn_retrain_runs_total{outcome="succeeded"}') == 1
    assert exposed(metrics, "streamrnn_retrain_last_duration_seconds") == state["seconds"]
    assert abs((exposed(metrics, "streamrnn_retrain_last_success_timestamp_seconds") or 0) - time.time()) < 5


async def test_one_that_fails_is_a_failure_and_the_next_may_do_better(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    metrics = Metrics()
    retrainer = make("import sys; print('why\\x1b[2J', file=sys.stderr); sys.exit(3)", metrics)
    await retrainer.start()
    state = await ended(retrainer)
    assert (state["state"], state["exit_code"], state["lines"]) == ("failed", 3, ["why\x1b[2J"])
    assert r"retrain job 1 failed after 0 s, exit code 3: why\x1b[2J" in caplog.text
    assert exposed(metrics, 'streamrnn_retrain_runs_total{outcome="failed"}') == 1
    assert exposed(metrics, "streamrnn_retrain_last_success_timestamp_seconds") is None
    assert await retrainer.start() == 2
    await ended(retrainer)


async def test_a_command_that_is_not_there_fails_and_says_so(make: Make) -> None:
    retrainer = make(command="/nowhere/retrain --x")
    await retrainer.start()
    state = await ended(retrainer)
    assert (state["state"], state["exit_code"]) == ("failed", 127)
    assert state["lines"] == ["cannot run /nowhere/retrain: No such file or directory"]


async def test_it_has_lower_priority_a_session_of_its_own_and_nothing_to_read(make: Make) -> None:
    program = "import os, sys; print(os.nice(0), os.getsid(0) == os.getpid(), repr(sys.stdin.read()))"
    retrainer = make(program, nice=7)
    await retrainer.start()
    assert (await ended(retrainer))["lines"] == [f"{min(19, os.nice(0) + 7)} True ''"]


@pytest.mark.parametrize("ignores", [False, True])
async def test_one_that_takes_too_long_is_ended_with_force_if_need_be(make: Make, ignores: bool) -> None:
    metrics = Metrics()
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN)" if ignores else "0"
    retrainer = make(f"import signal, time; {ignore}; print('up'); time.sleep(60)", metrics, timeout_s=0.7)
    began = time.monotonic()
    await retrainer.start()
    state = await ended(retrainer)
    assert time.monotonic() - began < 5
    assert (state["state"], state["exit_code"]) == ("failed", -9 if ignores else -15)
    assert state["lines"] == ["up", "streamrnn: not finished after 1 s"]
    assert exposed(metrics, 'streamrnn_retrain_runs_total{outcome="timed_out"}') == 1


FAMILY = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", deaf])
print(child.pid)
print("up")
time.sleep({seconds})
"""


async def test_the_end_of_the_daemon_is_the_end_of_the_job_and_its_children(make: Make) -> None:
    retrainer = make(FAMILY.format(seconds=60))
    await retrainer.start()
    await said(retrainer, "up")
    child = int(retrainer.state()["lines"][0])
    began = time.monotonic()
    await asyncio.gather(retrainer.close(), retrainer.close())
    assert time.monotonic() - began < 4
    state = retrainer.state()
    assert (state["state"], state["exit_code"], state["lines"][-1]) == ("failed", -9, "streamrnn: the daemon ends")
    assert await is_gone(child)


async def test_it_ends_when_the_stop_is_set_not_when_all_else_has_ended(make: Make) -> None:
    retrainer, stop = make("import time; print('up'); time.sleep(60)"), asyncio.Event()
    closing = asyncio.create_task(retrainer.close_when(stop))
    await retrainer.start()
    await said(retrainer, "up")
    stop.set()
    assert (await ended(retrainer))["exit_code"] == -15
    await closing
    assert retrainer.is_closed


async def test_children_that_a_job_leaves_behind_end_with_it_and_are_not_waited_for(make: Make) -> None:
    retrainer = make(FAMILY.format(seconds=0))
    await retrainer.start()
    state = await ended(retrainer, 10)
    assert state["state"] == "succeeded"
    assert await is_gone(int(state["lines"][0]))


@pytest.mark.parametrize("has_shell", [False, True])
async def test_the_job_dies_with_a_daemon_that_is_killed(tmp_path: Path, has_shell: bool) -> None:
    """And so does what a shell runs for it."""
    daemon = tmp_path / "daemon.py"
    daemon.write_text(
        "import asyncio, sys\n"
        "from streamrnn.config import Settings\n"
        "from streamrnn.metrics import Metrics\n"
        "from streamrnn.retrainer import Retrainer\n"
        "async def main():\n"
        "    await Retrainer(Settings(retrain={'command': sys.argv[1]}), Metrics()).start()\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    note = tmp_path / "pid"
    job = f"import os, time; open({str(note)!r} + '~', 'w').write(str(os.getpid())); "
    job += f"os.rename({str(note)!r} + '~', {str(note)!r}); time.sleep(60)"
    command = shlex.join([sys.executable, "-c", job])
    if has_shell:
        command = shlex.join(["sh", "-c", f"{command}; true"])
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(daemon), command, env=os.environ | {"PYTHONPATH": os.getcwd()}
    )
    async with asyncio.timeout(30):
        while not note.exists():
            await asyncio.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    assert await is_gone(int(note.read_text()))


async def test_of_a_lot_of_output_the_last_lines_are_kept_and_the_loop_goes_on(make: Make) -> None:
    retrainer = make("for n in range(200_000): print('line', n)\nprint('é' * 50 + ' end')")
    await retrainer.start()
    laziest = 0.0
    async with asyncio.timeout(60):
        while retrainer.is_running():
            before = time.monotonic()
            await asyncio.sleep(0.01)
            laziest = max(laziest, time.monotonic() - before)
            assert retrainer._job is not None
            assert len(retrainer._job._kept) <= KEPT_BYTES
    lines = retrainer.state()["lines"]
    assert lines == [f"line {n}" for n in range(200_001 - KEPT_LINES, 200_000)] + ["é" * 50 + " end"]
    assert laziest < 0.5


async def test_one_endless_line_shows_nothing_and_a_bar_shows_its_last(make: Make) -> None:
    retrainer = make("print('x' * 100_000, end='')")
    await retrainer.start()
    assert (await ended(retrainer))["lines"] == []
    retrainer = make("for n in range(5): print(f'\\repoch {n}', end='')")
    await retrainer.start()
    assert (await ended(retrainer))["lines"][-1] == "epoch 4"


async def test_a_start_is_allowed_again_after_the_interval(make: Make) -> None:
    retrainer = make("import time; time.sleep(0.2)", min_interval_s=0.6)
    await retrainer.start()
    assert 0.5 < retrainer.wait_s() <= 0.6
    await ended(retrainer)
    assert 0 < retrainer.wait_s() < 0.5, "it counts from the start"
    await asyncio.sleep(retrainer.wait_s())
    assert retrainer.wait_s() == 0
    assert await retrainer.start() == 2
    await ended(retrainer)


async def test_secrets_are_in_no_line_and_no_log(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for pad in (0, KEPT_BYTES - 20, KEPT_BYTES - 5):
        retrainer = make(f"print('a {SECRET} b ' + 'x' * {pad}); print('token={SECRET}')")
        await retrainer.start()
        state = await ended(retrainer)
        assert state["lines"][-1] == "token=**********"
        assert "secret" not in json.dumps(state)
    assert caplog.text.count("retrain job 1 succeeded") == 3
    assert SECRET not in caplog.text


async def test_a_secret_that_begins_as_another_and_one_half_said_are_not_shown() -> None:
    program = f"import time; print('all {SECRET}\\nhalf {SECRET[:8]}', end='', flush=True); time.sleep(60)"
    command = shlex.join([sys.executable, "-c", program])
    kafka = {"sasl_password": SECRET[:7], "oauth_token": SECRET}
    retrainer = Retrainer(Settings(kafka=kafka, retrain={"command": command}), Metrics())
    await retrainer.start()
    try:
        await said(retrainer, "all **********")
        assert retrainer.state()["lines"] == ["all **********"]
    finally:
        await retrainer.close()
    assert retrainer.state()["lines"][0] == "all **********"


async def test_the_default_is_our_own_retrain_by_the_same_interpreter() -> None:
    assert (sys.executable, "-m", "streamrnn", "retrain") == DEFAULT_COMMAND
    retrainer = Retrainer(Settings(), Metrics(), [sys.executable, "-c", "print('by default')"])
    await retrainer.start()
    state = await ended(retrainer)
    assert (state["state"], state["lines"]) == ("succeeded", ["by default"])


async def test_no_two_run_at_once_however_close_they_are_asked_for(make: Make) -> None:
    retrainer = make("import time; time.sleep(60)")
    starting = asyncio.create_task(retrainer.start())
    await asyncio.sleep(0)
    assert retrainer.is_running(), "from the moment it is asked for"
    await retrainer.close()
    assert await starting == 1
    assert not retrainer.is_running()
    assert retrainer.state()["lines"] == ["streamrnn: the daemon ends"], "one that is being launched is ended too"


async def test_where_no_process_can_be_started_none_was(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_place(*_: str, **__: Any) -> Any:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    retrainer, before = make("print('up')"), len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "create_subprocess_exec", no_place)
        with pytest.raises(BlockingIOError):
            await retrainer.start()
    assert len(os.listdir("/proc/self/fd")) == before
    assert (retrainer.is_running(), retrainer.wait_s(), retrainer.state()["number"]) == (False, 0.0, 0)
    assert await retrainer.start() == 1
    assert (await ended(retrainer))["state"] == "succeeded"
