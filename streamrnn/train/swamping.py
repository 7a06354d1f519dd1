"""The one tick that most of an error is about: a score that it swamps says little of all other ticks.

Told by persistence, which errs twice where a value stands out: to it, and back from it. What is absurd does not
count at all (beyond.py); this names what is merely far out. Shapes: n windows, K horizons, O targets.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.nn.truths import Truths
from streamrnn.train.baselines import Persistence
from streamrnn.train.beyond import Outlier
from streamrnn.train.history import Extent, History
from streamrnn.train.judge import Judgement
from streamrnn.train.windows import windows_of

SWAMPED = 0.5
"""Share of all squared errors from which on one tick decides."""
CANDIDATES = 4
"""Largest changes whose ends are looked at."""


class Swamping(NamedTuple):
    """A tick's value, and its share of persistence's squared errors over all streams, 0 to 1."""

    outlier: Outlier
    share: float

    def words(self) -> str:
        """A note."""
        return f"one value makes {self.share:.1%} of persistence's squared error: {self.outlier.words()}"


def swamping(
    history: History,
    part: Sequence[Extent],
    targets: Sequence[str],
    horizons: Sequence[int],
    found: Judgement,
    truths: Truths | None = None,
) -> Swamping | None:
    """None where no tick has more than SWAMPED; it can only lie in the stream that has as much."""
    number = next(n for n, score in enumerate(found.scores) if score.kind == "persistence")
    errors = np.nan_to_num(found.stream_error[:, number])
    stream = int(errors.argmax())
    own = [extent for extent in part if extent.stream_start == history.starts[stream]]
    if not own or errors[stream] <= SWAMPED * errors.sum():
        return None
    whole = float(errors.sum() * found.stream_truths[stream])
    best: Swamping | None = None
    for o, target in enumerate(targets):
        for tick in _far_out(history, own[0], history.features.index(target)):
            error = _about(history, own[0], tick, targets, horizons, truths)[o]
            share = float(np.nan_to_num(error / found.scales[stream, o] ** 2)) / whole
            if share > (best.share if best else SWAMPED):
                best = Swamping(_outlier(history, stream, tick, target), share)
    return best


def _far_out(history: History, extent: Extent, column: int) -> list[int]:
    """Ticks at the ends of the largest changes of a feature."""
    before = max(extent.stream_start, extent.start - 1)
    changes = np.abs(np.diff(history.carried[before : extent.stop, column].astype(np.float64)))
    largest = np.argsort(-np.nan_to_num(changes), kind="stable")[:CANDIDATES] + before + 1
    return sorted({tick for at in largest.tolist() for tick in (at - 1, at) if tick >= extent.start})


def _about(
    history: History,
    extent: Extent,
    tick: int,
    targets: Sequence[str],
    horizons: Sequence[int],
    truths: Truths | None,
) -> NDArray[np.float64]:
    """(O,) persistence's squared errors of forecasts that are of a tick or made at it."""
    longest = max(horizons)
    near = Extent(max(extent.start, tick - longest + 1), min(extent.stop, tick + longest + 1), extent.stream_start)
    total = np.zeros(len(targets))
    persistence = Persistence(targets, horizons)
    for windows in windows_of(history, [near], targets, horizons, 1 << 16, truths):
        error = np.square(windows.truth.astype(np.float64) - persistence.forecast(history, windows)[..., 0])
        is_its = windows.origins[:, None] + np.array(horizons) == tick
        is_its |= (windows.origins == tick)[:, None]
        total += np.nansum(np.where(is_its[..., None], error, 0.0), axis=(0, 1))
    return total


def _outlier(history: History, stream: int, tick: int, target: str) -> Outlier:
    value = float(history.values[tick, history.features.index(target)])
    return Outlier(history.streams[stream], target, int(history.time_ms[tick]), value)
