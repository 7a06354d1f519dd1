"""The input topic as a history: its records through the service's own decoder, so that a model is trained on the
ticks that the service would step. Knows no fit."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import NamedTuple

from streamrnn.codecs import make_decoder
from streamrnn.codecs.keys import to_text
from streamrnn.config import Settings
from streamrnn.config.input import KeyKind
from streamrnn.kafka.reading.history import OffsetBounds, Span, find_spans, read_spans
from streamrnn.nn.spec import ModelSpec
from streamrnn.retraining.ordering import Ordering
from streamrnn.ticks import STATUS, Record, TickBatch
from streamrnn.train.history import Spool


class ReadingProgress(NamedTuple):
    """How far the reading has come: ticks taken, and offsets passed of all there are."""

    ticks: int
    offsets: int
    all_offsets: int


Watch = Callable[[ReadingProgress], None]


@dataclass(frozen=True, slots=True)
class Collected:
    """What was read: accepted ticks, refused records by the reason's code, outliers by feature, and from where."""

    ticks: int
    dead_letters: dict[str, int]
    outliers: dict[str, int]
    spans: list[Span]


async def collect(
    settings: Settings,
    spec: ModelSpec,
    since: int | None,
    until: int | None,
    offsets: OffsetBounds | None,
    spool: Spool,
    watch: Watch,
) -> Collected:
    """Spool what the input holds between these bounds (see `find_spans`), each stream in offset order.

    Memory holds one batch of `input.max_poll_records` and the streams' names. TopicError, DataError or another
    BrokerError as `find_spans` says; DataError when the disk is full.
    """
    spans = await find_spans(settings, since, until, offsets or None)
    intake = _Intake(settings, spec, spool)
    passed, all_offsets = dict.fromkeys(spans, 0), sum(span.length for span in spans)
    span_of = {span.partition: span for span in spans}
    async with aclosing(read_spans(settings, spans, settings.input.max_poll_records)) as batches:
        async for records in batches:
            intake.take(records)
            span = span_of[records[-1].partition]
            passed[span] = records[-1].offset + 1 - span.start
            watch(ReadingProgress(intake.ticks, sum(passed.values()), all_offsets))
    return Collected(intake.ticks, dict(intake.refused), dict(intake.outliers), spans)


class _Intake:
    """Records to ticks in the spool, counted."""

    def __init__(self, settings: Settings, spec: ModelSpec, spool: Spool) -> None:
        self.ticks = 0
        self.refused: Counter[str] = Counter()
        self.outliers: Counter[str] = Counter()
        self._features = spec.features
        self._spool, self._names = spool, _Names(settings.input.key)
        self._decoder = make_decoder(spec, settings)
        self._ordering = Ordering(settings.input)

    def take(self, records: Sequence[Record]) -> None:
        ticks, dead = self._decoder.decode(records)
        status = self._ordering.judge(ticks)
        taken = (status == 0).nonzero()[0]
        self._spool.add(self._names.of(ticks, taken.tolist()), ticks.time_ms[taken], ticks.values[taken])
        self.ticks += len(taken)
        self.refused.update(letter.code for letter in dead)
        if ticks.outliers is not None:
            self.outliers.update(dict(zip(self._features, ticks.outliers.tolist(), strict=True)))
        self.refused.update(STATUS[code] for code in status.tolist() if code)


class _Names:
    """A name for each stream: its key as it is shown, and the partition too where another partition has that key
    already, and its number where an earlier one of that key has ended.

    To the service a key in two partitions is two streams; no two streams ever get the same name.
    """

    def __init__(self, kind: KeyKind) -> None:
        self._kind = kind
        self._names: dict[tuple[int, bytes], str] = {}
        self._ended: Counter[tuple[int, bytes]] = Counter()
        self._taken: set[str] = set()

    def of(self, ticks: TickBatch, taken: list[int]) -> list[str]:
        """The names of the streams of these ticks, in order."""
        partitions, streams, name = ticks.partition.tolist(), ticks.streams, self.name
        if ticks.endings is None:
            return [name(partitions[i], streams[i]) for i in taken]
        endings, is_taken, names = ticks.endings.by_tick(), set(taken), list[str]()
        for i in range(len(ticks) + 1):
            for key in endings.get(i, ()):
                self._end(key)
            if i in is_taken:
                names.append(name(partitions[i], streams[i]))
        return names

    def _end(self, key: tuple[int, bytes]) -> None:
        if self._names.pop(key, None) is not None:
            self._ended[key] += 1

    def name(self, partition: int, key: bytes) -> str:
        known = self._names.get((partition, key))
        return self._new(partition, key) if known is None else known

    def _new(self, partition: int, key: bytes) -> str:
        name = to_text(key, self._kind)
        if (partition, key) in self._ended:
            name += f" ({self._ended[partition, key] + 1})"
        while name in self._taken:
            name += f" (partition {partition})"
        self._taken.add(name)
        self._names[partition, key] = name
        return name
