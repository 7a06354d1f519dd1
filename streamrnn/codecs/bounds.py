"""Values outside the bounds of their feature: which they are, how many, and what becomes of them. Knows no format.

Shapes: n ticks, F features.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.reasons import Refused
from streamrnn.config.input import OutlierPolicy
from streamrnn.config.ranges import parse_ranges
from streamrnn.errors import ConfigError
from streamrnn.nn.spec import ModelSpec

OPEN = (-math.inf, math.inf)


class BoundedValues(NamedTuple):
    """values (n, F) after the policy, the very array that came where none was changed; counts (F,) how many of each
    feature were outside, None where none was."""

    values: NDArray[np.floating]
    counts: NDArray[np.int64] | None


class Outliers:
    """The bounds of a model's features, those that `ranges` gives before the model's own, and the policy.

    ConfigError when bounds are given for what is no feature of the model. An infinite value is no outlier: every
    policy refuses it.
    """

    def __init__(self, spec: ModelSpec, policy: OutlierPolicy = "process", ranges: str | None = None) -> None:
        given = parse_ranges(ranges)
        unknown = [name for name in given if name not in spec.features]
        if unknown:
            known = ", ".join(spec.features[:20])
            raise ConfigError(f"input.ranges: {spec.label} has no feature {unknown[0]!r}; it has {known}")
        own = spec.ranges or (None,) * len(spec.features)
        bounds = [given.get(name, of) or OPEN for name, of in zip(spec.features, own, strict=True)]
        with np.errstate(over="ignore"):
            # In the values' own precision: a bound is not outside itself.
            self._low, self._high = np.array(bounds, np.float64).T.astype(spec.precision)
        self._features, self.policy = spec.features, policy
        self.is_known = bool(np.isfinite((self._low, self._high)).any())

    def apply(self, values: NDArray[np.floating], refused: dict[int, Refused]) -> BoundedValues:
        """Count, and do with them what the policy says; rows that are refused already are passed over."""
        if not self.is_known:
            return BoundedValues(values, None)
        outside = (values < self._low) | (values > self._high)
        if not outside.any():
            return BoundedValues(values, None)
        outside &= np.isfinite(values)
        outside[list(refused)] = False
        if self.policy == "dead-letter":
            for row in np.flatnonzero(outside.any(axis=1)).tolist():
                refused[row] = self._refusal(values[row], outside[row])
        elif self.policy != "process":
            instead = np.nan if self.policy == "missing" else np.clip(values, self._low, self._high)
            values = np.where(outside, instead, values).astype(values.dtype, copy=False)
        counts = outside.sum(axis=0)
        return BoundedValues(values, counts if counts.any() else None)

    def words(self, feature: int) -> str:
        """The bounds of one feature, such as -50 to 60."""
        return f"{self._low[feature]:.9g} to {self._high[feature]:.9g}"

    def _refusal(self, row: NDArray[np.floating], outside: NDArray[np.bool_]) -> Refused:
        found = np.flatnonzero(outside).tolist()
        said = [f"{self._features[f]} is {row[f]:.9g}, outside {self.words(f)}" for f in found]
        return Refused("outlier", f"{'; '.join(said)} (input.ranges, else the model's; input.outliers)")
