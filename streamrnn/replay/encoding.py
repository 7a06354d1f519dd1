"""Rows of a table to records of the input topic: value in its codec, key, and Kafka's own choice of partition.

Knows neither pace nor broker. Shapes: n ticks, F features.
"""

import sys
import time
from collections.abc import Iterator
from itertools import repeat
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.formats.known import objects_in
from streamrnn.codecs.formats.packed import write_packed
from streamrnn.codecs.keys import from_text
from streamrnn.codecs.times import written
from streamrnn.config import InputSettings
from streamrnn.config.input import KeyKind
from streamrnn.errors import DataError
from streamrnn.kafka.writing.partitioner import default_partition
from streamrnn.tables.feed import Feed
from streamrnn.tables.reading import Table, TableBatch
from streamrnn.ticks import OutRecord, as_out_record

CHUNK = 20_000
"""Ticks encoded together; one chunk is being published while the next is encoded."""


class Places(dict[str, tuple[bytes, int]]):
    """Stream -> its key and the partition Kafka's default partitioner gives that key.

    DataError for a stream that cannot be a key of this kind.
    """

    def __init__(self, partitions: int, kind: KeyKind = "text") -> None:
        super().__init__()
        self._partitions, self._kind = partitions, kind

    def __missing__(self, stream: str) -> tuple[bytes, int]:
        # Any text goes: the daemon is who refuses the empty and the long.
        key = stream.encode() if self._kind == "text" else from_text(stream, self._kind)
        self[stream] = place = (key, default_partition(key, self._partitions))
        return place


class TickEncoder:
    """Ticks to values in the input's codec; what is missing is left out, but null in a tick that has nothing, which
    would else name no feature. The slow twin is `json.dumps` of a row.

    whole: which features are integers, and stay so.
    """

    def __init__(self, features: tuple[str, ...], source: InputSettings, whole: tuple[bool, ...] = ()) -> None:
        self._whole = whole or (False,) * len(features)
        self._objects = objects_in(source.codec)
        self._has_stream, self._unit = source.stream_field is not None, source.time_unit
        self.has_time = source.time_field is not None and self._objects is not None
        self._tick: Any
        self._empty: Any
        self._tick, self._empty = (None, None) if self._objects is None else _tick_structs(features, source)

    def encode(self, batch: TableBatch) -> list[bytes]:
        """The n values."""
        if self._objects is None:
            return write_packed(batch.values)
        columns: list[Any] = [_numbers(*given) for given in zip(batch.values.T, self._whole, strict=True)]
        if self._has_stream:
            columns.insert(0, batch.streams)
        if self.has_time:
            columns.insert(0, self._times(batch.time_ms.tolist()))
        rows = list(map(self._tick, *columns))
        for i in np.flatnonzero(np.isnan(batch.values).all(axis=1)).tolist():
            rows[i] = self._empty(*(column[i] for column in columns))
        return self._objects.write(rows)

    def _times(self, time_ms: list[int]) -> list[Any]:
        try:
            return written(time_ms, self._unit)
        except OverflowError as error:
            raise DataError(f"a time that no ISO text can say: {error}; input.time_unit = ms?") from None


def _tick_structs(features: tuple[str, ...], source: InputSettings) -> tuple[Any, Any]:
    """Time and stream if they have a field, then the features: left out where None, or null."""
    own = {"time": (source.time_field, int), "stream": (source.stream_field, str)}
    fields: list[Any] = [(name, kind) for name, (field, kind) in own.items() if field is not None]
    names = {name: field for name, (field, _) in own.items() if field is not None}
    clash = set(features) & set(names.values())
    if clash:
        raise DataError(f"feature {clash.pop()!r} is also input.time_field or input.stream_field: rename one")
    for number, feature in enumerate(features):
        fields.append((f"f{number}", int | float | None, None))
        names[f"f{number}"] = feature
    try:
        tick = msgspec.defstruct("Tick", fields, rename=names, omit_defaults=True, gc=False)
        return tick, msgspec.defstruct("EmptyTick", fields, rename=names, gc=False)
    except ValueError as error:  # a quote, backslash or control character: the daemon could not read it either
        raise DataError(f"features: {str(error).partition(' - ')[0]}: {features!r}") from None


def _numbers(column: NDArray[np.float64], is_whole: bool) -> list[Any]:
    """As the file has them: integers stay integers; None where there is none."""
    values: list[Any] = column.tolist()
    if is_whole:
        values = [int(value) if value.is_integer() else value for value in values]
    for row in np.flatnonzero(np.isnan(column)).tolist():
        values[row] = None
    return values


class EncodedTicks(NamedTuple):
    """Encoded ticks; `shares` are the parts of the file done before and after them, 0 to 1."""

    partitions: tuple[int, ...]
    keys: tuple[bytes, ...]
    values: list[bytes]
    time_ms: NDArray[np.int64]
    has_time: bool
    shares: tuple[float, float]

    def records(self, start: int, stop: int) -> list[OutRecord]:
        """Stamped now; with the event time where the value has no place for it."""
        at = slice(start, stop)
        stamps = repeat(time.time_ns() // 1_000_000) if self.has_time else self.time_ms[at].tolist()
        fields = (self.partitions[at], stamps, self.keys[at], self.values[at])
        columns: tuple[Any, ...] = (*fields, repeat([]), repeat(None))
        return list(map(as_out_record, zip(*columns, strict=False)))

    def share(self, stop: int) -> float:
        """The part of the file done with the first `stop` of them."""
        before, after = self.shares
        return before + (after - before) * stop / len(self.values)


def chunks(table: Feed | Table, encoder: TickEncoder, places: Places, limit: int | None) -> Iterator[EncodedTicks]:
    """The first `limit` rows of files, encoded."""
    most = sys.maxsize if limit is None else limit * table.ticks_per_row
    done, read = 0, 0.0
    for batch in table:
        count, before, read = min(most - done, len(batch.streams)), read, table.share
        for start in range(0, count, CHUNK):
            stop = min(start + CHUNK, count)
            shares = [before + (read - before) * at / len(batch.streams) for at in (start, stop)]
            if limit is not None:
                shares = [(done + at) / most for at in (start, stop)]
            piece = TableBatch(batch.streams[start:stop], batch.time_ms[start:stop], batch.values[start:stop])
            keys, partitions = zip(*map(places.__getitem__, piece.streams), strict=True)
            values = encoder.encode(piece)
            yield EncodedTicks(partitions, keys, values, piece.time_ms, encoder.has_time, (shares[0], shares[1]))
        done += count
        if done >= most:
            return
