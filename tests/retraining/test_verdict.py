"""Whether a model becomes the champion: every policy, with a champion, without one, with one of another kind."""

import pytest

from streamrnn.retraining.verdict import Policy, decide
from streamrnn.train.report import Score, Verdict


def score(name: str, mse: float) -> Score:
    """Of two targets, whose mean is what counts."""
    row: list[list[float | None]] = [[0.5 * mse, 1.5 * mse]]
    return Score(name=name, kind=name, mse=row, mae=row, std_mse=row, std_mae=row)


def verdict(
    model: float, champion: float | None, *, policy: Policy = "if-better", margin: float = 0.1,
    persistence: float = 1.0, incumbent: str | None = "oil@3",
) -> Verdict:  # fmt: skip
    rival = None if champion is None else score("oil@3", champion)
    return decide(policy, margin, score("new model", model), rival, score("persistence", persistence), incumbent)


@pytest.mark.parametrize(
    ("model", "champion", "margin", "promoted"),
    [
        (0.8, 1.0, 0.1, True),
        (0.91, 1.0, 0.1, False),
        (0.75, 1.0, 0.25, True),
        (0.9, 1.0, 0.1, True),
        (0.99, 1.0, 0.01, True),
        (1.0, 1.0, 0.1, False),
        (1.0, 1.0, 0.0, False),
        (0.999, 1.0, 0.0, True),
        (1.5, 1.0, 0.0, False),
        (0.0, 0.0, 0.0, False),
        (0.0, 0.0, 0.1, False),
        (5.0, 0.0, 0.1, False),
        (0.0, 5.0, 0.1, True),
    ],
)
def test_it_must_be_below_the_champion_by_the_margin(
    model: float, champion: float, margin: float, promoted: bool
) -> None:
    """Persistence is no matter then."""
    for persistence in (0.0, 1e9):
        found = verdict(model, champion, margin=margin, persistence=persistence)
        assert (found.promoted, found.champion, found.margin) == (promoted, "oil@3", margin)
        assert "of oil@3" in found.reason
        assert (f"{margin:.1%} is asked" in found.reason) == (margin > 0)


@pytest.mark.parametrize(("model", "promoted"), [(0.999, True), (1.0, False), (1.001, False)])
def test_without_a_champion_it_must_be_better_than_persistence_by_however_little(
    model: float, promoted: bool
) -> None:
    found = verdict(model, None, incumbent=None)
    assert (found.promoted, found.champion) == (promoted, None)
    assert "of persistence" in found.reason
    assert "is asked" not in found.reason


def test_a_champion_that_cannot_be_compared_stays_unless_asked_otherwise() -> None:
    found = verdict(0.001, None)
    assert (found.promoted, found.champion) == (False, "oil@3")
    assert found.reason.startswith("oil@3 cannot be compared")
    assert verdict(0.001, None, policy="always").promoted
    assert not verdict(0.001, None, policy="never").promoted


@pytest.mark.parametrize("champion", [0.5, 1.5, None])
def test_never_and_always_do_not_ask_for_the_score(champion: float | None) -> None:
    never, always = (verdict(1.0, champion, policy=policy) for policy in ("never", "always"))
    assert (never.promoted, never.policy, never.reason) == (False, "never", "asked not to promote")
    assert (always.promoted, always.policy) == (True, "always")
    assert always.reason.startswith("asked to promote whatever the score; MSE 1 against")


@pytest.mark.parametrize(
    ("model", "rival", "words"),
    [
        (0.75, 1.0, "MSE 0.75 against 1 of oil@3: 25.0% better"),
        (1.5, 1.0, "MSE 1.5 against 1 of oil@3: 50.0% worse"),
        (1.0, 1.0, "MSE 1 against 1 of oil@3: the same"),
        (1.0, 0.0, "MSE 1 against 0 of oil@3: worse than none at all"),
    ],
)
def test_the_reason_has_both_errors_and_how_far_they_are_apart(model: float, rival: float, words: str) -> None:
    assert verdict(model, rival, margin=0.0).reason == words
