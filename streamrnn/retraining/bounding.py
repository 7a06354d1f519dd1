"""What the service's policy for outliers makes of a history. Owns the pass that applies the new model's own bounds.

Bounds that are given are applied while ticks are read, as the service does. The model's own are only known when all
are read: then the history is spooled again. A tick refused only then has had its say in the order of the others.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.bounds import Outliers
from streamrnn.codecs.reasons import Refused
from streamrnn.config import InputSettings
from streamrnn.nn.spec import ModelSpec, Precision
from streamrnn.train.fineness import passes
from streamrnn.train.history import History, Spool, extents


class Bounding:
    """The policy over rows of values (n, F), and what it has found: refused ticks by reason, outliers by feature.

    ConfigError when bounds are given for what is no feature of the model.
    """

    def __init__(self, spec: ModelSpec, given: InputSettings, precision: Precision = "float64") -> None:
        self._outliers = Outliers(msgspec.structs.replace(spec, precision=precision), given.outliers, given.ranges)
        self._spec, self._policy = spec, given.outliers
        self.refused: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()

    def apply(self, values: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
        """The values after the policy, and which rows (n,) are ticks still."""
        refused: dict[int, Refused] = {}
        values, counts = self._outliers.apply(values, refused)
        taken = np.ones(len(values), np.bool_)
        taken[list(refused)] = False
        self.refused["outlier"] += len(refused)
        if counts is not None:
            self.counts.update(dict(zip(self._spec.features, counts.tolist(), strict=True)))
        if self._spec.missing == "reject":
            missing = taken & np.isnan(values).any(axis=1)
            self.refused["missing_feature"] += int(missing.sum())
            taken &= ~missing
        return values, taken

    def words(self) -> list[str]:
        """A line for each feature that had any."""
        return [
            f"{name}: {count:,} values outside {self._outliers.words(f)} (input.outliers = {self._policy})"
            for f, name in enumerate(self._spec.features)
            if (count := self.counts[name])
        ]


@contextmanager
def bounded(history: History, bounding: Bounding, is_process: bool) -> Iterator[History]:
    """The history under the model's own bounds for the length of a `with`; it itself where nothing changes it."""
    with nullcontext() if is_process else Spool(history.features) as spool:
        for name, (start, stop) in zip(history.streams, extents(history), strict=True):
            for at in passes(stop - start):
                rows = slice(start + at.start, start + at.stop)
                values, taken = bounding.apply(np.asarray(history.values[rows]))
                if spool is not None:
                    spool.add([name] * int(taken.sum()), history.time_ms[rows][taken], values[taken])
        yield history if spool is None or not +bounding.counts else spool.history()
