"""Compiles every loop of this room, or finds it compiled: seconds that must not pass on the event loop's thread."""

import functools

import numpy as np

from streamrnn.kafka.compiled.column_writer import ColumnWriter
from streamrnn.kafka.compiled.walking import FIELDS, walk_records
from streamrnn.ticks import OutColumns, OutRecord


@functools.cache
def compile_loops() -> None:
    """Call each once; later calls do nothing."""
    held = np.frombuffer(bytes(8), np.uint8)
    walk_records(held, 0, 0, 1, 0, 0, 0, False, 0, 0, 0, np.empty((FIELDS, 1), np.int64), 0, 1, 0)
    ColumnWriter(100, 0, False).take(OutColumns.of([OutRecord(0, 0, b"", b"")]), 0)
