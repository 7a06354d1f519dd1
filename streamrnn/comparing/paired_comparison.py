"""What is known of two models on the same ticks, as values; those of several workers as one. Knows no ticks.

A difference is the challenger's squared error less the champion's: below 0 the challenger is better.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from streamrnn.train.significance import chance_below


class MeanDifference(NamedTuple):
    """A mean, with its standard error; p: chance of one so far below 0 if there were no difference; freedom: of
    Student's t. error and p are NaN where moments of time are too few."""

    mean: float
    error: float
    p: float
    freedom: int


class PairedScore(NamedTuple):
    """Of one target, so many ticks ahead: sums over the truths that both had forecast, and the difference.

    unpaired: truths that one alone had forecast; beyond: those left out because an error is absurd.
    """

    target: str
    horizon: int
    truths: int
    unpaired: int
    beyond: int
    champion_squared: float
    challenger_squared: float
    champion_absolute: float
    challenger_absolute: float
    difference: MeanDifference

    @property
    def champion_mse(self) -> float:
        """NaN without a truth."""
        return self._mean(self.champion_squared)

    @property
    def challenger_mse(self) -> float:
        """NaN without a truth."""
        return self._mean(self.challenger_squared)

    @property
    def champion_mae(self) -> float:
        """NaN without a truth."""
        return self._mean(self.champion_absolute)

    @property
    def challenger_mae(self) -> float:
        """NaN without a truth."""
        return self._mean(self.challenger_absolute)

    def _mean(self, whole: float) -> float:
        return whole / self.truths if self.truths else math.nan

    @property
    def scale(self) -> float:
        """What the difference is a share of: the champion's MSE, or the challenger's where that is 0."""
        return self.champion_mse or self.challenger_mse or 1.0


class StreamsBetter(NamedTuple):
    """On how many of the streams with enough truths the challenger is better; a sample is judged of very many."""

    better: int
    judged: int

    @property
    def share(self) -> float:
        """NaN without a stream."""
        return self.better / self.judged if self.judged else math.nan


class PairedComparison(NamedTuple):
    """Two models since a moment: truths, ticks of which both had forecast something; scores, by horizon and target.

    pooled: the mean over all scores of the difference as a share of the champion's MSE, so that a target in
    millions or a far horizon counts no more than another.
    """

    champion: str
    challenger: str
    since_ms: int
    truths: int
    scores: tuple[PairedScore, ...]
    pooled: MeanDifference
    streams: StreamsBetter


def merged(parts: Sequence[PairedComparison]) -> PairedComparison:
    """Of workers with streams of their own; ValueError unless all are of the same models.

    Sums are added. Means are weighed by truths. Standard errors are added as if the workers erred together, which
    streams of one world do; where they do not, the sum is too large, never too small.
    """
    first = parts[0]
    if any(part[:2] != first[:2] or _cells(part) != _cells(first) for part in parts):
        raise ValueError(f"not all are of {first.challenger} beside {first.champion}")
    return first._replace(
        since_ms=max(part.since_ms for part in parts),
        truths=sum(part.truths for part in parts),
        scores=tuple(_merged_score(scores) for scores in zip(*(part.scores for part in parts), strict=True)),
        pooled=_merged_difference([(part.truths, part.pooled) for part in parts]),
        streams=StreamsBetter(*(sum(counts) for counts in zip(*(part.streams for part in parts), strict=True))),
    )


def _cells(part: PairedComparison) -> list[tuple[str, int]]:
    return [(score.target, score.horizon) for score in part.scores]


def _merged_score(scores: Sequence[PairedScore]) -> PairedScore:
    sums = {name: sum(getattr(score, name) for score in scores) for name in PairedScore._fields[2:-1]}
    difference = _merged_difference([(score.truths, score.difference) for score in scores])
    return scores[0]._replace(**sums, difference=difference)


def _merged_difference(parts: Sequence[tuple[int, MeanDifference]]) -> MeanDifference:
    """Of those with an error, or where none has, of all with a truth."""
    seen = [(truths, own) for truths, own in parts if truths]
    known = [(truths, own) for truths, own in seen if not math.isnan(own.error)]
    used = known or seen
    whole = sum(truths for truths, _ in used)
    mean = sum(truths * own.mean for truths, own in used) / whole if whole else math.nan
    if not known:
        return MeanDifference(mean, math.nan, math.nan, 0)
    error, freedom = sum(truths * own.error for truths, own in used) / whole, min(own.freedom for _, own in used)
    return MeanDifference(mean, error, chance_below(mean, error, freedom), freedom)
