"""A worker put together from its parts, as the settings want it. Starts nothing."""

import logging
from dataclasses import dataclass

from streamrnn.codecs import make_decoder
from streamrnn.config import Settings
from streamrnn.engine.engine import Engine
from streamrnn.engine.making import make_engine
from streamrnn.engine.thread import EngineThread
from streamrnn.kafka.reading.member import Source
from streamrnn.kafka.writing.delivery import AtLeastOnce, Delivery
from streamrnn.kafka.writing.transactions import ExactlyOnce
from streamrnn.metrics import Metrics
from streamrnn.nn.model import Model
from streamrnn.provenance.fingerprint import fingerprint
from streamrnn.snapshots import ColdRows, Shelf
from streamrnn.worker.assignment import Assigner
from streamrnn.worker.cold import ColdTiers
from streamrnn.worker.keeper import Keeper, NoKeeper
from streamrnn.worker.keeping import SnapshotKeeper
from streamrnn.worker.loop import Worker
from streamrnn.worker.pauses import Pauses
from streamrnn.worker.recovery import Recovery
from streamrnn.worker.source import TickSource

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stateful:
    """A model's engine, and the shelf where its state is kept, if it is."""

    thread: EngineThread
    fingerprint: str
    cold: ColdTiers
    shelf: Shelf | None

    @property
    def engine(self) -> Engine:
        """The engine that the thread owns."""
        return self.thread.engine


def make_stateful(model: Model, settings: Settings) -> Stateful:
    """The engine and its shelf, which find each other's rows; OSError or ConfigError for a URL not to be had."""
    shelves: list[Shelf] = []

    def cold_of(partition: int) -> ColdRows:
        return shelves[0].cold(partition)

    url, made, cold = settings.snapshots.url, fingerprint(model, settings), ColdTiers(cold_of)
    engine = make_engine(model, settings, None if url is None else cold)
    if url is not None:
        shelves.append(
            Shelf(
                url,
                settings.kafka.group,
                settings.input.topic,
                engine.spec.label,
                made,
                engine.layout.text(),
                device=str(engine.device),
                keep=settings.snapshots.keep,
                has_ended=engine.layout.has_ended,
            )
        )
    return Stateful(EngineThread(engine), made, cold, shelves[0] if shelves else None)


def make_delivery(settings: Settings, source: Source) -> Delivery:
    """The guarantee that was asked for."""
    is_exact = settings.delivery.guarantee == "exactly_once"
    return ExactlyOnce(settings) if is_exact else AtLeastOnce(settings, source)


def make_worker(
    settings: Settings,
    source: TickSource,
    delivery: Delivery,
    kept: Stateful,
    metrics: Metrics,
    pauses: Pauses = Pauses(),  # noqa: B008
) -> Worker:
    """A worker that steps this engine."""
    keeper = _make_keeper(settings, kept, metrics, pauses)
    decoder = make_decoder(kept.engine.spec, settings)
    recovery = Recovery(settings, source, kept.thread, decoder, metrics, keeper, kept.fingerprint, pauses)
    assigner = Assigner(source, recovery, metrics, settings.limits.recoveries, pauses)
    return Worker(settings, source, delivery, kept.thread, metrics, assigner, decoder, keeper, pauses)


def _make_keeper(settings: Settings, kept: Stateful, metrics: Metrics, pauses: Pauses) -> Keeper:
    if kept.shelf is None:
        if settings.delivery.guarantee == "exactly_once":
            log.warning("without snapshots.url a restart rebuilds state from input.warmup_ticks records only")
        return NoKeeper()
    return SnapshotKeeper(
        settings.snapshots,
        kept.shelf,
        kept.thread,
        kept.cold,
        metrics,
        settings.limits.recovery_stall_s,
        settings.engine.max_parked,
        pauses.snapshot_look_s,
    )
