"""How many records are fetched at once, where one may hold many ticks. Knows no Kafka."""


class Pace:
    """So many records that a batch has about `most` ticks, going by the newest batch; one at least."""

    def __init__(self, most: int) -> None:
        self._most = self.records = most

    def note(self, records: int, ticks: int) -> None:
        """What a batch was."""
        self.records = min(self._most, max(1, self._most * records // max(1, ticks)))
