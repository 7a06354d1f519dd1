"""Says which features most ticks miss, and that event times lie far from their records'. Refuses nothing."""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from streamrnn.codecs.fields import base_path
from streamrnn.codecs.formats.known import objects_in
from streamrnn.codecs.second_look import names_in, resembling
from streamrnn.config.input import InputSettings
from streamrnn.ticks import NO_INDEX, Record, TickBatch, far_times

log = logging.getLogger(__name__)
WINDOW = 1000
"""Newest ticks over which a share is taken, but for the rest of the oldest batch."""
FEWEST = 20
"""Ticks before a share is judged."""
MOST_MISSING, FEW_MISSING = 0.5, 0.25
"""Above the one it begins to be said, below the other it is over: a share near one of them says nothing anew."""
SAY_MISSING_S, SAY_FAR_S = 60.0, 3600.0
Element = Callable[[Record, int], Record]


class InputWatch:
    """The share of missing values by feature, and when what was said last; ticks done again count again here."""

    def __init__(
        self,
        features: tuple[str, ...],
        given: InputSettings,
        element: Element,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._features, self._given, self._element, self._clock = features, given, element, clock
        self._objects = objects_in(given.codec)
        self._window: deque[tuple[int, Any]] = deque()
        self._ticks, self._missing = 0, np.zeros(len(features), np.int64)
        self._said: dict[int, float] = {}
        self._resembles: dict[int, str | None] = {}
        self._far_said = -np.inf

    def note(self, ticks: TickBatch, records: Sequence[Record]) -> None:
        """Take note of a batch and the records that it was read from."""
        if not len(ticks):
            return
        self._push(len(ticks), 0 if ticks.missing is None else ticks.missing)
        if self._said or self._missing.any():
            self._judge(ticks, records)
        if ticks.far:
            self._say_far(ticks)

    def status(self) -> dict[str, dict[str, Any]]:
        """By feature that most ticks miss: the share, and the field that it resembles or None."""
        return {
            self._features[f]: {"share": float(self._missing[f] / self._ticks), "resembles": self._resembles.get(f)}
            for f in sorted(self._said)
        }

    def _push(self, count: int, missing: Any) -> None:
        self._window.append((count, missing))
        self._ticks, self._missing = self._ticks + count, self._missing + missing
        while self._ticks - self._window[0][0] >= WINDOW:
            oldest, gone = self._window.popleft()
            self._ticks, self._missing = self._ticks - oldest, self._missing - gone

    def _judge(self, ticks: TickBatch, records: Sequence[Record]) -> None:
        if self._ticks < FEWEST:
            return
        most = set(np.flatnonzero(self._missing > MOST_MISSING * self._ticks).tolist())
        few = set(np.flatnonzero(self._missing < FEW_MISSING * self._ticks).tolist())
        for f in sorted(self._said.keys() & few):
            del self._said[f]
            self._resembles.pop(f, None)
            log.info("%s is no longer missing in most ticks", self._features[f])
        now = self._clock()
        for f in sorted(most):
            if now - self._said.get(f, -np.inf) >= SAY_MISSING_S:
                self._said[f] = now
                self._say_missing(f, ticks, records)

    def _say_missing(self, f: int, ticks: TickBatch, records: Sequence[Record]) -> None:
        rows = np.flatnonzero(np.isnan(ticks.values[:, f]))
        if len(rows):
            self._resembles[f] = self._meant(f, ticks.places(rows[-1:])[0], records)
        meant = self._resembles.get(f)
        log.warning(
            "%s is missing in %.0f %% of the newest %d ticks%s",
            self._features[f],
            100 * self._missing[f] / self._ticks,
            self._ticks,
            f"; records have {meant}" if meant else "",
        )

    def _meant(self, f: int, place: tuple[int, int, int], records: Sequence[Record]) -> str | None:
        """The field of one record that may be the feature that it misses."""
        record = next((r for r in records if (r.partition, r.offset) == place[:2]), None)
        if record is None or self._objects is None:
            return None
        if place[2] != NO_INDEX:
            record = self._element(record, place[2])
        names = names_in(record.value or b"", self._objects, base_path(self._given.path))
        return resembling(self._features[f], [name for name in names if name not in self._features])

    def _say_far(self, ticks: TickBatch) -> None:
        now = self._clock()
        if now - self._far_said < SAY_FAR_S:
            return
        self._far_said = now
        row = int(np.flatnonzero(far_times(ticks))[-1])
        [(partition, offset, _)] = ticks.places(np.array([row]))
        is_guessed = self._given.time_unit == "auto"  # where the unit was named, old times are meant
        log.log(
            logging.WARNING if is_guessed else logging.INFO,
            "event times lie more than a day from their records' timestamps, as that of partition %d offset %d: "
            "%d ms, its record's %d ms. A replay is so; else see input.time_unit (%s)",
            partition,
            offset,
            ticks.time_ms[row],
            ticks.arrival_ms[row],
            self._given.time_unit,
        )
