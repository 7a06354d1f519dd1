"""Where a job's history comes from: files, or the input topic. Owns the spool it lies in; knows no fit."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from streamrnn.config import Settings
from streamrnn.errors import DataError
from streamrnn.nn.spec import ModelSpec
from streamrnn.retraining.screen import Screen
from streamrnn.retraining.spec import make_spec
from streamrnn.train.history import History, Spool
from streamrnn.train.tables import Columns, Table, TableBatch, read_table

if TYPE_CHECKING:
    from streamrnn.retraining.job import Job


@dataclass(frozen=True, slots=True)
class Source:
    """A history, the spec of the model to be made from it, where it came from in words, and what was refused."""

    spec: ModelSpec
    history: History
    words: str
    dead_letters: dict[str, int]


@contextmanager
def open_source(settings: Settings, job: "Job", champion: ModelSpec | None, screen: Screen) -> Iterator[Source]:
    """The history for the length of a `with`; DataError or a BrokerError when there is none."""
    if job.files:
        tables = _tables(job.files, job.columns)
        spec = make_spec(job.wanted, champion, tables[0].features)
        with Spool(tables[0].features) as spool:
            for table in tables:
                for batch in table:
                    spool.add(*_between(batch, job.since_ms, job.until_ms))
            yield Source(spec, spool.history(), ", ".join(str(table.path) for table in tables), {})
        return
    from streamrnn.retraining.from_topic import collect

    spec = make_spec(job.wanted, champion, ())
    with Spool(spec.features) as spool:
        bounds = (job.since_ms, job.until_ms, job.offsets)
        found = asyncio.run(collect(settings, spec, *bounds, spool, lambda ticks: None))
        refused = found.dead_letters or "none"
        screen.say(f"{found.ticks:,} ticks of topic {settings.input.topic}, refused: {refused}")
        yield Source(spec, spool.history(), f"topic {settings.input.topic}", found.dead_letters)


def _between(batch: TableBatch, since_ms: int | None, until_ms: int | None) -> TableBatch:
    """The ticks whose event time lies in the bounds asked for."""
    if since_ms is None and until_ms is None:
        return batch
    inside = np.ones(len(batch.time_ms), dtype=bool)
    if since_ms is not None:
        inside &= batch.time_ms >= since_ms
    if until_ms is not None:
        inside &= batch.time_ms < until_ms
    return TableBatch(list(compress(batch.streams, inside.tolist())), batch.time_ms[inside], batch.values[inside])


def _tables(files: Sequence[Path], columns: Columns) -> list[Table]:
    tables = [read_table(path, columns) for path in files]
    for table in tables[1:]:
        if table.features != tables[0].features:
            raise DataError(f"{table.path} has {table.features}, {tables[0].path} has {tables[0].features}")
    return tables
