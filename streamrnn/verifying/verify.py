"""The verification as a function: topics and a model in, a report out. Owns the order of the partitions."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from streamrnn.config import Settings
from streamrnn.errors import DataError, TopicError
from streamrnn.nn.model import Model
from streamrnn.process.terminal import counted
from streamrnn.verifying.partition_check import (
    PartitionCheck,
    VerifyProgress,
    VerifyTerms,
    Watch,
    check_pedigree,
    pedigree_of,
)
from streamrnn.verifying.reciting import LoadModel, Reciters, no_other
from streamrnn.verifying.report import VerifyReport
from streamrnn.verifying.topics import KafkaTopics, Topics


@dataclass(frozen=True, slots=True)
class Options:
    """partitions: only these; since: first tick of the state where no pedigree tells it; guarantee: in place of the
    settings'; strict: doubled records are faults whatever the guarantee; limit: examples of each kind of fault."""

    partitions: tuple[int, ...] = ()
    since: int | None = None
    guarantee: Literal["at_least_once", "exactly_once"] | None = None
    strict: bool = False
    limit: int = 10


def _unwatched(_: VerifyProgress) -> None:
    """Nobody looks."""


async def verify(
    settings: Settings,
    model: Model,
    options: Options | None = None,
    *,
    topics: Topics | None = None,
    watch: Watch = _unwatched,
    load: LoadModel = no_other,
) -> VerifyReport:
    """Recompute what the service published for its committed input and compare, partition by partition.

    Where another model speaks of a partition, or spoke of it before, it is loaded and what it said is compared too.

    Memory: some 80 bytes for each prediction of one partition, and the state of its streams. ConfigError when
    another model served, DataError for a partition that does not exist, BrokerError as Kafka has it,
    StoreUnavailable where snapshots are needed and cannot be read.
    """
    given, began_s = options or Options(), time.monotonic()
    seen = topics or KafkaTopics(settings)
    guarantee = given.guarantee or settings.delivery.guarantee
    is_exact = guarantee == "exactly_once"
    terms = VerifyTerms(settings, is_exact, given.since, given.limit)
    numbers = await _numbers(settings, given, seen)
    reports = []
    with Reciters(settings, model, load) as reciters:
        for number, mark in (await seen.marks(numbers)).items():
            reciter = reciters.speaking(pedigree_of(mark))
            check_pedigree(number, mark, reciter)  # before hours of work on those before it
        for number in numbers:
            reports.append(await PartitionCheck(number, terms, seen, reciters, watch).run())
    seconds = time.monotonic() - began_s
    return VerifyReport(model.spec.label, guarantee, is_exact or given.strict, seconds, tuple(reports))


def _unequal(source: str, count: int, topic: str, other: int) -> str:
    return (
        f"topic {source} has {counted(count, 'partition')} and topic {topic} has {other}: an answer stands in the "
        "partition of its tick, so nothing can be compared where the numbers differ"
    )


async def _numbers(settings: Settings, given: Options, topics: Topics) -> list[int]:
    """The partitions asked for; all three topics must have them."""
    names = (settings.input.topic, settings.output.topic, settings.dead_letter_topic)
    counts: Mapping[str, int] = {name: await topics.partitions(name) for name in names}
    count = counts[settings.input.topic]
    for name in names:
        if not counts[name]:
            raise TopicError(f"topic {name} does not exist")
        if counts[name] != count:
            raise TopicError(_unequal(names[0], count, name, counts[name]))
    wrong = [number for number in given.partitions if number >= count]
    if wrong:
        raise DataError(f"{names[0]} has no partition {wrong[0]}: it has 0 to {count - 1}")
    return sorted(set(given.partitions)) or list(range(count))
