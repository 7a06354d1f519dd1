"""Waits until workers have done what was asked through the registry. Knows no worker but by its report."""

import time
from collections.abc import Callable

from streamrnn.errors import BundleError, NotInTime
from streamrnn.models.standing import GroupStanding

LOOK_S = 0.5


def is_ready(standing: GroupStanding, label: str) -> bool:
    """Whether every partition could be taken over by the version that was staged."""
    return standing.challenger == label and 0 < standing.owned == standing.ready


def is_cut_over(standing: GroupStanding, label: str) -> bool:
    """Whether the version that was promoted speaks for every partition."""
    return standing.champion == label and 0 < standing.owned == standing.cut_over


def wait_until(
    is_done: Callable[[GroupStanding, str], bool],
    label: str,
    look: Callable[[], GroupStanding],
    say: Callable[[str], None],
    timeout_s: float,
    pause_s: float = LOOK_S,
) -> None:
    """Look again and again until it is done, and say how far it is whenever that changes.

    BundleError where a worker refuses the version, NotInTime where it takes longer than `timeout_s`. A registry
    that is away meanwhile is said, and asked again.
    """
    begun_s, begun_ms, said = time.monotonic(), time.time() * 1000, ""
    while True:
        done, now = _glance(is_done, label, look, begun_ms)
        if now != said:
            say(now)
            said = now
        if done:
            return
        if time.monotonic() - begun_s >= timeout_s:
            raise NotInTime(f"{label}: not in {timeout_s:g} s: {now}")
        time.sleep(pause_s)


def _glance(
    is_done: Callable[[GroupStanding, str], bool], label: str, look: Callable[[], GroupStanding], begun_ms: float
) -> tuple[bool, str]:
    """Whether it is done, and how far it is."""
    try:
        standing = look()
    except BundleError as error:
        return False, str(error)
    for refusal in standing.refusals:
        # What was refused before this command may be taken now: the worker has not looked yet.
        if refusal.label == label and refusal.at_ms >= begun_ms:
            raise BundleError(f"{refusal.worker} refuses {label}: {refusal.why}")
    failing = [row for row in standing.partitions if row.state == "failing" and row.silent_s is None]
    reasons = "".join(f"; {row.worker}, partition {row.partition}: {row.reason}" for row in failing[:1])
    return is_done(standing, label), f"{standing.summary}{reasons}"
