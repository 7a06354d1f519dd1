"""Decides whether a model becomes the champion. Knows scores, not models."""

from typing import Literal

from streamrnn.train.report import Score, Verdict

Policy = Literal["never", "if-better", "always"]


def decide(
    policy: Policy, margin: float, model: Score, champion: Score | None, persistence: Score, incumbent: str | None
) -> Verdict:
    """By the overall standardised MSE on the test part. margin: the least share by which it must be below the
    champion's. Without a champion the model must be better than persistence. incumbent: the champion's label;
    `champion` is None where there is none or it cannot be compared."""
    promoted, reason = _decide(policy, margin, model, champion, persistence, incumbent)
    return Verdict(promoted=promoted, policy=policy, reason=reason, margin=margin, champion=incumbent)


def _decide(
    policy: Policy, margin: float, model: Score, champion: Score | None, persistence: Score, incumbent: str | None
) -> tuple[bool, str]:
    if policy == "never":
        return False, "asked not to promote"
    rival, needed = (persistence, 0.0) if champion is None else (champion, margin)
    compared = f"MSE {model.overall:.4g} against {rival.overall:.4g} of {rival.name}: "
    compared += _gain(model.overall, rival.overall)
    if policy == "always":
        return True, f"asked to promote whatever the score; {compared}"
    if champion is None and incumbent is not None:
        return False, f"{incumbent} cannot be compared: damaged, or other targets, horizons or features"
    is_better = model.overall < rival.overall and model.overall <= (1 - needed) * rival.overall
    return is_better, compared + (f", {needed:.1%} is asked" if needed else "")


def _gain(error: float, rival: float) -> str:
    if error == rival:
        return "the same"
    if rival == 0:
        return "worse than none at all"
    return f"{abs(1 - error / rival):.1%} {'better' if error < rival else 'worse'}"
