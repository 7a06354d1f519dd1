"""Decides whether a model becomes the champion, and says why. Knows scores, not models."""

from collections.abc import Sequence
from typing import NamedTuple

from streamrnn.retraining.request import Policy
from streamrnn.train.retrain_report import Comparison, Score, StreamScores, Verdict


class PromotionRules(NamedTuple):
    """What is asked. margin: the least share by which the test MSE must be below the champion's; max_worse_streams:
    on how large a share of the streams it may be worse than persistence, if the champion is on fewer."""

    policy: Policy
    margin: float
    max_worse_streams: float


class Evidence(NamedTuple):
    """What was found: all scores, the model's first; the model beside each of the others; single streams."""

    scores: Sequence[Score]
    comparisons: Sequence[Comparison]
    streams: StreamScores

    def place(self, kind: str) -> int | None:
        """Of the first score of a kind."""
        return next((n for n, score in enumerate(self.scores) if n and score.kind == kind), None)


def decide(rules: PromotionRules, found: Evidence, incumbent: str | None) -> Verdict:
    """By the overall standardised MSE on the test part. Against the champion by the margin; without one against
    persistence by however little; either by more than chance gives, and on most streams. incumbent: the champion's
    label; it has no score where it cannot be compared."""
    obstacles = _obstacles(rules, found, incumbent)
    promoted = rules.policy == "always" or (rules.policy == "if-better" and not obstacles)
    return Verdict(
        promoted=promoted,
        policy=rules.policy,
        reason=_reason(rules, found, obstacles),
        margin=rules.margin,
        max_worse_streams=rules.max_worse_streams,
        champion=incumbent,
    )


def _reason(rules: PromotionRules, found: Evidence, obstacles: Sequence[str]) -> str:
    asked = {"never": ["asked not to promote"], "always": ["asked to promote whatever the score"], "if-better": []}
    return "; ".join([*asked[rules.policy], lead(found.scores), *obstacles])


def lead(scores: Sequence[Score]) -> str:
    """The model beside the champion, if it could be compared, the best baseline, and persistence."""
    model, *others = scores
    baselines = sorted((one for one in others if one.kind != "champion"), key=lambda one: one.overall)
    champion = next((one for one in others if one.kind == "champion"), None)
    best = baselines[0]
    beside, *rest = [one for one in (champion, best) if one is not None]
    rest += [one for one in baselines[1:] if one.kind == "persistence"]
    titles = {one.name: f"{one.name}, the best baseline" if one is best else one.name for one in others}
    first = f"MSE {model.overall:.4g} against {beside.overall:.4g} of {titles[beside.name]}: "
    first += _gain(model.overall, beside.overall)
    than = [f"{_gain(model.overall, one.overall, ' than ', ' as ')}{titles[one.name]}" for one in rest]
    return ", ".join([first, *than])


def _gain(error: float, rival: float, than: str = "", like: str = "") -> str:
    """By how much an error is less or more than another; from three times on as a multiple."""
    if error == rival:
        return f"the same{like}"
    if rival == 0:
        return f"worse{than or ' than none at all'}"
    if error >= 3 * rival:
        return f"{times(error / rival)} worse{than}"
    return f"{abs(1 - error / rival):.1%} {'better' if error < rival else 'worse'}{than}"


def times(ratio: float) -> str:
    """A multiple in digits that a reader can take in."""
    return f"{ratio:,.0f} times" if 1000 <= ratio < 1e9 else f"{ratio:.3g} times"


def _obstacles(rules: PromotionRules, found: Evidence, incumbent: str | None) -> list[str]:
    """What stands against a promotion, in words."""
    champion = found.place("champion")
    if champion is None and incumbent is not None:
        return [f"{incumbent} cannot be compared: damaged, or other targets, horizons or features"]
    persistence = found.place("persistence")
    assert persistence is not None, "everybody is measured by it"
    rival, margin = (persistence, 0.0) if champion is None else (champion, rules.margin)
    return _too_little(margin, found, rival) + _worse_streams(rules, found, champion)


def _too_little(margin: float, found: Evidence, rival: int) -> list[str]:
    """The margin is not reached, or what there is may be chance."""
    model, other, compared = found.scores[0], found.scores[rival], found.comparisons[rival - 1]
    if model.overall >= other.overall or model.overall > (1 - margin) * other.overall:
        return [f"{margin:.1%} is asked" if margin else f"not better than {other.name}"]
    if compared.is_shown:
        return []
    why = (
        f"the difference is within its own error (p = {compared.p:.2g})"
        if compared.p is not None
        else (f"{compared.moments} moments of truths are too few")
    )
    return [f"not shown to be better than {other.name}: {why}"]


def _worse_streams(rules: PromotionRules, found: Evidence, champion: int | None) -> list[str]:
    """Too many are worse off than with no model at all, and the champion does better by them."""
    streams = found.streams
    own = streams.share_worse(0)
    if own <= rules.max_worse_streams or (champion is not None and streams.share_worse(champion) >= own):
        return []
    most = f"at most {rules.max_worse_streams:.1%} may be"
    return [f"{own:.1%} of the streams are worse off than with persistence, {most}"]
