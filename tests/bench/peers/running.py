"""Runs one contestant over the backlog and measures it from outside: what the output topic has, what /proc says.

The same clock for all: a run's steady middle, by records that the broker has in the output topic.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from confluent_kafka import Consumer, KafkaException, TopicPartition

from streamrnn.bench.job import Measured
from streamrnn.bench.progress import Progress
from streamrnn.errors import EngineError
from streamrnn.process.children import tied
from tests.bench.peers.field import Contestant
from tests.bench.peers.net import Task

ROOT = Path(__file__).parents[3]
LOOK_S = 0.03
START_S = 90.0
"""A first start may compile, a group's first member may have to wait."""


def missing(python: str, contestant: Contestant) -> str | None:
    """Why a contestant cannot run under this interpreter; None if it can."""
    for module in contestant.needs:
        command = [python, "-W", "ignore", "-c", f"import {module}"]
        tried = subprocess.run(command, capture_output=True, text=True, check=False)
        if tried.returncode:
            return tried.stderr.strip().splitlines()[-1]
    return None


class Ends:
    """How many records a topic has."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self._client = Consumer({"bootstrap.servers": bootstrap, "group.id": "ends", "log_level": 2})
        self._parts = [TopicPartition(topic, number) for number in range(partitions)]

    def settled(self) -> list[int]:
        """As each(), of a topic so new that its leaders may not know of it yet."""
        for _ in range(100):
            with suppress(KafkaException):
                return self.each()
            time.sleep(0.1)
        return self.each()

    def each(self) -> list[int]:
        """By partition, transaction markers included."""
        return [self._client.get_watermark_offsets(part, timeout=10)[1] for part in self._parts]

    def close(self) -> None:
        """Let the client go."""
        self._client.close()


def measure(contestant: Contestant, python: str, task: Task, ticks: int, limit_s: float) -> Measured:
    """One run, ended when the output has `ticks` more records or `limit_s` after the first of them."""
    ends = Ends(task.bootstrap, task.output, task.partitions)
    before = sum(ends.settled())
    try:
        with _running(contestant, python, task) as process:
            done = asyncio.Event()
            progress = Progress(ticks, limit_s, done, cpu=lambda: _cpu_s(process.pid))
            seen, patience = 0, time.monotonic() + START_S
            while not done.is_set():
                time.sleep(LOOK_S)
                count = sum(ends.each()) - before
                progress.published(range(count - seen))
                seen = count
                if process.poll() is not None or (not seen and time.monotonic() > patience):
                    raise EngineError(f"{contestant.name} ended or stood still after {seen} of {ticks} ticks")
            return progress.measured()
    finally:
        ends.close()


def _cpu_s(pid: int) -> float:
    """User and system time of a process, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _running(contestant: Contestant, python: str, task: Task) -> Iterator[subprocess.Popen[bytes]]:
    """Its process, killed at the end; what it said stands in the task's folder, and on our standard error if we
    fail."""
    log = Path(task.folder) / f"{contestant.name}.log"
    with log.open("wb") as out:
        process = _start(contestant, python, task, out)
        try:
            yield process
        except Exception:
            print(log.read_text(errors="replace")[-3000:], file=sys.stderr)
            raise
        finally:
            process.kill()
            process.communicate()


def _start(contestant: Contestant, python: str, task: Task, out: IO[bytes]) -> subprocess.Popen[bytes]:
    env = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    words = tied(contestant.words(python, task))
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, env=env, cwd=task.folder
    )
    assert process.stdin is not None
    process.stdin.write(contestant.given(task))
    process.stdin.flush()
    return process
