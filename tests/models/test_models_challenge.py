"""`streamrnn models stage`, `unstage`, `promote` and `rollback` beside running daemons, and what ends --wait."""

import threading
import time
from collections.abc import Iterator

import pytest

from streamrnn.registry import Registry
from tests.models.published import Run
from tests.models.reported import part, say

LOADS = "daemons that serve oil will load it beside their champion within model.poll_s\n"
CUTS = "daemons that serve oil will cut each partition over to {0} once {0} is ready there\n"


@pytest.fixture
def later() -> Iterator[list[threading.Timer]]:
    """Timers that play the daemons; all are joined."""
    timers: list[threading.Timer] = []
    yield timers
    for timer in timers:
        timer.join(10)


def test_a_version_is_staged_staged_again_and_unstaged(registry: Registry, run: Run) -> None:
    assert run("stage", "oil@3") == f"oil: challenger none -> 3\n{LOADS}"
    assert run("challenge", "oil@3") == f"oil: 3 is the challenger already\n{LOADS}"
    assert run("challenge", "oil@1") == f"oil: challenger 3 -> 1\n{LOADS}"
    assert registry.wanted("oil") == (2, 1)
    assert run("unstage", "oil") == "oil: no version runs beside the champion\n"
    assert registry.wanted("oil") == (2, None)


def test_what_cannot_challenge_is_refused_and_nothing_is_staged(registry: Registry, run: Run) -> None:
    assert "oil: name a version: oil@VERSION" in run("stage", "oil", code=2)
    assert "oil has no version 9; there are [1, 2, 3]" in run("stage", "oil@9", code=3)
    assert "oil@2 is the champion: it serves already" in run("stage", "oil@2", code=3)
    registry._store.write("oil/3/model.safetensors", b"torn")
    assert "oil/3/model.safetensors: sha256" in run("stage", "oil@3", code=3)
    assert "is no model name" in run("unstage", "../oil", code=3)
    assert registry.challenger("oil") is None


def test_promoting_the_challenger_says_what_daemons_do_and_ends_its_challenge(registry: Registry, run: Run) -> None:
    run("stage", "oil@3")
    assert run("promote", "oil@3") == f"oil: champion 2 -> 3\n{CUTS.format(3)}"
    assert registry.challenger("oil") is None
    assert run("rollback", "oil") == f"oil: champion 3 -> 2\n{CUTS.format(2)}"


def test_stage_waits_until_every_partition_of_every_worker_is_ready(
    registry: Registry, run: Run, later: list[threading.Timer]
) -> None:
    say(registry, "a", part(0), part(1))
    say(registry, "gone", part(5), ago_s=100)
    say(registry, "other", part(0), group="another", serving="oil@1")
    challenger = {"challenger": "oil@3"}

    def follow() -> None:
        say(registry, "a", part(0, "hydrating", lag=9), part(1, "ready"), **challenger)
        time.sleep(1)
        say(registry, "b", part(2, "ready"), **challenger)
        say(registry, "a", part(0, "ready"), part(1, "ready"), **challenger)

    later.append(threading.Timer(0.3, follow))
    later[0].start()
    said = run("stage", "oil@3", "--wait", "--timeout", "20", "--group", "g").splitlines()[2:]
    assert said[0] == "0 of 2 partitions ready for oil@3"
    assert said[-1] == "3 of 3 partitions ready for oil@3"
    assert len(said) == len(set(said)), "said when it changes"


def test_promote_waits_until_every_partition_has_cut_over(
    registry: Registry, run: Run, later: list[threading.Timer]
) -> None:
    say(registry, "a", part(0, "ready"), part(1, "ready"), challenger="oil@3")

    def follow() -> None:
        say(registry, "a", part(0, speaker="oil@3"), part(1, "ready"), serving="oil@3")
        time.sleep(1)
        say(registry, "a", part(0, speaker="oil@3"), part(1, speaker="oil@3"), serving="oil@3")

    later.append(threading.Timer(0.3, follow))
    later[0].start()
    said = run("promote", "oil@3", "--wait", "--timeout", "20").splitlines()[2:]
    assert said[0] == "0 of 2 partitions cut over to oil@3"
    assert said[-1] == "2 of 2 partitions cut over to oil@3"


def test_waiting_ends_with_how_far_it_is_when_the_time_is_over(registry: Registry, run: Run) -> None:
    for worker, reason in (("a", ""), ("b", "two lines need 3 GB, 2 are free\x1b[2J")):
        state = "failing" if reason else "ready"
        say(registry, worker, part(ord(worker), state, reason=reason), challenger="oil@3")
    said = run("stage", "oil@3", "--wait", "--timeout", "0.2", code=5, says=True)
    assert "oil@3: not in 0.2 s: 1 of 2 partitions ready for oil@3; b, partition 98: two lines need 3 GB" in said


def test_without_a_worker_there_is_nobody_to_wait_for_in_vain(registry: Registry, run: Run) -> None:
    said = run("stage", "oil@3", "--wait", "--timeout", "0.1", code=5, says=True)
    assert "not in 0.1 s: no worker that owns a partition reports on oil" in said


def test_a_worker_that_refuses_ends_the_waiting_but_not_what_it_refused_before(
    registry: Registry, run: Run, later: list[threading.Timer]
) -> None:
    say(registry, "a", part(0), refused={"oil@3": "an old reason"}, ago_s=5)
    refused = {"oil@3": "feature load is not in the ticks"}
    later.append(threading.Timer(0.5, lambda: say(registry, "a", part(0), refused=refused)))
    later[0].start()
    said = run("stage", "oil@3", "--wait", "--timeout", "20", code=3, says=True)
    assert "a refuses oil@3: feature load is not in the ticks" in said
