"""Says which features have values outside their bounds: at the first, then at each tenfold. Counts no metric."""

import logging

import numpy as np

from streamrnn.codecs.bounds import Outliers
from streamrnn.ticks import TickBatch

log = logging.getLogger(__name__)


class OutlierNotes:
    """What was said of each feature so far."""

    def __init__(self, features: tuple[str, ...], outliers: Outliers) -> None:
        self._features, self._outliers = features, outliers
        self._counts = np.zeros(len(features), np.int64)
        self._next = np.ones(len(features), np.int64)

    def note(self, ticks: TickBatch) -> None:
        """Take note of a batch; ticks that are done again count again here."""
        if ticks.outliers is None:
            return
        self._counts += ticks.outliers
        for f in np.flatnonzero(self._counts >= self._next).tolist():
            count = int(self._counts[f])
            self._next[f] = 10 ** len(str(count))
            log.warning(
                "%s: %s outside %s so far (input.outliers = %s; bounds: input.ranges, else the model's)",
                self._features[f],
                f"{count:,} value{'s' * (count > 1)}",
                self._outliers.words(f),
                self._outliers.policy,
            )
