"""Tables written and read whole in tests."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamrnn.errors import DataError
from streamrnn.tables.description import TableColumns
from streamrnn.tables.reading import TableBatch, read_table

DATA = Path(__file__).parents[2].parent / "shared" / "data"
T0 = 1_467_331_200_000
"""2016-07-01 00:00:00 UTC in ms."""


def written(folder: Path, text: str, name: str = "pump.csv") -> Path:
    path = folder / name
    raw = text.encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


def parquet(folder: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), folder / "pump.parquet", row_group_size=3)
    return folder / "pump.parquet"


def whole(path: Path, columns: TableColumns | None = None) -> TableBatch:
    """All batches as one."""
    batches = list(read_table(path, columns))
    streams = [stream for batch in batches for stream in batch.streams]
    return TableBatch(
        streams, np.concatenate([b.time_ms for b in batches]), np.concatenate([b.values for b in batches])
    )


def refused(path: Path, columns: TableColumns | None = None) -> str:
    with pytest.raises(DataError) as error:
        whole(path, columns)
    said = str(error.value)
    assert said.startswith(str(path))
    assert said.isprintable()
    return said.removeprefix(str(path))


def at(row: int, line: int, column: str) -> str:
    return f": row {row} (line {line}), column {column!r}: "
