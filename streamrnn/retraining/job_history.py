"""Where a job's history comes from: files, or the input topic. Owns the spool it lies in; knows no fit."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import compress
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrnn.config import InputSettings, Settings
from streamrnn.nn.spec import ModelSpec, Precision
from streamrnn.retraining.bounding import Bounding, bounded
from streamrnn.retraining.ordering import Ordering
from streamrnn.retraining.request import RetrainRequest
from streamrnn.retraining.screen import Screen
from streamrnn.retraining.wanted import make_spec
from streamrnn.tables.description import TableColumns
from streamrnn.tables.feed import Feed, open_feed
from streamrnn.tables.reading import TableBatch
from streamrnn.ticks import STATUS, TickBatch
from streamrnn.train.history import History, Split, Spool, split_by_time, split_each
from streamrnn.train.trained_ranges import ranges_of


@dataclass(frozen=True, slots=True)
class JobHistory:
    """A history, the spec of the model to be made from it, its split, where it came from in words, and what was
    refused."""

    spec: ModelSpec
    history: History
    split: Split
    words: str
    dead_letters: dict[str, int]


class Read(NamedTuple):
    """What was read: from where in words, refused ticks by reason, and outliers by feature."""

    words: str
    refused: Counter[str]
    outliers: Counter[str]


@contextmanager
def open_source(
    settings: Settings, job: RetrainRequest, champion: ModelSpec | None, screen: Screen
) -> Iterator[JobHistory]:
    """The history for the length of a `with`; DataError or a BrokerError when there is none."""
    if job.files:
        may_run_back = settings.input.out_of_order != "process"
        feed = open_feed(job.files, _columns(job, champion), may_run_back=may_run_back)
        for line in feed.words():
            screen.say(line)
        spec = make_spec(job.wanted, champion, feed.features)
        with Spool(feed.features) as spool:
            read = _spool(feed, spool, job, Ordering(settings.input), Bounding(spec, settings.input))
            for line in feed.notes():
                screen.say(line)
            with _source(spec, spool, read, settings.input, job, screen) as source:
                yield source
        return
    from streamrnn.retraining.from_topic import collect

    spec = msgspec.structs.replace(make_spec(job.wanted, champion, ()), precision="float64")
    with Spool(spec.features) as spool:
        bounds = (job.excerpt.since_ms, job.excerpt.until_ms, job.excerpt.bounds())
        found = asyncio.run(collect(settings, spec, *bounds, spool, lambda ticks: None))
        refused = found.dead_letters or "none"
        screen.say(f"{found.ticks:,} ticks of topic {settings.input.topic}, refused: {refused}")
        read = Read(f"topic {settings.input.topic}", Counter(found.dead_letters), Counter(found.outliers))
        with _source(spec, spool, read, settings.input, job, screen) as source:
            yield source


@contextmanager
def _source(
    spec: ModelSpec, spool: Spool, read: Read, given: InputSettings, job: RetrainRequest, screen: Screen
) -> Iterator[JobHistory]:
    """The history as the service would take it, with the model's ranges and the precision that it needs."""
    cut, is_process = split_each if job.excerpt.split_each else split_by_time, given.outliers == "process"
    raw = spool.history()
    split, precision = cut(raw, job.excerpt.shares), _precision(raw)
    spec = msgspec.structs.replace(spec, ranges=ranges_of(raw, split.train), precision=precision)
    bounding = Bounding(spec, given, precision)
    with bounded(raw, bounding, is_process) as history:
        if not is_process:
            bounding.counts.update(read.outliers)
        for line in bounding.words():
            screen.say(line)
        if history.fine:
            fine = ", ".join(history.fine)
            screen.say(f"{fine}: float32 cannot tell its steps; the model takes values as float64")
        split = split if history is raw else cut(history, job.excerpt.shares)
        spec = msgspec.structs.replace(spec, precision=_precision(history))
        yield JobHistory(spec, history, split, read.words, dict(+(read.refused + bounding.refused)))


def _precision(history: History) -> Precision:
    return "float64" if history.fine else "float32"


def _columns(job: RetrainRequest, champion: ModelSpec | None) -> TableColumns:
    """The features asked for, else the champion's: a history has the features of its model and no others."""
    if champion is None or job.columns.features is not None or job.columns.wide:
        return job.columns
    return replace(job.columns, features=champion.features)


def _spool(feed: Feed, spool: Spool, job: RetrainRequest, ordering: Ordering, bounding: Bounding) -> Read:
    """The ticks between the bounds, without those that the service would refuse."""
    refused: Counter[str] = Counter()
    for batch in feed:
        batch = _some(batch, _between(batch.time_ms, job.excerpt.since_ms, job.excerpt.until_ms))
        values, taken = bounding.apply(batch.values)
        batch = _some(batch._replace(values=values.astype(np.float64, copy=False)), taken)
        status = _judge(batch, ordering)
        refused.update(STATUS[code] for code in status.tolist() if code)
        accepted = _some(batch, status == 0)
        spool.add(accepted.streams, accepted.time_ms, accepted.values)
    return Read(", ".join(map(str, job.files)), refused + bounding.refused, bounding.counts)


def _judge(batch: TableBatch, ordering: Ordering) -> NDArray[np.uint8]:
    """What the service says of their order, as if they came in one partition."""
    n = len(batch.streams)
    if ordering.is_off:
        return np.zeros(n, np.uint8)
    streams = [name.encode() for name in batch.streams]
    partition, offset, time_ms = np.zeros(n, np.int32), np.arange(n, dtype=np.int64), batch.time_ms
    none = np.zeros((n, 0), np.float32)
    return ordering.judge(TickBatch(partition, offset, time_ms, time_ms, streams, none, time_ms))


def _between(time_ms: NDArray[np.int64], since_ms: int | None, until_ms: int | None) -> NDArray[np.bool_]:
    """Which event times lie in the bounds asked for."""
    inside = np.ones(len(time_ms), dtype=np.bool_)
    if since_ms is not None:
        inside &= time_ms >= since_ms
    if until_ms is not None:
        inside &= time_ms < until_ms
    return inside


def _some(batch: TableBatch, taken: NDArray[np.bool_]) -> TableBatch:
    if taken.all():
        return batch
    return TableBatch(list(compress(batch.streams, taken.tolist())), batch.time_ms[taken], batch.values[taken])
