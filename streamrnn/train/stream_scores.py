"""What the judge found, stream by stream: who is worse than persistence where, and what has no score.

Shapes: F forecasters, O targets, S streams.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.train.judge import Judgement
from streamrnn.train.retrain_report import Comparison, StreamScore, StreamScores, Unscored
from streamrnn.train.significance import Difference

MOST_ROWS, ENDS = 2000, 100
"""Streams that are listed all; of more the worst and the best so many."""
LEAST_TRUTHS = 10
"""Without which a stream's error says nothing of it."""
WORSE_BY, NEGLIGIBLE = 0.05, 1e-6
"""Above persistence's error by this share, and by this much in squared deviations, is worse."""
LEVELS = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
MOST_NAMES = 5


def stream_scores(found: Judgement, names: Sequence[str]) -> StreamScores:
    """Everything that a report says of single streams; names: of all S."""
    scored = np.flatnonzero(found.stream_truths > 0)
    errors, truths = found.stream_error[scored], found.stream_truths[scored]
    base = _persistence(found)
    ratios = _ratios(errors[:, 0], errors[:, base])
    order = np.argsort(-ratios, kind="stable")
    shown = order if len(order) <= MOST_ROWS else np.concatenate((order[:ENDS], order[-ENDS:]))
    enough = truths >= LEAST_TRUTHS
    worse = is_worse(errors, errors[:, base, None])[enough]
    return StreamScores(
        scored=len(scored),
        rows=[
            StreamScore(stream=names[scored[at]], truths=int(truths[at]), std_mse=errors[at].tolist())
            for at in shown.tolist()
        ],
        levels=list(LEVELS),
        quantiles=[_finite(q) for q in np.quantile(ratios, LEVELS, method="inverted_cdf").tolist()],
        judged=int(enough.sum()),
        worse=worse.sum(axis=0).tolist(),
    )


def is_worse(error: Any, persistence: Any) -> Any:
    """Whether an error is above persistence's by more than a trifle: numbers, or arrays of them."""
    return error > (1 + WORSE_BY) * persistence + NEGLIGIBLE


def _ratios(errors: NDArray[np.float64], persistence: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 where both are 0, infinite where only persistence is right."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(errors == persistence, 1.0, errors / persistence)


def _persistence(found: Judgement) -> int:
    return next(n for n, score in enumerate(found.scores) if score.kind == "persistence")


def comparisons(found: Judgement) -> list[Comparison]:
    """Of the first with each of the others."""
    pairs = zip(found.scores[1:], found.differences[1:], strict=True)
    return [_comparison(score.name, difference) for score, difference in pairs]


def _comparison(name: str, difference: Difference) -> Comparison:
    return Comparison(
        name=name,
        difference=difference.mean,
        error=_finite(difference.error),
        p=_finite(difference.p),
        moments=difference.moments,
        is_shown=difference.is_shown,
    )


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def unscored(found: Judgement, targets: Sequence[str], names: Sequence[str]) -> list[Unscored]:
    """Targets that are constant in some streams' training part."""
    result = []
    for o, target in enumerate(targets):
        still = np.flatnonzero(np.isnan(found.scales[:, o]))
        if len(still):
            first = [names[stream] for stream in still[:MOST_NAMES].tolist()]
            result.append(Unscored(target=target, count=len(still), of=len(names), streams=first))
    return result
