"""Where a job's history comes from: files, or the input topic. Owns the spool it lies in; knows no fit."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamrnn.config import Settings
from streamrnn.errors import DataError
from streamrnn.nn.spec import MissingPolicy, ModelSpec
from streamrnn.retraining.request import Job
from streamrnn.retraining.screen import Screen
from streamrnn.retraining.spec import make_spec
from streamrnn.train.history import History, Spool
from streamrnn.train.tables import Columns, Table, TableBatch, read_table


@dataclass(frozen=True, slots=True)
class Source:
    """A history, the spec of the model to be made from it, where it came from in words, and what was refused."""

    spec: ModelSpec
    history: History
    words: str
    dead_letters: dict[str, int]


@contextmanager
def open_source(settings: Settings, job: Job, champion: ModelSpec | None, screen: Screen) -> Iterator[Source]:
    """The history for the length of a `with`; DataError or a BrokerError when there is none."""
    if job.files:
        tables = _tables(job.files, _columns(job, champion))
        for table in tables:
            screen.say(table.words())
        spec = make_spec(job.wanted, champion, tables[0].features)
        with Spool(tables[0].features) as spool:
            missing = sum(_spool(table, spool, job, spec.missing) for table in tables)
            letters = {"missing_feature": missing} if missing else {}
            yield Source(spec, spool.history(), ", ".join(str(table.path) for table in tables), letters)
        return
    from streamrnn.retraining.from_topic import collect

    spec = make_spec(job.wanted, champion, ())
    with Spool(spec.features) as spool:
        bounds = (job.since_ms, job.until_ms, job.offsets)
        found = asyncio.run(collect(settings, spec, *bounds, spool, lambda ticks: None))
        refused = found.dead_letters or "none"
        screen.say(f"{found.ticks:,} ticks of topic {settings.input.topic}, refused: {refused}")
        yield Source(spec, spool.history(), f"topic {settings.input.topic}", found.dead_letters)


def _columns(job: Job, champion: ModelSpec | None) -> Columns:
    """The features asked for, else the champion's: a history has the features of its model and no others."""
    if champion is None or job.columns.features is not None or job.columns.wide:
        return job.columns
    return replace(job.columns, features=champion.features)


def _spool(table: Table, spool: Spool, job: Job, missing: MissingPolicy) -> int:
    """A file's ticks between the bounds, without those that the service would refuse; how many these are."""
    refused = 0
    for batch in table:
        taken = _between(batch.time_ms, job.since_ms, job.until_ms)
        if missing == "reject":
            whole = ~np.isnan(batch.values).any(axis=1)
            refused += int((taken & ~whole).sum())
            taken &= whole
        spool.add(*_some(batch, taken))
    return refused


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


def _tables(files: Sequence[Path], columns: Columns) -> list[Table]:
    tables = [read_table(path, columns) for path in files]
    stems = [table.stem for table in tables if table.stream is None and not columns.wide]
    if len(set(stems)) < len(stems):
        raise DataError(f"files of one name would be one stream: {stems}; rename them or give --stream-column")
    for table in tables[1:]:
        if table.features != tables[0].features:
            raise DataError(f"{table.path} has {table.features}, {tables[0].path} has {tables[0].features}")
    return tables
