"""Which activities (fetch, publish, commit, connect) fail at the broker now. Asks no broker itself."""

import logging

from streamrnn.metrics import Metrics

log = logging.getLogger(__name__)


class BrokerHealth:
    """The complaint of each activity whose last answer was a failure; logs the first, and when all work again."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._failing: dict[str, str] = {}

    @property
    def is_good(self) -> bool:
        """Whether no activity fails."""
        return not self._failing

    def fails(self, doing: str) -> bool:
        """Whether this activity fails."""
        return doing in self._failing

    def note(self, doing: str, complaint: str = "") -> None:
        """How the broker answered an activity last; no complaint takes the earlier one back."""
        was_good = self.is_good
        self._failing.pop(doing, None)
        if complaint:
            self._failing[doing] = complaint
        if self.is_good != was_good:
            log.warning(f"broker is away, waiting for it: {complaint}" if was_good else "broker is back")
            self._metrics.broker_up(self.is_good)
