"""Whether a challenger is shown to be better or worse than the champion, and why. Knows what was found, not how.

A comparison that grows may be asked as often as one likes: p is held against what a confidence sequence asks
(Robbins 1970, for means of dependent series Waudby-Smith et al. 2021), so that equals are told apart in one
direction with chance SIGNIFICANCE in all looks together, not in each.
"""

import math
from typing import Literal, NamedTuple

from streamrnn.comparing.paired_comparison import PairedComparison
from streamrnn.train.significance import SIGNIFICANCE

Outcome = Literal["better", "worse", "undecided"]
BEST_AT = 8.0
"""Where the sequence is narrowest, in its own unit of time: that is the first look."""


class LiveVerdict(NamedTuple):
    """What the challenger is, and why in words and figures; asked: p at most for better, 1 - p for worse."""

    outcome: Outcome
    reason: str
    difference: float
    error: float
    p: float
    asked: float
    truths: int
    seconds: float
    share_better: float


def verdict(
    found: PairedComparison, margin: float, least_truths: int, least_s: float, now_ms: int, least_share: float = 0.5
) -> LiveVerdict:
    """Better: by the margin, by more than chance gives, and on at least `least_share` of the streams. Worse: by
    more than chance gives. Neither before there are `least_truths` ticks with truths and `least_s` seconds.

    By how much is the mean over all targets and horizons, each as a share of the champion's MSE. Whether a champion
    is worse than its predecessor by so much: ask whether the predecessor, as the challenger, is better.
    """
    asked = asked_p(found.truths, least_truths)
    seconds = (now_ms - found.since_ms) / 1000
    early = _early(found, least_truths, seconds, least_s)
    obstacles = [] if early else _obstacles(found, asked, margin, least_share)
    outcome: Outcome = "undecided"
    if not early and found.pooled.p >= 1 - asked:
        outcome, obstacles = "worse", []
    elif not early and not obstacles:
        outcome = "better"
    reason = "; ".join([*early, _lead(found, asked), *obstacles])
    return LiveVerdict(outcome, reason, *found.pooled[:3], asked, found.truths, seconds, found.streams.share)


def asked_p(truths: int, least_truths: int) -> float:
    """What p is to be at most after so many truths, if looked at after any number from least_truths on."""
    grown = BEST_AT * max(1.0, truths / max(1, least_truths))
    deviations = math.sqrt(2 * (1 + 1 / grown) * math.log(math.sqrt(1 + grown) / (2 * SIGNIFICANCE)))
    return math.erfc(deviations / math.sqrt(2)) / 2


def _early(found: PairedComparison, least_truths: int, seconds: float, least_s: float) -> list[str]:
    """Why nothing is to be said yet."""
    if not found.scores:
        return ["no target and horizon in common"]
    early = []
    if found.truths < least_truths:
        early.append(f"{found.truths:,} truths of {least_truths:,} asked for")
    if seconds < least_s:
        early.append(f"{seconds:,.0f} s of {least_s:,.0f} s asked for")
    return early


def _lead(found: PairedComparison, asked: float) -> str:
    """The figures."""
    pooled, streams = found.pooled, found.streams
    change = f"MSE {abs(pooled.mean):.2%} {'below' if pooled.mean < 0 else 'above'} the champion's"
    if pooled.mean == 0:
        change = "MSE the same as the champion's"
    if math.isnan(pooled.mean):
        return "no truth that both had forecast"
    chance = "moments of time too few to tell chance" if math.isnan(pooled.p) else f"p = {pooled.p:.2g}"
    on = f", better on {streams.share:.0%} of {streams.judged:,} streams" if streams.judged else ""
    return f"{change} over {found.truths:,} truths ({chance}, {asked:.2g} asked){on}"


def _obstacles(found: PairedComparison, asked: float, margin: float, least_share: float) -> list[str]:
    """What stands against better."""
    pooled, obstacles = found.pooled, []
    if not pooled.p <= asked:
        obstacles.append("not shown to be better")
    elif -pooled.mean < margin:
        obstacles.append(f"{margin:.2%} is asked")
    if found.streams.share < least_share:
        obstacles.append(f"{least_share:.0%} of the streams are asked")
    return obstacles
