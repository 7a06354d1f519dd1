"""A line that speaks or follows, with what the worker needs for either. Owns none of the order between the two."""

import asyncio
import time
from collections.abc import Callable

from streamrnn.comparing.paired_comparison import PairedComparison
from streamrnn.comparing.paired_errors import PairedErrors
from streamrnn.config import Settings
from streamrnn.engine.thread import EngineThread
from streamrnn.nn.spec import ModelSpec
from streamrnn.ticks import PredictionBatch, Record, RecordColumns
from streamrnn.worker.line import Line
from streamrnn.worker.lineup.follower import Follower
from streamrnn.worker.outlier_notes import OutlierNotes
from streamrnn.worker.pauses import Pauses
from streamrnn.worker.recovery import Recovery, RecoveryWatch
from streamrnn.worker.source import TickSource
from streamrnn.worker.too_fine import TooFine
from streamrnn.worker.watching import InputWatch


class ModelVoice:
    """One line: `recovery` places the partitions of which it speaks, `follower` those of which another does.

    outliers, watch, too_fine: what is noted of the ticks that it steps while it speaks.
    """

    def __init__(
        self,
        settings: Settings,
        source: TickSource,
        line: Line,
        told: RecoveryWatch,
        pauses: Pauses,
        committed: Callable[[int], int | None],
    ) -> None:
        """committed: what the worker has committed of a partition."""
        self.line, self.label = line, line.spec.label
        self._paired: PairedErrors | None = None
        self.recovery = Recovery(settings, source, line, told, pauses)
        self.follower = Follower(settings, source, line, committed, pauses, self._compare)
        self.outliers = OutlierNotes(line.spec.features, line.decoder.outliers)
        self.watch = InputWatch(line.spec.features, settings.input, line.decoder.element)
        self.too_fine = TooFine(line.spec, settings)

    @property
    def thread(self) -> EngineThread:
        """The thread that owns the line's engine."""
        return self.line.thread

    def element(self, record: Record, index: int) -> Record:
        """One tick of a record that is a list."""
        return self.line.decoder.element(record, index)

    def note(self, said: PredictionBatch, records: RecordColumns) -> None:
        """Take note of a batch that it has spoken of."""
        self.outliers.note(said.ticks)
        self.watch.note(said.ticks, records)
        self.too_fine.note(records)

    def compare_with(self, spoken: ModelSpec) -> None:
        """From the next batch that is followed on, compare what this line says with what the other has spoken."""
        self.thread.post(self._begin_to_compare, spoken, round(1000 * time.time()))

    def _begin_to_compare(self, spoken: ModelSpec, since_ms: int) -> None:
        self._paired = PairedErrors(spoken, self.line.spec, since_ms)

    def _compare(self, spoken: PredictionBatch, own: PredictionBatch) -> None:
        """On the line's thread."""
        if self._paired is not None:
            self._paired.note(spoken, own)

    async def comparison(self) -> PairedComparison | None:
        """How the line does beside the other; None where there is no other."""
        if (paired := self._paired) is None:
            return None
        asked = self.thread.call(paired.comparison)
        await asyncio.wait({asked})
        return None if asked.cancelled() else asked.result()

    def close(self) -> None:
        """Let go of the engine's thread and the keeper's; waits for neither."""
        self.line.keeper.close()
        self.line.thread.close()
