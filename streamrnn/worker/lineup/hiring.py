"""Makes the voice of a version of the served model while another speaks, on a thread beside the event loop.

Refuses what cannot be had or does not fit: a bundle that is damaged; then a model for which the ticks that
come have no values; rows for which there is no memory. Owns those judgements. Seats nobody.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from streamrnn.codecs import make_decoder
from streamrnn.comparing.paired_errors import PairedErrors
from streamrnn.config import Settings
from streamrnn.errors import BundleError, EngineError
from streamrnn.metrics import Metrics
from streamrnn.nn.model import Model
from streamrnn.nn.spec import ModelSpec
from streamrnn.process.memory import available_bytes
from streamrnn.ticks import RecordColumns
from streamrnn.worker.line import Line, make_line
from streamrnn.worker.lineup.lineup import Lineup
from streamrnn.worker.lineup.voice import ModelVoice
from streamrnn.worker.pauses import Pauses
from streamrnn.worker.source import TickSource

T = TypeVar("T")
FEWEST = 20
"""Ticks before it is said that none of them has a feature."""
MOST_OF_MEMORY = 0.8
"""Of what is left to the process, for the rows of a second line."""


class Hiring:
    """What makes the voices of one worker."""

    def __init__(
        self,
        settings: Settings,
        source: TickSource,
        lineup: Lineup,
        metrics: Metrics,
        load: Callable[[int], Model],
        thread_name: str,
        pauses: Pauses = Pauses(),  # noqa: B008
    ) -> None:
        """load: reads a version from the registry. thread_name: of the thread that nobody waits for at the end."""
        self._settings, self._source, self._lineup, self._metrics = settings, source, lineup, metrics
        self._load, self._thread_name, self._pauses = load, thread_name, pauses

    async def hire(self, version: int) -> ModelVoice:
        """The version's voice, its step compiled; BundleError or EngineError where it is refused."""
        main, newest = self._lineup.main(), self._lineup.newest()
        thread, loop = ThreadPoolExecutor(1, self._thread_name), asyncio.get_running_loop()
        patience_s = self._settings.limits.recovery_stall_s
        try:
            async with asyncio.timeout(patience_s):
                model = await loop.run_in_executor(thread, self._load, version)
            line = await loop.run_in_executor(thread, self._make, model, main.line, newest)
        except TimeoutError as error:
            raise BundleError(f"version {version}: no answer of the registry in {patience_s:g} s") from error
        finally:
            thread.shutdown(wait=False)
        return ModelVoice(self._settings, self._source, line, self._metrics, self._pauses, self._lineup.committed)

    def judge(self, voice: ModelVoice) -> None:
        """BundleError where the newest ticks have nothing for a voice."""
        if (newest := self._lineup.newest()) is not None:
            check_ticks(voice.line.spec, self._settings, *newest)

    def _make(self, model: Model, serving: Line, newest: tuple[RecordColumns, int] | None) -> Line:
        """On the thread."""
        if newest is not None:
            check_ticks(model.spec, self._settings, *newest)
        line = make_line(model, self._settings, self._metrics, self._pauses)
        try:
            check_memory(line, serving, available_bytes())
        except EngineError:
            line.keeper.close()
            line.thread.close()
            raise
        PairedErrors(serving.spec, model.spec, 0)  # compiles its loops here
        return line


def check_ticks(spec: ModelSpec, settings: Settings, records: RecordColumns, taken: int) -> None:
    """BundleError where the newest records, of which the serving model has taken ticks, have nothing for it."""
    ticks, dead = make_decoder(spec, settings).decode(records)
    if taken and not len(ticks):
        why = f"{dead[0].code}: {dead[0].message}" if dead else "they have no ticks"
        raise BundleError(f"{spec.label} can read none of the newest {len(records)} records: {why}")
    if len(ticks) < FEWEST:
        return
    absent = [name for name, values in zip(spec.features, ticks.values.T, strict=True) if np.isnan(values).all()]
    if absent:
        raise BundleError(
            f"none of the newest {len(ticks)} ticks has {', '.join(absent)}, which {spec.label} needs"
        )


def check_memory(line: Line, serving: Line, available: int | None) -> None:
    """EngineError where a second line's rows for the streams that are held would not fit into what is left."""
    streams = serving.engine.resident + serving.engine.parked
    needed = streams * line.engine.row_bytes
    if available is not None and needed > MOST_OF_MEMORY * available and str(line.engine.device) == "cpu":
        raise EngineError(
            f"{line.spec.label} needs {needed / 1e6:.0f} MB for the rows of {streams} streams beside "
            f"{serving.spec.label}, and {available / 1e6:.0f} MB are left"
        )
