"""Who complains of the broker at this moment; the change from nobody to somebody is said. Asks nothing itself."""

import logging

from streamrnn.metrics import Metrics

log = logging.getLogger(__name__)


class Complaints:
    """What each of those who ask the broker has to say, by what they were doing."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._open: dict[str, str] = {}

    @property
    def is_none(self) -> bool:
        """Whether everybody is content."""
        return not self._open

    def has(self, doing: str) -> bool:
        """Whether the one who is `doing` something complains."""
        return doing in self._open

    def note(self, doing: str, complaint: str = "") -> None:
        """How the broker answered the one who is `doing` something; no complaint takes the last one back."""
        was_none = self.is_none
        self._open.pop(doing, None)
        if complaint:
            self._open[doing] = complaint
        if self.is_none != was_none:
            log.warning(f"broker is away, waiting for it: {complaint}" if was_none else "broker is back")
            self._metrics.broker_up(self.is_none)
