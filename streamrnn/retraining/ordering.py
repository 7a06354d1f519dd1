"""Which ticks of a history the service would have refused for their order. The slow twin of the engine's own rules.

Knows no network: what a model would have refused as not finite is in the history.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from streamrnn.config import InputSettings
from streamrnn.ticks import STATUS, TickBatch


class Ordering:
    """Remembers of each stream the highest order and event time that was taken."""

    def __init__(self, given: InputSettings) -> None:
        after_s = given.late_after_s if given.late != "process" else None
        self._late_after_ms = None if after_s is None else round(1000 * after_s)
        self._refuses_duplicates = given.duplicates != "process"
        self._refuses_older = given.out_of_order != "process"
        self._newest: dict[tuple[int, bytes], tuple[int, int]] = {}

    @property
    def is_off(self) -> bool:
        """Whether nothing is ever refused."""
        return self._late_after_ms is None and not self._refuses_duplicates and not self._refuses_older

    def judge(self, ticks: TickBatch) -> NDArray[np.uint8]:
        """(n,) uint8 codes of STATUS, in arrival order."""
        status = np.zeros(len(ticks), np.uint8)
        if self.is_off:
            return status
        endings = {} if ticks.endings is None else ticks.endings.by_tick()
        columns = (ticks.partition.tolist(), ticks.streams, ticks.order.tolist(), ticks.time_ms.tolist())
        for i, (partition, stream, order, time_ms) in enumerate(zip(*columns, strict=True)):
            self._end(endings.get(i, ()))
            known = self._newest.get((partition, stream))
            word = "ok" if known is None else self._word(order, time_ms, *known)
            if word == "ok":
                last, newest = known or (order, time_ms)
                self._newest[partition, stream] = max(last, order), max(newest, time_ms)
            status[i] = STATUS.index(word)
        self._end(endings.get(len(ticks), ()))
        return status

    def _end(self, ended: Iterable[tuple[int, bytes]]) -> None:
        for key in ended:
            self._newest.pop(key, None)

    def _word(self, order: int, time_ms: int, last_order: int, newest_ms: int) -> str:
        if self._late_after_ms is not None and newest_ms - time_ms > self._late_after_ms:
            return "late"
        if self._refuses_duplicates and order == last_order:
            return "duplicate"
        return "out_of_order" if self._refuses_older and order < last_order else "ok"
