"""Who was compared, and means over their scores: the little arithmetic that the page does.

Shapes: K horizons, O targets; a grid is [horizon][target].
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from streamrnn.pages.markup import Markup, isolated, named
from streamrnn.train.retrain_report import Grid, RetrainReport, Score

ROLES = ("champion", "persistence", "seasonal", "ridge")
"""Kinds with a colour and a dash of their own on every page."""
OTHERS = 4

Cells = Sequence[float | None]


class Contender(NamedTuple):
    """A score and the style (a class of the page's) by which it is known in all plots."""

    score: Score
    style: str

    @property
    def name(self) -> Markup:
        """As markup, of bounded length."""
        return named(self.score.name, 48)

    @property
    def plain_name(self) -> str:
        """As plain text, of bounded length."""
        return isolated(self.score.name, 48)


class Measure(NamedTuple):
    """One of the four grids of a score; is_raw: in the target's own unit, so targets do not compare."""

    title: str
    of: Callable[[Score], Grid]
    is_raw: bool


MSE = Measure("Standardised MSE", lambda score: score.std_mse, False)
MAE = Measure("Standardised MAE", lambda score: score.std_mae, False)
RAW_MSE = Measure("MSE in the square of the target\u2019s unit", lambda score: score.mse, True)
RAW_MAE = Measure("MAE in the target\u2019s unit", lambda score: score.mae, True)


def contenders(report: RetrainReport) -> list[Contender]:
    """In the report's order; the first is the model, the others are known by their kind."""
    found: list[Contender] = []
    others = 0
    for n, score in enumerate(report.scores):
        role = "model" if n == 0 else next((r for r in ROLES if r in score.kind.lower()), None)
        if role is None or any(c.style == role for c in found):
            role, others = f"other{others % OTHERS}", others + 1
        found.append(Contender(score, role))
    return found


def persistence(found: Iterable[Contender]) -> Contender | None:
    """The forecast that nothing changes, what every other is measured by."""
    return next((c for c in found if c.style == "persistence"), None)


def mean(cells: Iterable[float | None]) -> float | None:
    """Of the known cells; NaN where one is NaN, for it hides nothing."""
    known = [cell for cell in cells if cell is not None]
    return sum(known) / len(known) if known else None


def overall(grid: Grid) -> float | None:
    """Over horizons and targets."""
    return mean(cell for row in grid for cell in row)


def by_target(grid: Grid) -> list[float | None]:
    """(O,) over horizons."""
    return [mean(column) for column in zip(*grid, strict=True)]


def by_horizon(grid: Grid) -> list[float | None]:
    """(K,) over targets."""
    return [mean(row) for row in grid]


def least(cells: Cells) -> float | None:
    """The best of errors; None where there is no number, or nothing to be better than."""
    known = [cell for cell in cells if cell is not None and not math.isnan(cell)]
    return min(known) if len(known) > 1 else None
