"""The comparison with peers: its oracle, its skipping, and a run of what needs no framework, on a real Kafka."""

import sys
from pathlib import Path

import msgspec
import pytest

from streamrnn.bench.job import Job, Measured
from tests.bench.peers.__main__ import arguments, run
from tests.bench.peers.checking import Compared
from tests.bench.peers.field import FIELD, Contestant
from tests.bench.peers.meeting import Meeting, meet
from tests.bench.peers.results import Results
from tests.bench.peers.running import missing
from tests.kafka.conftest import kafka  # noqa: F401

ALONE = ("streamrnn", "bare relay", "loop by hand", "loop by hand, batched")
"""What runs with the packages that tests need anyhow."""


def test_a_peer_that_is_not_installed_is_named_with_the_reason() -> None:
    absent = Contestant("nobody", FIELD[0].words, "", ("no_such_package",))
    assert missing(sys.executable, absent) == "ModuleNotFoundError: No module named 'no_such_package'"
    assert missing(sys.executable, FIELD[0]) is None


@pytest.mark.parametrize(
    ("compared", "is_right"),
    [
        (Compared(10, 9e-6, 0), True),
        (Compared(10, 2e-5, 0), False),
        (Compared(10, float("inf"), 0), False),
        (Compared(10, 0.0, 1), False),
        (Compared(0, 0.0, 0), False),
    ],
)
def test_right_is_who_answers_near_and_once(compared: Compared, is_right: bool) -> None:
    assert Results(compared={"streamrnn": [Compared(10, 0.0, 0)], "peer": [compared]}).is_right() is is_right


def test_ratios_are_of_the_same_round() -> None:
    ours = [Measured(ticks=1, ticks_per_s=speed, cpu_us_per_tick=1.0) for speed in (10, 40, 90)]
    theirs = [Measured(ticks=1, ticks_per_s=speed, cpu_us_per_tick=1.0) for speed in (5, 10, 45)]
    assert Results(runs={"streamrnn": ours, "peer": theirs}).ratio("peer") == 2.0


@pytest.mark.kafka
@pytest.mark.timeout(300)
def test_all_say_the_same_as_the_oracle_and_who_does_not_is_found_out(
    kafka: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    job = Job(role="service", bootstrap=kafka, topic="peers", idempotent=True, ticks=20_000, limit_s=5.0)
    meeting = meet(msgspec.structs.replace(job, streams=100), tmp_path)
    results = run(meeting, arguments(["--bootstrap", kafka, "--rounds", "1", "--only", *ALONE]))
    assert results.is_right()
    assert set(results.runs) == set(ALONE)
    for name in ("streamrnn", "loop by hand, batched"):
        assert results.compared[name][0].ticks == 20_000
    due = meeting.due.copy()
    due[123] += 1e-3
    spoiled = Meeting(meeting.job, tmp_path, due)
    _, compared = spoiled.turn(FIELD[0], sys.executable)
    assert compared is not None
    assert compared.worst == pytest.approx(1e-3, rel=0.02)
