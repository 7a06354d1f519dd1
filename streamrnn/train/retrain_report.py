"""What a retrain job found, as it is written to report.json. Knows no picture and no arithmetic.

Shapes: K horizons, O targets, both as nested lists [horizon][target].
"""

import msgspec

from streamrnn.nn.spec import ModelSpec
from streamrnn.train.recipe import Epoch, Recipe
from streamrnn.train.search import Trial

Grid = list[list[float | None]]
"""[horizon][target]; None where there is no truth to compare with."""


class SplitPart(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the split: its ticks, streams and event times (ms)."""

    name: str
    ticks: int
    streams: int
    from_ms: int
    until_ms: int


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """A contender on the test part, on the truths that every contender had a forecast for.

    mse and mae in raw units (squared for mse), over all truths; std_mse and std_mae in deviations of each target in
    the training part of its stream, the mean over the streams of each one's mean. coverage: for each quantile of a
    model that has them, the share of truths below it.
    """

    name: str
    kind: str
    mse: Grid
    mae: Grid
    std_mse: Grid
    std_mae: Grid
    coverage: list[float] | None = None

    @property
    def overall(self) -> float:
        """Mean standardised MSE over horizons and targets: the number models are compared by."""
        return _mean(self.std_mse)

    @property
    def overall_mae(self) -> float:
        """Mean standardised MAE over horizons and targets."""
        return _mean(self.std_mae)


def _mean(grid: Grid) -> float:
    known = [cell for row in grid for cell in row if cell is not None]
    return sum(known) / len(known) if known else float("nan")


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of one stream's target: at each event time what came, and what was predicted for that time at the
    horizon (ticks before); low and high are the outer quantiles of a model that has them."""

    stream: str
    target: str
    horizon: int
    time_ms: list[int]
    actual: list[float | None]
    predicted: list[float | None]
    low: list[float | None] | None = None
    high: list[float | None] | None = None


class StreamScore(msgspec.Struct, frozen=True, kw_only=True):
    """One stream's mean standardised squared errors, in the order of the report's scores, on so many truths."""

    stream: str
    truths: int
    std_mse: list[float]


class StreamScores(msgspec.Struct, frozen=True, kw_only=True):
    """How single streams fare. scored: streams with a score; rows: all of them, or where these are many the worst
    and the best, by the model's error in times of persistence's, the worst first; quantiles: of these ratios, at
    `levels`; judged: streams with enough truths to say it of; worse: how many of these each contender is worse on
    than persistence, in the order of the report's scores.
    """

    scored: int = 0
    rows: list[StreamScore] = []
    levels: list[float] = []
    quantiles: list[float | None] = []
    judged: int = 0
    worse: list[int] = []

    def share_worse(self, contender: int) -> float:
        """Of the streams judged; 0 where none is."""
        return self.worse[contender] / self.judged if self.judged else 0.0


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The model's standardised squared error less that of one other contender, with its standard error, and p, the
    chance of one so far below 0 between equals; None where `moments` of time are too few (significance.py)."""

    name: str
    difference: float
    error: float | None
    p: float | None
    moments: int
    is_shown: bool


class Unscored(msgspec.Struct, frozen=True, kw_only=True):
    """A target that is constant in the training part of some streams, and there has no score; streams: the first of
    these."""

    target: str
    count: int
    of: int
    streams: list[str]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the model becomes the champion, by which policy (never, if-better, always), and why in words."""

    promoted: bool
    policy: str
    reason: str
    margin: float
    max_worse_streams: float = 1.0
    champion: str | None = None


class RetrainReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything. scores: the model first, then its champion if there is one, then the baselines; comparisons: of
    the model with each of the others, in their order; scale: the middle one of the streams' deviations for each
    target; trials: the fits of a search the model was chosen from, empty without one; usual: the recipe had nothing
    been asked for; notes: what a reader of the scores must know, in whole sentences without a full stop."""

    spec: ModelSpec
    created_ms: int
    source: str
    parts: list[SplitPart]
    dead_letters: dict[str, int]
    recipe: Recipe
    epochs: list[Epoch]
    best_epoch: int
    truths: list[list[int]]
    scale: list[float | None]
    scores: list[Score]
    samples: list[Sample]
    verdict: Verdict
    seconds: float
    versions: dict[str, str]
    trials: list[Trial] = []
    usual: Recipe = Recipe()
    notes: list[str] = []
    streams: StreamScores = StreamScores()
    comparisons: list[Comparison] = []
    unscored: list[Unscored] = []
