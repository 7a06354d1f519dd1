"""Topics in memory as a service that makes no mistake leaves them, and ways to tamper with them."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import msgspec
import torch

from streamrnn.codecs import Encoder, dead_letter_record, make_decoder
from streamrnn.config import Settings
from streamrnn.engine.making import make_engine
from streamrnn.kafka.marks import Mark
from streamrnn.kafka.reading.log import LogExtent
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.provenance.fingerprint import fingerprint
from streamrnn.provenance.pedigree import Pedigree
from streamrnn.ticks import DeadLetter, OutRecord, Record, RecordColumns
from streamrnn.verifying.report import VerifyReport
from streamrnn.verifying.verify import Options, verify
from streamrnn.worker.letters import refused_ticks

SPEC = ModelSpec(
    name="toy",
    features=("x", "y"),
    targets=("x", "y"),
    channels=(Channel("x"), Channel("y", "difference")),
    missing="carry",
    hidden=8,
    horizons=(1, 3),
    quantiles=(0.1, 0.5, 0.9),
)
INPUT, OUTPUT, DEAD = "ticks", "predictions", "ticks.dlq"
BAD = (None, b"not json", b'{"x": "1"}', b'{"x": 1e300}')
CODES = ("null", "undecodable", "bad_type", "not_finite")


def make_model(seed: int = 1, version: int = 1) -> Model:
    torch.manual_seed(seed)
    model = Model(msgspec.structs.replace(SPEC, version=version))
    torch.nn.init.normal_(model.head.weight, std=0.4)
    return model


MODEL = make_model()


def ticks_of(partition: int, count: int, streams: int = 5, step: int = 1, bad_every: int = 11) -> list[Record]:
    """Records of a few streams, one in eleven of them no tick; `step` 2 leaves gaps as transactions do."""
    made = []
    for n in range(count):
        key = f"s{partition}-{n * n % streams}".encode()
        number = {"time": 1_700_000_000_000 + 977 * n, "x": (n * 37 % 101) / 8 - 6, "y": 0.5 * n % 7}
        if n % 5 == 3:
            del number["y"]
        value = BAD[n // bad_every % len(BAD)] if n % bad_every == bad_every - 1 else json.dumps(number).encode()
        made.append(Record(partition, n * step, 1_700_000_000_000 + n, key, value, (("trace", b"%d" % n),)))
    return made


def as_logged(published: OutRecord, offset: int) -> Record:
    return Record(
        published.partition, offset, published.timestamp_ms, published.key, published.value, list(published.headers)
    )


@dataclass
class World:
    """Topics and offsets; `logs` by (topic, partition), whose starts are in `starts` where they are not 0."""

    settings: Settings
    model: Model = field(default_factory=lambda: MODEL)
    logs: dict[tuple[str, int], list[Record]] = field(default_factory=dict)
    starts: dict[tuple[str, int], int] = field(default_factory=dict)
    committed: dict[int, Mark | None] = field(default_factory=dict)
    count: int = 1
    skipped: Counter[tuple[str, int]] = field(default_factory=Counter)

    # What verify asks

    async def partitions(self, topic: str) -> int:
        return self.count

    async def marks(self, partitions: Sequence[int]) -> dict[int, Mark | None]:
        return {partition: self.committed.get(partition) for partition in partitions}

    async def extent(self, topic: str, partition: int) -> LogExtent:
        log, start = self.logs.get((topic, partition), []), self.starts.get((topic, partition), 0)
        return LogExtent(start, max(start, log[-1].offset + 2 if log else 0))  # one marker at the end

    async def read(self, topic: str, partition: int, start: int, stop: int) -> AsyncIterator[list[Record]]:
        assert start >= self.starts.get((topic, partition), 0)
        found = [r for r in self.logs.get((topic, partition), []) if start <= r.offset < stop]
        for at in range(0, len(found), 7):
            yield found[at : at + 7]

    # How it came to be

    def produce(self, records: list[Record]) -> None:
        self.logs.setdefault((INPUT, records[0].partition), []).extend(records)

    def serve(
        self,
        partition: int,
        start: int,
        stop: int,
        since: int | None = None,
        model: Model | None = None,
        commit: int | None = None,
    ) -> None:
        """Publish what offsets start..stop-1 yield, from the state that since..start-1 make, and commit."""
        begin, used = start if since is None else since, model or self.model
        engine, decoder = make_engine(used, self.settings), make_decoder(used.spec, self.settings)
        encoder = Encoder(used.spec, self.settings.output.codec, self.settings.input.key)
        log = [r for r in self.logs[INPUT, partition] if begin <= r.offset < stop]
        warm = [r for r in log if r.offset < start]
        if warm:
            engine.step(decoder.decode(warm)[0], warm=True)
        live = log[len(warm) :]
        for at in range(0, len(live), 5):
            records = RecordColumns.of(live[at : at + 5])
            ticks, dead = decoder.decode(records)
            predictions = engine.step(ticks)
            dead += refused_ticks(records, predictions, self.settings, decoder.element)[0]
            self.append(OUTPUT, encoder.encode(predictions))
            self.append(DEAD, [dead_letter_record(letter, INPUT, used.spec.label) for letter in dead])
            engine.settle(1)
        self.commit(partition, stop if commit is None else commit, begin, start, used)

    def commit(self, partition: int, offset: int, since: int, served_from: int, model: Model | None = None) -> None:
        used = model or self.model
        pedigree = Pedigree(used.spec.label, fingerprint(used, self.settings), since, served_from)
        self.committed[partition] = Mark(offset, pedigree.to_text())

    def append(self, topic: str, records: Sequence[OutRecord]) -> None:
        for record in records:
            log = self.logs.setdefault((topic, record.partition), [])
            log.append(as_logged(record, log[-1].offset + 1 if log else 0))

    def refuse(self, partition: int, offset: int, stage: str = "publish", code: str = "refused") -> None:
        """A dead letter for the record at an offset."""
        record = next(r for r in self.logs[INPUT, partition] if r.offset == offset)
        self.append(DEAD, [dead_letter_record(DeadLetter(record, stage, code, ""), INPUT, self.model.spec.label)])

    def renumber(self, topic: str, partition: int = 0) -> None:
        """Offsets in the order of the list, after tampering."""
        log, start = self.logs[topic, partition], self.starts.get((topic, partition), 0)
        log[:] = [record._replace(offset=start + n) for n, record in enumerate(log)]

    async def verify(self, **options: object) -> VerifyReport:
        return await verify(self.settings, self.model, Options(**options), topics=self)  # type: ignore[arg-type]


def world(
    count: int = 60, partitions: int = 1, guarantee: str = "at_least_once", codec: str = "json", **sections: object
) -> World:
    """One that was served without a fault."""
    given = {
        "input": {"topic": INPUT},
        "output": {"topic": OUTPUT, "codec": codec},
        "delivery": {"guarantee": guarantee},
        "engine": {"device": "cpu"},
    }
    given |= {name: given.get(name, {}) | section for name, section in sections.items()}  # type: ignore[operator]
    made = World(Settings(**given), count=partitions)  # type: ignore[arg-type]
    for partition in range(partitions):
        made.produce(ticks_of(partition, count))
        made.serve(partition, 0, count)
    return made
