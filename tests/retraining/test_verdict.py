"""Whether a model becomes the champion: every policy, with a champion, without one, with one of another kind."""

from dataclasses import dataclass, replace

import pytest

from streamrnn.retraining.verdict import Evidence, Policy, PromotionRules, decide, lead
from streamrnn.train.retrain_report import Comparison, Score, StreamScores, Verdict


def score(name: str, mse: float, kind: str = "") -> Score:
    """Of two targets, whose mean is what counts."""
    row: list[list[float | None]] = [[0.5 * mse, 1.5 * mse]]
    return Score(name=name, kind=kind or name, mse=row, mae=row, std_mse=row, std_mae=row)


@dataclass(frozen=True, slots=True)
class Found:
    """Errors; p of the model against each other; streams worse off with the model and the champion, of 100."""

    model: float
    champion: float | None = None
    persistence: float = 1.0
    ridge: float = 2.0
    p: float | None = 0.001
    worse: int = 0
    champions_worse: int = 0
    policy: Policy = "if-better"
    margin: float = 0.1
    most: float = 0.1
    incumbent: str | None = "oil@3"

    def scores(self) -> list[Score]:
        champion = [] if self.champion is None else [score("oil@3", self.champion, "champion")]
        baselines = [score("persistence", self.persistence), score("ridge", self.ridge)]
        return [score("new", self.model), *champion, *baselines]

    def verdict(self) -> Verdict:
        scores = self.scores()
        compared = [
            Comparison(
                name=one.name,
                difference=self.model - one.overall,
                error=0.1,
                p=self.p,
                moments=44,
                is_shown=self.p is not None and self.p < 0.05,
            )
            for one in scores[1:]
        ]
        worse = [self.worse, *([] if self.champion is None else [self.champions_worse]), 0, 0]
        streams = StreamScores(scored=100, judged=100, worse=worse)
        rules = PromotionRules(self.policy, self.margin, self.most)
        return decide(rules, Evidence(scores, compared, streams), self.incumbent)


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
        found = Found(model, champion, margin=margin, persistence=persistence).verdict()
        assert (found.promoted, found.champion, found.margin) == (promoted, "oil@3", margin)
        assert "of oil@3" in found.reason
        assert ("is asked" in found.reason) == (margin > 0 and not promoted)


@pytest.mark.parametrize(("model", "promoted"), [(0.999, True), (1.0, False), (1.001, False)])
def test_without_a_champion_it_must_be_better_than_persistence_by_however_little(
    model: float, promoted: bool
) -> None:
    found = Found(model, incumbent=None).verdict()
    assert (found.promoted, found.champion) == (promoted, None)
    assert "of persistence" in found.reason
    assert ("not better than persistence" in found.reason) == (not promoted)


@pytest.mark.parametrize("champion", [None, 1.0])
@pytest.mark.parametrize(
    ("p", "promoted", "words"),
    [
        (0.049, True, ""),
        (0.05, False, "within its own error (p = 0.05)"),
        (0.4, False, "(p = 0.4)"),
        (None, False, "44 moments of truths are too few"),
    ],
)
def test_what_may_be_chance_is_not_shown_to_be_better(
    champion: float | None, p: float | None, promoted: bool, words: str
) -> None:
    rival, incumbent = ("persistence", None) if champion is None else ("oil@3", "oil@3")
    found = Found(0.5, champion, p=p, incumbent=incumbent).verdict()
    assert found.promoted == promoted
    assert (f"not shown to be better than {rival}: " in found.reason) == (not promoted)
    assert words in found.reason
    assert Found(0.5, champion, p=p, incumbent=incumbent, policy="always").verdict().promoted


@pytest.mark.parametrize(
    ("worse", "champion", "champions_worse", "most", "promoted"),
    [
        (10, None, 0, 0.1, True),
        (11, None, 0, 0.1, False),
        (1, None, 0, 0.0, False),
        (100, None, 0, 1.0, True),
        (11, 1.0, 10, 0.1, False),
        (50, 1.0, 49, 0.1, False),
        (50, 1.0, 50, 0.1, True),
        (5, 1.0, 0, 0.1, True),
    ],
)
def test_it_may_be_worse_than_persistence_on_few_streams_unless_as_many_are_worse_off_now(
    worse: int, champion: float | None, champions_worse: int, most: float, promoted: bool
) -> None:
    asked = Found(0.5, champion, worse=worse, champions_worse=champions_worse, most=most)
    found = replace(asked, incumbent=None if champion is None else "oil@3").verdict()
    assert (found.promoted, found.max_worse_streams) == (promoted, most)
    words = f"{worse:.1f}% of the streams are worse off than with persistence, at most {most:.1%} may be"
    assert (words in found.reason) == (not promoted)


def test_a_champion_that_cannot_be_compared_stays_unless_asked_otherwise() -> None:
    found = Found(0.001).verdict()
    assert (found.promoted, found.champion) == (False, "oil@3")
    assert "; oil@3 cannot be compared" in found.reason
    assert Found(0.001, policy="always").verdict().promoted
    assert not Found(0.001, policy="never").verdict().promoted


@pytest.mark.parametrize("champion", [0.5, 1.5, None])
def test_never_and_always_do_not_ask_for_the_score(champion: float | None) -> None:
    never, always = (Found(1.0, champion, policy=policy).verdict() for policy in ("never", "always"))
    assert (never.promoted, never.policy) == (False, "never")
    assert never.reason.startswith("asked not to promote; MSE 1 against")
    assert (always.promoted, always.policy) == (True, "always")
    assert always.reason.startswith("asked to promote whatever the score; MSE 1 against")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            Found(0.75, 1.0, ridge=0.5),
            "1 of oil@3: 25.0% better, 50.0% worse than ridge, the best baseline, 25.0% better than persistence",
        ),
        (Found(0.5, 0.5), "0.5 of oil@3: the same, 50.0% better than persistence, the best baseline"),
        (
            Found(0.0951, ridge=0.0993, persistence=0.1748),
            "0.0993 of ridge, the best baseline: 4.2% better, 45.6% better than persistence",
        ),
        (Found(0.5), "1 of persistence, the best baseline: 50.0% better"),
        (Found(0.5, ridge=0.01), "0.01 of ridge, the best baseline: 50 times worse, 50.0% better than persistence"),
        (
            Found(0.5, ridge=0.0001),
            "0.0001 of ridge, the best baseline: 5,000 times worse, 50.0% better than persistence",
        ),
        (Found(1.0, ridge=0.0), "0 of ridge, the best baseline: worse than none at all, the same as persistence"),
    ],
)
def test_the_lead_compares_with_the_champion_the_best_baseline_and_persistence(found: Found, words: str) -> None:
    assert lead(found.scores()) == f"MSE {found.model:.4g} against {words}"
