"""`streamrnn demo` as it is typed: wrong options, a whole play, Ctrl-C at every stage, and what is left behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamrnn.cli import main
from streamrnn.demo.recorded import load_recorded

PATIENCE_S = 60.0
PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from streamrnn.cli import main
{}
sys.exit(main())
"""
"""A shell that starts tests in the background has them ignore Ctrl-C, and with them what they start."""
BRIEFLY = """
from dataclasses import replace
from functools import partial
from streamrnn.demo import first_model
first_model.train = partial(first_model.train, recipe=replace(first_model.RECIPE, epochs=2))
"""


@contextmanager
def demo(temporary: Path, *options: str, first: str = "") -> Iterator["subprocess.Popen[str]"]:
    """The command as a process in a pipe, whose temporary files lie in a folder of its own."""
    command = [sys.executable, "-c", PROGRAM.format(first), "demo", *options]
    environment = os.environ | {"TMPDIR": str(temporary), "COLUMNS": "80"}
    process = subprocess.Popen(command, stdout=-1, stderr=-1, text=True, env=environment, encoding="utf-8")
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_until(process: "subprocess.Popen[str]", text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"it ended before it said {text!r}: {process.communicate()}")


def check_nothing_is_left(temporary: Path) -> None:
    """Neither a process that knows the folder nor a file in it; torch makes a folder for its own cache."""
    assert [path.name for path in temporary.iterdir() if not path.name.startswith("torchinductor")] == []
    mark = f"TMPDIR={temporary}\0".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            assert mark not in (folder / "environ").read_bytes() + b"\0", (folder / "cmdline").read_bytes()
        except OSError:  # it has ended, or is another user's
            continue


@pytest.mark.parametrize("speed", ["0", "-5", "nan", "inf", "fast", ""])
def test_a_speed_that_is_none_is_one_line(speed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", f"--speed={speed}"]) == 2
    assert capsys.readouterr() == ("", f"streamrnn: --speed {speed}: a number of ticks a second, or max\n")


@pytest.mark.parametrize("seconds", ["0", "-5", "nan", "inf"])
def test_a_time_that_is_none_is_one_line(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", f"--seconds={seconds}"]) == 2
    assert capsys.readouterr() == ("", f"streamrnn: --seconds {seconds}: must be a number above 0\n")


def test_a_time_that_is_no_number_is_told_with_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--seconds", "soon"])
    assert ended.value.code == 2
    assert "--seconds: invalid float value: 'soon'" in capsys.readouterr().err.splitlines()[-1]


def test_a_play_shows_all_seven_streams_and_has_a_prediction_for_every_tick(tmp_path: Path) -> None:
    with demo(tmp_path, "--seconds", "3", "--no-live", first=BRIEFLY) as process:
        out, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, err) == (0, "")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if "│" in line]
    ticks = {name: int(count.replace(",", "")) for name, _, count, *_ in rows}
    recorded = {one.stream: one for one in load_recorded()}
    assert set(ticks) == set(recorded)
    assert {name: unit for name, unit, *_ in rows} == {name: one.unit for name, one in recorded.items()}
    played = re.findall(r"^([\d,]+) of ([\d,]+) ticks", out, re.MULTILINE)[-1]
    assert f"{sum(ticks.values()):,}" == played[0]
    assert out.endswith("every tick has its prediction\n")
    trained, to_play = re.findall(r"([\d,]+) ticks to train on, ([\d,]+) to play", out)[0]
    assert to_play == played[1]
    sizes = [int(count.replace(",", "")) for count in (trained, to_play)]
    assert sum(sizes) == sum(len(one.values) for one in recorded.values())
    check_nothing_is_left(tmp_path)


@pytest.mark.parametrize(
    ("said", "first"),
    [("training epoch 1/", ""), ("training epoch 2/2", BRIEFLY), (" ticks/s", BRIEFLY)],
    ids=["training", "starting", "playing"],
)
def test_ctrl_c_ends_it_promptly_and_nothing_of_it_stays(tmp_path: Path, said: str, first: str) -> None:
    with demo(tmp_path, "--seconds", "50", first=first) as process:
        read_until(process, said)
        began_s = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert time.monotonic() - began_s < 10
        assert process.returncode == 130, err
        assert "Traceback" not in err
    assert "without a prediction" not in out
    check_nothing_is_left(tmp_path)
