"""nn/heads.py for one number, compiled: what a head is to say, and what its numbers mean. Knows no batch.

t is a model's Transforms (transforms.py). Shapes: F features, O targets, K horizons, Q numbers of each.
"""

import math
from typing import Any

import numpy as np

from streamrnn.nn.heads import Change, Level, LogChange
from streamrnn.process.compiling import called, spliced

_CHANGE, _LEVEL, _LOG_CHANGE = Change.code, Level.code, LogChange.code
_ZERO, _UNKNOWN = np.float32(0), np.float32(np.nan)


@called
def target(quantity: int, truth: Any, base: Any) -> Any:
    """The number that makes the prediction `truth`; NaN where there is none."""
    if quantity == _CHANGE:
        return truth - base
    if quantity == _LOG_CHANGE:
        return np.float32(math.log(truth / base)) if truth > _ZERO and base > _ZERO else _UNKNOWN
    return truth


@called
def decode(quantity: int, number: Any, base: Any) -> Any:
    """The prediction that a number makes."""
    if quantity == _CHANGE:
        return base + number
    if quantity == _LOG_CHANGE:
        return base * np.float32(math.exp(number))
    return number


@spliced
def counts(t: Any, k: int, o: int, truth: Any, base: Any) -> bool:
    """Whether a truth of target o at horizon k, forecast from a base value, is within the bound."""
    mean, bound = t.target_mean[k, o], t.target_bound[k, o]
    if bound == np.inf:
        return True
    most = bound * t.target_std[k, o]
    is_base_within = t.quantity != _LEVEL or abs(base - mean) <= most
    return bool(is_base_within and abs(target(t.quantity, truth, base) - mean) <= most)


@called
def is_beyond(t: Any, k: int, o: int, truth: float, base: float) -> bool:
    """As `Truths.beyond`, in double precision, for a truth and a base value that are known."""
    bound, mean = np.float64(t.target_bound[k, o]), np.float64(t.target_mean[k, o])
    if bound == np.inf:
        return False
    most = bound * np.float64(t.target_std[k, o])
    if t.quantity == _CHANGE:
        return not abs(truth - base - mean) <= most
    if t.quantity == _LOG_CHANGE:
        return not (truth > 0 and base > 0 and abs(math.log(truth / base) - mean) <= most)
    return not (abs(truth - mean) <= most and abs(base - mean) <= most)


@spliced
def write_row(t: Any, head: Any, filled: Any, said: Any) -> None:
    """Head output (K O Q,), standardised, to said (K, O, Q) in raw units, quantiles ascending."""
    horizons, targets, quantiles = said.shape
    for k in range(horizons):
        for o in range(targets):
            base = filled[t.targets[o]]
            for q in range(quantiles):
                number = head[(k * targets + o) * quantiles + q] * t.target_std[k, o] + t.target_mean[k, o]
                value = decode(t.quantity, number, base)
                place = q
                while place > 0 and said[k, o, place - 1] > value:
                    said[k, o, place] = said[k, o, place - 1]
                    place -= 1
                said[k, o, place] = value
