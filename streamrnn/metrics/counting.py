"""Owns how numbers are gathered per batch: histograms, the newest values, rolling errors. Knows no metric."""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.ticks import Errors

WINDOW = 1000
"""Truths over which the rolling errors are taken, roughly: an exponential window."""


class Histogram:
    """Buckets filled by numpy; bounds are upper and inclusive, as Prometheus counts them. Values are finite."""

    def __init__(self, bounds: Iterable[float]) -> None:
        self.bounds = [float(bound) for bound in bounds]
        self._edges = np.array(self.bounds, dtype=np.float64)
        self.counts = np.zeros(len(self.bounds) + 1, dtype=np.int64)
        self.total = 0.0

    def observe(self, values: NDArray[np.floating[Any]]) -> None:
        """Count every value of an array."""
        self.counts += np.bincount(self._edges.searchsorted(values), minlength=len(self.counts))
        self.total += float(values.sum())

    def observe_one(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """(upper bound, cumulative count), +Inf last."""
        names = [*(repr(bound) for bound in self.bounds), "+Inf"]
        return [(name, float(n)) for name, n in zip(names, np.cumsum(self.counts).tolist(), strict=True)]


class Recent:
    """A ring of the newest `size` values, for percentiles finer than buckets."""

    def __init__(self, size: int) -> None:
        self._values = np.full(size, np.nan)
        self._next = 0

    def observe(self, values: NDArray[np.floating[Any]]) -> None:
        """Keep the values of an array in place of the oldest."""
        newest = values[-len(self._values) :]
        to_end = len(self._values) - self._next
        self._values[self._next : self._next + len(newest)] = newest[:to_end]
        self._values[: max(0, len(newest) - to_end)] = newest[to_end:]
        self._next = (self._next + len(newest)) % len(self._values)

    def percentiles(self, *percents: float) -> list[float]:
        """One number for each, NaN before the first value."""
        known = self._values[~np.isnan(self._values)]
        return [float(p) for p in np.percentile(known, percents)] if len(known) else [np.nan] * len(percents)


class RollingErrors:
    """Exponentially weighted means per horizon and target: the newest `WINDOW` truths, roughly."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.weight = np.zeros(shape)
        self.sums = np.zeros((4, *shape))
        self.truths, self.beyond = np.zeros(shape), np.zeros(shape)

    def add(self, errors: Errors) -> None:
        """Age what is there by the number of new truths, then add them."""
        keep = np.exp(-errors.count / WINDOW)
        new = (errors.squared, errors.absolute, errors.persistence_squared, errors.persistence_absolute)
        self.sums = self.sums * keep + np.stack(new)
        self.weight = self.weight * keep + errors.count
        self.truths += errors.count
        self.beyond += errors.beyond

    def means(self) -> NDArray[np.float64]:
        """(4, K', O): MSE and MAE of the model, MSE and MAE of persistence; NaN where there is no truth."""
        with np.errstate(invalid="ignore", divide="ignore"):
            means: NDArray[np.float64] = np.where(self.weight > 0, self.sums / self.weight, np.nan)
        return means
