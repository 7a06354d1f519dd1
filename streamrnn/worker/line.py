"""A model that serves, as one value: its engine, and all that is made for this model alone. Knows no broker.

What needs a broker is made from a line and a source: recovery.py brings partitions to a line's rows, loop.py drives
ticks through it. A worker may hold several lines, each with an engine on a thread of its own.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import NamedTuple

from streamrnn.codecs import Decoder, Encoder, make_decoder
from streamrnn.config import Settings
from streamrnn.engine.engine import Engine
from streamrnn.engine.making import make_engine
from streamrnn.engine.rows.columns import layout_of
from streamrnn.engine.step.executors import pick_device
from streamrnn.engine.thread import EngineThread
from streamrnn.metrics import Metrics
from streamrnn.nn.model import Model
from streamrnn.nn.spec import ModelSpec
from streamrnn.provenance.fingerprint import fingerprint
from streamrnn.snapshots import Shelf
from streamrnn.ticks import OutColumns, PredictionBatch, TickBatch
from streamrnn.worker.cold_tiers import ColdTiers
from streamrnn.worker.keeper import Keeper, NoKeeper
from streamrnn.worker.pauses import Pauses
from streamrnn.worker.small_batch import AT_ONCE_S, SmallBatch
from streamrnn.worker.snapshot_keeper import SLICE_ROWS, SnapshotKeeper

log = logging.getLogger(__name__)


class Stepped(NamedTuple):
    """A batch that went through the engine, and the records to publish for it; the seconds that it waited for the
    engine's thread, was stepped and was encoded."""

    predictions: PredictionBatch
    records: OutColumns
    queue_s: float
    step_s: float
    encode_s: float

    def stages(self) -> tuple[tuple[str, float], ...]:
        """The stages of metrics that it went through, and the seconds in each."""
        return ("queue", self.queue_s), ("step", self.step_s), ("encode", self.encode_s)


@dataclass(frozen=True, slots=True)
class Line:
    """One model, and what its state is, where it moves, how it is fed and told, and where it is kept.

    fingerprint: of the model and the settings that decide its state. thread: owns the engine. decoder and encoder:
    from records to the model's ticks, and from its predictions to records. shelf: its snapshots; None where nothing
    is kept. cold: rows that only the shelf has, for the engine to ask. keeper: takes the snapshots. small: batches
    that are stepped on the event loop.
    """

    spec: ModelSpec
    fingerprint: str
    thread: EngineThread
    decoder: Decoder
    encoder: Encoder
    shelf: Shelf | None
    cold: ColdTiers | None
    keeper: Keeper
    small: SmallBatch

    @property
    def engine(self) -> Engine:
        """The engine, for its thread to call; its counters may be read by any."""
        return self.thread.engine

    def begin(self, ticks: TickBatch, *, has_misses: bool = False) -> "asyncio.Future[Stepped]":
        """Have ticks stepped and encoded: on the engine's thread, or at once where they are few and it is idle.

        What would read files, or wait for a device, is never stepped here. has_misses: see Engine.step.
        """
        is_small = self.small.has(len(ticks)) and self.thread.is_idle and self.engine.is_at_hand(ticks)
        call = self.thread.call_here if is_small else self.thread.call
        return call(self.step, ticks, time.perf_counter(), has_misses)

    def step(self, ticks: TickBatch, queued_at: float, has_misses: bool = False) -> Stepped:
        """Step and encode, as the engine's owner; metrics are counted on the loop, from what this returns.

        queued_at: when it was queued, by the performance counter. has_misses: see Engine.step.
        """
        started, began_s = time.perf_counter(), time.thread_time()
        predictions = self.engine.step(ticks, has_misses=has_misses)
        stepped = time.perf_counter()
        records = self.encoder.encode(predictions)
        encoded = time.perf_counter()
        self.small.note(len(ticks), time.thread_time() - began_s)
        return Stepped(predictions, records, started - queued_at, stepped - started, encoded - stepped)


def make_line(
    model: Model,
    settings: Settings,
    metrics: Metrics,
    pauses: Pauses = Pauses(),  # noqa: B008
    slice_rows: int = SLICE_ROWS,
    at_once_s: float = AT_ONCE_S,
) -> Line:
    """The line that the settings want, its step compiled; OSError or ConfigError for a URL not to be had.

    Each part is made of those before it: the shelf needs how rows lie, which the model alone decides; the cold tier
    reads from the shelf; the engine asks the cold tier; the keeper copies from the engine to the shelf.
    slice_rows: rows that the keeper copies between two steps at most. at_once_s: see SmallBatch.
    """
    printed = fingerprint(model, settings)
    shelf = _make_shelf(model, settings, printed)
    cold = None if shelf is None else ColdTiers(shelf.cold)
    thread = EngineThread(make_engine(model, settings, cold))
    keeper = _make_keeper(settings, thread, shelf, cold, metrics, pauses, slice_rows)
    small = SmallBatch(at_once_s if thread.engine.device.type == "cpu" else 0.0)
    return Line(model.spec, printed, thread, *_make_codecs(model, settings), shelf, cold, keeper, small)


def make_reading_line(model: Model, settings: Settings) -> Line:
    """A line for who steps again what another has served: it reads snapshots, takes none, and has no cold tier."""
    printed = fingerprint(model, settings)
    thread = EngineThread(make_engine(model, settings))
    shelf, none_small = _make_shelf(model, settings, printed), SmallBatch(0.0)
    return Line(model.spec, printed, thread, *_make_codecs(model, settings), shelf, None, NoKeeper(), none_small)


def _make_codecs(model: Model, settings: Settings) -> tuple[Decoder, Encoder]:
    encoder = Encoder(model.spec, settings.output.codec, settings.input.key)
    return make_decoder(model.spec, settings), encoder


def _make_shelf(model: Model, settings: Settings, printed: str) -> Shelf | None:
    if settings.snapshots.url is None:
        return None
    layout = layout_of(model)
    return Shelf(
        settings.snapshots.url,
        settings.kafka.group,
        settings.input.topic,
        model.spec.label,
        printed,
        layout.text(),
        device=str(pick_device(settings.engine.device)),
        keep=settings.snapshots.keep,
        has_ended=layout.has_ended,
    )


def _make_keeper(
    settings: Settings,
    thread: EngineThread,
    shelf: Shelf | None,
    cold: ColdTiers | None,
    metrics: Metrics,
    pauses: Pauses,
    slice_rows: int,
) -> Keeper:
    if shelf is None or cold is None:
        if settings.delivery.guarantee == "exactly_once":
            log.warning("without snapshots.url a restart rebuilds state from input.warmup_ticks records only")
        return NoKeeper()
    return SnapshotKeeper(
        settings.snapshots,
        shelf,
        thread,
        cold,
        metrics,
        settings.limits.recovery_stall_s,
        settings.engine.max_parked,
        pauses.snapshot_look_s,
        slice_rows,
    )
