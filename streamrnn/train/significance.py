"""Whether one forecaster's loss is less than another's by more than chance gives: Diebold & Mariano (1995).

Losses of all streams are put together moment by moment before anything is squared (Driscoll & Kraay 1998), so that
streams that err together count as one. What is left is a series whose mean has a long-run variance: the mean of the
squares of its first few cosine weights, against Student's t with so many degrees of freedom, which holds its size
where Newey & West's is too sure (Lazarus, Lewis, Stock & Watson 2018). Closed form, nothing drawn.
Shapes: T moments.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEAST_MOMENTS = 50
"""With fewer moments of time nothing is shown, whatever the numbers."""
SIGNIFICANCE = 0.05
"""How often two that are equally good may be told apart in one direction."""


class Difference(NamedTuple):
    """Mean of first minus second; error: its standard error; p: chance of one so far below 0 if there were none.

    error and p are NaN where moments are too few.
    """

    mean: float
    error: float
    p: float
    moments: int

    @property
    def is_shown(self) -> bool:
        """Whether the first is shown to be better."""
        return self.p < SIGNIFICANCE


def compare(difference: NDArray[np.float64], weight: NDArray[np.float64], longest: float) -> Difference:
    """Of summed losses (T,), first minus second, and how much counts at each moment (T,).

    longest: moments that a forecast looks ahead at most: errors nearer than that are correlated.
    """
    whole = float(weight.sum())
    mean = float(difference.sum()) / whole if whole else math.nan
    rest = (difference - mean * weight)[weight > 0]
    cosines = freedom_of(len(rest), longest)
    if len(rest) < LEAST_MOMENTS or not cosines:
        return Difference(mean, math.nan, math.nan, len(rest))
    error = math.sqrt(len(rest) * _long_run_variance(rest, cosines)) / whole
    return Difference(mean, error, chance_below(mean, error, cosines), len(rest))


def chance_below(mean: float, error: float, freedom: int) -> float:
    """The chance of a mean so far below 0, or farther, if the true one were 0."""
    if error == 0:
        return 0.5 if mean == 0 else float(mean > 0)
    return student(mean / error, freedom)


def freedom_of(moments: int, longest: float) -> int:
    """How many cosines: 0.4 T^(2/3) as published, of periods that are not within two of the longest horizon."""
    return int(min(0.4 * moments ** (2 / 3), moments / (2 * max(1.0, longest))))


def _long_run_variance(series: NDArray[np.float64], freedom: int) -> float:
    """Mean square of a series' weights on the first cosines; (T,) of mean 0."""
    return float(np.square(_waves(len(series), freedom) @ series).mean() * 2 / len(series))


@lru_cache(maxsize=1)
def _waves(moments: int, freedom: int) -> NDArray[np.float64]:
    """The first cosines (freedom, T), kept for who compares many series of one length."""
    middle = (np.arange(moments) + 0.5) / moments
    waves: NDArray[np.float64] = np.cos(np.pi * np.arange(1, freedom + 1)[:, None] * middle)
    return waves


def student(t: float, freedom: int) -> float:
    """The chance of a Student's t at or below t (Abramowitz & Stegun 26.7.3, 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    square = math.cos(angle) ** 2
    is_odd = freedom % 2
    term = math.cos(angle) if is_odd else 1.0
    total = 0.0 if freedom == 1 else term
    for n in range(2 + is_odd, freedom - 1, 2):
        term *= square * (n - 1) / n
        total += term
    inside = math.sin(angle) * total
    return 0.5 + (angle + inside) / math.pi if is_odd else 0.5 + inside / 2
