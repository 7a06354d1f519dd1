"""What a retrain job found, as it is written to report.json. Knows no picture and no arithmetic.

Shapes: K horizons, O targets, both as nested lists [horizon][target].
"""

import msgspec

from streamrnn.nn.spec import ModelSpec
from streamrnn.train.recipe import Epoch, Recipe
from streamrnn.train.search import Trial

Grid = list[list[float | None]]
"""[horizon][target]; None where there is no truth to compare with."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the split: its ticks, streams and event times (ms)."""

    name: str
    ticks: int
    streams: int
    from_ms: int
    until_ms: int


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """A contender on the test part, on the truths that every contender had a forecast for.

    mse and mae in raw units (squared for mse); standardised by the training part's deviation of each target in
    std_mse and std_mae. coverage: for each quantile of a model that has them, the share of truths below it.
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


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the model becomes the champion, by which policy (never, if-better, always), and why in words."""

    promoted: bool
    policy: str
    reason: str
    margin: float
    champion: str | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything. scores: the model first, then its champion if there is one, then the baselines.
    trials: the fits of a search the model was chosen from, empty without one; usual: the recipe had nothing been
    asked for; notes: what a reader of the scores must know, in whole sentences without a full stop."""

    spec: ModelSpec
    created_ms: int
    source: str
    parts: list[Part]
    dead_letters: dict[str, int]
    recipe: Recipe
    epochs: list[Epoch]
    best_epoch: int
    truths: list[list[int]]
    scale: list[float]
    scores: list[Score]
    samples: list[Sample]
    verdict: Verdict
    seconds: float
    versions: dict[str, str]
    trials: list[Trial] = []
    usual: Recipe = Recipe()
    notes: list[str] = []
