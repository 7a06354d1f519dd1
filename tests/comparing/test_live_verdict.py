"""A verdict is right about models that are known, and equals are seldom told apart, however often one looks."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from streamrnn.comparing import LiveVerdict, PairedComparison, PairedErrors, verdict
from streamrnn.comparing.live_verdict import asked_p
from streamrnn.comparing.paired_comparison import MeanDifference, StreamsBetter

from .said import CHALLENGER, CHAMPION, regular, spec

HOUR_MS = 3_600_000


def compared(champion: NDArray[np.float64], challenger: NDArray[np.float64]) -> PairedComparison:
    kept = PairedErrors(CHAMPION, CHALLENGER, 0)
    kept.note(regular(champion), regular(challenger))
    return kept.comparison()


def judged(
    found: PairedComparison, margin: float = 0.02, least_truths: int = 1000, now_ms: int = HOUR_MS
) -> LiveVerdict:
    return verdict(found, margin, least_truths, 600.0, now_ms)


def errors(seed: int, moments: int = 400, streams: int = 20) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(moments, streams))


def test_a_model_known_to_be_better_is_found_within_the_truths_asked_for() -> None:
    found = judged(compared(errors(1), 0.9 * errors(2)))
    assert found.outcome == "better"
    assert found.difference == pytest.approx(-0.19, abs=0.03)
    assert found.p < found.asked < 0.003
    assert (found.truths, found.seconds) == (8000, 3600.0)
    assert found.reason.startswith("MSE 1")
    assert "below the champion's over 8,000 truths (p = " in found.reason


def test_a_model_known_to_be_worse_is_found_too_and_needs_no_margin() -> None:
    found = judged(compared(errors(1), 1.1 * errors(2)), margin=0.5)
    assert found.outcome == "worse"
    assert "above the champion's" in found.reason


def test_equal_models_are_undecided() -> None:
    for other in (errors(1), -errors(1)):
        found = judged(compared(errors(1), other), margin=0.0)
        assert (found.outcome, found.difference, found.p) == ("undecided", 0.0, 0.5)
        assert found.reason.startswith("MSE the same as the champion's")


@pytest.mark.parametrize(
    ("least_truths", "now_ms", "why"),
    [(8001, HOUR_MS, "8,000 truths of 8,001 asked for"), (1000, 599_000, "599 s of 600 s asked for")],
)
def test_nothing_is_decided_before_there_is_enough(least_truths: int, now_ms: int, why: str) -> None:
    for factor in (0.5, 2.0):
        found = judged(compared(errors(1), factor * errors(2)), least_truths=least_truths, now_ms=now_ms)
        assert found.outcome == "undecided"
        assert found.reason.startswith(why)


def test_better_by_less_than_the_margin_is_undecided() -> None:
    found = judged(compared(errors(1), 0.9 * errors(1)), margin=0.2)
    assert found.outcome == "undecided"
    assert found.reason.endswith("20.00% is asked")


def test_one_loud_stream_does_not_promote() -> None:
    """Much better on one stream that is a hundred times as large, worse on nineteen."""
    size = np.where(np.arange(20) == 0, 100.0, 1.0)
    factor = np.where(np.arange(20) == 0, 0.5, 1.2)
    found = compared(size * errors(1), size * factor * errors(1))
    assert found.streams == (1, 20)
    assert judged(found).outcome == "undecided"
    assert judged(found).reason.endswith("50% of the streams are asked")
    assert verdict(found, 0.02, 1000, 600.0, HOUR_MS, least_share=0.0).outcome == "better"


def test_too_few_moments_show_nothing() -> None:
    found = judged(compared(errors(1, 40, 100), 0.5 * errors(2, 40, 100)))
    assert found.outcome == "undecided"
    assert "moments of time too few to tell chance" in found.reason


def test_models_with_nothing_in_common_are_undecided() -> None:
    kept = PairedErrors(CHAMPION, spec("new", ("wind",)), 0)
    found = judged(kept.comparison())
    assert found.outcome == "undecided"
    assert found.reason.startswith("no target and horizon in common")
    nothing = judged(PairedErrors(CHAMPION, CHALLENGER, 0).comparison(), least_truths=0)
    assert nothing.outcome == "undecided"
    assert "no truth that both had forecast" in nothing.reason


def test_what_is_asked_of_p_falls_slowly_as_truths_grow() -> None:
    """A sequence whose width at its first look is 2.77 deviations, worked out by hand from its formula."""
    assert asked_p(10, 1000) == asked_p(1000, 1000) == pytest.approx(0.00283, abs=2e-5)
    asked = [asked_p(truths, 1000) for truths in (1000, 2000, 10_000, 10**6, 10**9)]
    assert asked == sorted(asked, reverse=True)
    assert asked[-1] > 1e-7


def test_a_verdict_needs_no_more_than_the_figures() -> None:
    found = PairedComparison("old@1", "new@1", 0, 5000, compared(errors(1), errors(2)).scores,
                           MeanDifference(-0.1, 0.02, 1e-6, 30), StreamsBetter(0, 0))  # fmt: skip
    assert judged(found).outcome == "better", "no stream has truths enough to be judged alone"
    assert math.isnan(judged(found).share_better)


def series(rng: np.random.Generator, kind: str, moments: int, streams: int) -> NDArray[np.float64]:
    """(T, S) errors of a model: white, or with a part that all streams have in common and that lasts."""
    own = rng.normal(size=(moments, streams))
    if kind == "white":
        return own
    noise, common = rng.normal(size=moments), np.zeros(moments)
    for t in range(1, moments):
        common[t] = 0.7 * common[t - 1] + noise[t]
    return own + 2 * common[:, None]


@pytest.mark.parametrize("kind", ["white", "common"])
def test_of_two_equals_one_is_shown_to_be_better_one_time_in_twenty(kind: str) -> None:
    """In 400 drawings; to who takes each truth for one of its own, common errors fake it one time in three."""
    rng, shown, naive = np.random.default_rng(11), 0, 0
    for _ in range(400):
        old, new = (series(rng, kind, 300, 10) for _ in range(2))
        shown += compared(old, new).pooled.p < 0.05
        difference = (np.square(new) - np.square(old)).ravel()
        naive += difference.mean() / difference.std() * math.sqrt(len(difference)) < -1.645
    assert shown / 400 < 0.1
    assert kind == "white" or naive / 400 > 0.3


def test_equals_are_seldom_told_apart_by_one_who_looks_again_and_again() -> None:
    """Twenty-five looks at each of 120 pairs; by the p of one look a sixth of all at least would be promoted."""
    rng, promoted, naive = np.random.default_rng(12), 0, 0
    for _ in range(120):
        kept, outcomes, ps = PairedErrors(CHAMPION, CHALLENGER, 0), set(), []
        for look in range(25):
            old, new = rng.normal(size=(2, 60, 4))
            kept.note(regular(old, first=60 * look), regular(new, first=60 * look))
            found = kept.comparison()
            outcomes.add(verdict(found, 0.0, 240, 0.0, HOUR_MS, least_share=0.0).outcome)
            ps.append(found.pooled.p)
        promoted += "better" in outcomes
        naive += min(ps) < 0.05
    assert promoted / 120 <= 0.1
    assert naive / 120 > 1 / 6
