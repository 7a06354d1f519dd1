"""A worker put together from a line, a source and a delivery, as the settings want it. Starts nothing."""

from streamrnn.config import Settings
from streamrnn.kafka.reading.member import Source
from streamrnn.kafka.writing.delivery import AtLeastOnce, Delivery
from streamrnn.kafka.writing.transactions import ExactlyOnce
from streamrnn.metrics import Metrics
from streamrnn.worker.assignment import Assigner
from streamrnn.worker.line import Line
from streamrnn.worker.lineup.lineup import Lineup
from streamrnn.worker.lineup.voice import ModelVoice
from streamrnn.worker.loop import Worker
from streamrnn.worker.pauses import Pauses
from streamrnn.worker.source import TickSource


def make_delivery(settings: Settings, source: Source) -> Delivery:
    """The guarantee that was asked for."""
    is_exact = settings.delivery.guarantee == "exactly_once"
    return (ExactlyOnce if is_exact else AtLeastOnce)(settings, source)


def make_worker(
    settings: Settings,
    source: TickSource,
    delivery: Delivery,
    line: Line,
    metrics: Metrics,
    pauses: Pauses = Pauses(),  # noqa: B008
) -> Worker:
    """A worker that serves with this line."""
    lineup = Lineup(source, line.spec.label)
    lineup.add(make_voice(settings, source, line, lineup, metrics, pauses))
    assigner = Assigner(source, lineup, metrics, settings.limits.recoveries, pauses)
    return Worker(settings, source, delivery, lineup, metrics, assigner, pauses)


def make_voice(
    settings: Settings,
    source: TickSource,
    line: Line,
    lineup: Lineup,
    metrics: Metrics,
    pauses: Pauses = Pauses(),  # noqa: B008
) -> ModelVoice:
    """A voice for the lineup to add."""
    return ModelVoice(settings, source, line, metrics, pauses, lineup.committed)
