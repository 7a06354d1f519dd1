"""A retrain job that is told to end leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_job_told_to_end_puts_its_history_away(number: signal.Signals, tmp_path: Path) -> None:
    rows = [f"{1_700_000_000 + i},{i % 17}" for i in range(20_000)]
    (tmp_path / "long.csv").write_text("\n".join(["time,value", *rows]))
    spool = tmp_path / "tmp"
    spool.mkdir()
    words = ["retrain", "long.csv", "--bundle", "out", "--epochs", "1000", "--patience", "1000", "--no-live"]
    job = subprocess.Popen(
        [sys.executable, "-m", "streamrnn", *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(spool)},
        text=True,
    )
    assert job.stdout is not None
    while "epoch 2/" not in (line := job.stdout.readline()):
        assert line, "it ended before its second epoch"
    assert [path.name.split("-")[1] for path in spool.glob("streamrnn-*")] == ["history"]
    began = time.monotonic()
    job.send_signal(number)
    _, said = job.communicate(timeout=20)
    assert time.monotonic() - began < 10
    assert job.returncode == 128 + number
    assert "Traceback" not in said
    assert list(spool.glob("streamrnn-*")) == []
    assert not (tmp_path / "out").exists()
