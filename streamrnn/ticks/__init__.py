"""The columns that travel between layers: records, ticks, predictions, rows. Knows numpy and nothing else."""

from streamrnn.ticks.byte_spans import RowChoice, Spans
from streamrnn.ticks.record import (
    MOST_INDEX,
    NO_INDEX,
    DeadLetter,
    OutRecord,
    Place,
    Record,
    as_out_record,
    as_record,
)
from streamrnn.ticks.record_columns import OutColumns, RecordColumns
from streamrnn.ticks.tick_batch import (
    FAR_MS,
    ORIGINS,
    STATUS,
    Endings,
    Errors,
    PredictionBatch,
    StreamRows,
    TickBatch,
    far_times,
    tallied,
)

__all__ = [
    "FAR_MS",
    "MOST_INDEX",
    "NO_INDEX",
    "ORIGINS",
    "STATUS",
    "DeadLetter",
    "Endings",
    "Errors",
    "OutColumns",
    "OutRecord",
    "Place",
    "PredictionBatch",
    "Record",
    "RecordColumns",
    "RowChoice",
    "Spans",
    "StreamRows",
    "TickBatch",
    "as_out_record",
    "as_record",
    "far_times",
    "tallied",
]
