"""Records to columns. Every record ends in exactly one place: a row of the batch, or a dead letter.

A batch is read in columns; a record that fails is looked at again only to name the reason. Knows no format.
Shapes: n records, F features.
"""

from array import array
from collections.abc import Sequence
from dataclasses import replace
from itertools import compress, repeat
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.columns import Codec, Fields, object_reader, packed_reader
from streamrnn.codecs.outliers import Outliers
from streamrnn.codecs.reasons import (
    LARGEST_TIME_MS,
    LONGEST_KEY_BYTES,
    Refused,
    Time,
    key_refusal,
    sequence_refusal,
    size_refusal,
    to_time_ms,
)
from streamrnn.codecs.rows import Spreader, Spreading
from streamrnn.config.input import Listing, OutlierPolicy, Tombstones
from streamrnn.nn.spec import ModelSpec
from streamrnn.ticks import NO_INDEX, DeadLetter, Record, TickBatch

Refusals = dict[int, Refused]
"""The first reason found against each refused record, by its index."""


class Decoder:
    """Ticks of one model: `stream_field` names the stream (None: the key), `time_field` the event time,
    `sequence_field` a whole number that orders a stream's ticks (None: the event time does); records and
    tombstones as [input] has them.

    BundleError when a field cannot be told from a feature, or another field, or has a name no JSON has.
    """

    def __init__(
        self,
        spec: ModelSpec,
        *,
        codec: Codec = "json",
        stream_field: str | None = None,
        time_field: str | None = "time",
        sequence_field: str | None = None,
        records: Listing = "one",
        tombstones: Tombstones = "dead-letter",
        outliers: OutlierPolicy = "process",
        ranges: str | None = None,
        max_record_bytes: int = 1_048_576,
    ) -> None:
        self._spreader = Spreader(Spreading(codec, records, tombstones), max_record_bytes)
        self._spec, self.outliers = spec, Outliers(spec, outliers, ranges)
        self._stream_field, self._sequence_field = stream_field, sequence_field
        self._max_bytes = max_record_bytes
        if codec == "float32":
            self._read = packed_reader(spec)
        else:
            self._read = object_reader(spec, codec, Fields(stream_field, time_field, sequence_field))

    def decode(self, records: Sequence[Record]) -> tuple[TickBatch, list[DeadLetter]]:
        """Columns of the good ticks and the bad ones with their reasons, both in arrival order."""
        refused: Refusals = {}
        rows = self._spreader.rows(records, refused)
        if rows is None:
            return self._read_rows(records, refused, None)
        ticks, dead = self._read_rows(rows.records, refused, rows.indexes if rows.has_lists else None)
        return replace(ticks, endings=rows.ended(refused), skipped=rows.skipped), dead

    def element(self, record: Record, index: int) -> Record:
        """One of the ticks in a list as a record of its own; a record that is no list as it is."""
        return self._spreader.element(record, index)

    def count(self, record: Record) -> int | None:
        """How many ticks a list has; None for a record that is read as one."""
        return self._spreader.count(record)

    def _read_rows(
        self, records: Sequence[Record], refused: Refusals, indexes: list[int] | None
    ) -> tuple[TickBatch, list[DeadLetter]]:
        if not records:
            return self._nothing(), []
        partitions, offsets, arrivals, keys, values, _ = zip(*records, strict=True)
        columns = self._read(_readable(values, self._max_bytes, refused), refused)
        streams = _streams(keys, columns.streams, self._stream_field, refused)
        times = _times(columns.times, arrivals, refused)
        order = times if columns.orders is None else _orders(columns.orders, self._sequence_field, refused)
        numbers, outliers = self.outliers.apply(columns.features, refused)
        self._check_numbers(numbers, refused)
        batch = TickBatch(
            partition=np.array(partitions, dtype=np.int32),
            offset=np.array(offsets, dtype=np.int64),
            time_ms=times,
            arrival_ms=np.array(arrivals, dtype=np.int64),
            streams=streams,
            values=numbers,
            order=order,
            index=None if indexes is None else np.array(indexes, np.int32),
            outliers=outliers,
        )
        if not refused:
            return batch, []
        at = repeat(NO_INDEX) if indexes is None else map(indexes.__getitem__, sorted(refused))
        dead = [
            DeadLetter(records[i], "decode", why.code, str(why), index)
            for (i, why), index in zip(sorted(refused.items()), at, strict=False)
        ]
        return _without(batch, refused), dead

    def _nothing(self) -> TickBatch:
        none = np.zeros(0, np.int64)
        values = np.zeros((0, len(self._spec.features)), self._spec.precision)
        return TickBatch(none.astype(np.int32), none, none, none, [], values)

    def _check_numbers(self, features: NDArray[np.floating], refused: Refusals) -> None:
        allowed = np.isfinite(features)
        if self._spec.missing != "reject":
            allowed |= np.isnan(features)
        for i in np.flatnonzero(~allowed.all(axis=1)).tolist():
            refused.setdefault(i, self._number_refusal(features[i]))

    def _number_refusal(self, row: NDArray[np.floating]) -> Refused:
        infinite = list(compress(self._spec.features, np.isinf(row)))
        if infinite:
            return Refused("not_finite", f"infinite or too large for float32: {', '.join(infinite)}")
        missing = list(compress(self._spec.features, np.isnan(row)))
        return Refused("missing_feature", f"missing or NaN: {', '.join(missing)}")


def _readable(values: Sequence[bytes | None], most: int, refused: Refusals) -> Sequence[bytes]:
    """Values worth reading; the null and the large are refused, and empty from here on."""
    if None not in values and max(map(len, values)) <= most:  # type: ignore[arg-type]
        return values  # type: ignore[return-value]
    for i, value in enumerate(values):
        why = size_refusal(value, most)
        if why is not None:
            refused.setdefault(i, why)
    return [b"" if i in refused or value is None else value for i, value in enumerate(values)]


def _streams(
    keys: Sequence[bytes | None], named: Sequence[str | None] | None, field: str | None, refused: Refusals
) -> list[bytes]:
    """The streams' names: from the values where they name one, else the records' keys."""
    if named is not None:
        # A lone surrogate is no UTF-8 afterwards either, and is refused for that.
        keys = [k if n is None else n.encode(errors="surrogatepass") for k, n in zip(keys, named, strict=True)]
    if not _are_names(keys):
        for i, key in enumerate(keys):
            why = key_refusal(key, field)
            if why is not None:
                refused.setdefault(i, why)
    return list(keys)  # type: ignore[arg-type]


def _are_names(keys: Sequence[bytes | None]) -> bool:
    """Whether all are good, in a few calls: joined by ASCII, bytes are UTF-8 if and only if each part is."""
    if None in keys:
        return False
    lengths = list(map(len, keys))  # type: ignore[arg-type]
    try:
        b",".join(keys).decode()  # type: ignore[arg-type]
    except UnicodeDecodeError:
        return False
    return min(lengths) > 0 and max(lengths) <= LONGEST_KEY_BYTES


def _times(times: Sequence[Time] | None, arrivals: Sequence[int], refused: Refusals) -> NDArray[np.int64]:
    """Event times in ms; the record's timestamp where the value has none."""
    try:
        ints: Sequence[Any] = arrivals if times is None else times
        whole = np.frombuffer(array("q", ints), np.int64)
        if whole.min() >= -LARGEST_TIME_MS and whole.max() <= LARGEST_TIME_MS:
            return whole
    except (TypeError, OverflowError):  # some are text, fractions, missing, or huge
        pass
    read = np.array(arrivals, dtype=np.int64)
    for i, (time, arrival_ms) in enumerate(zip(times or arrivals, arrivals, strict=True)):
        try:
            read[i] = to_time_ms(time, arrival_ms)
        except Refused as why:
            refused.setdefault(i, why)
    return read


def _orders(orders: Sequence[int | None], field: str | None, refused: Refusals) -> NDArray[np.int64]:
    """What a stream's ticks are ordered by."""
    try:
        return np.frombuffer(array("q", cast(Sequence[int], orders)), np.int64)
    except (TypeError, OverflowError):  # some are missing or huge
        pass
    for i, number in enumerate(orders):
        why = sequence_refusal(number, field)
        if why is not None:
            refused.setdefault(i, why)
    return np.array([0 if i in refused else number for i, number in enumerate(orders)], dtype=np.int64)


def _without(batch: TickBatch, refused: Refusals) -> TickBatch:
    keep = np.ones(len(batch), dtype=bool)
    keep[list(refused)] = False
    return TickBatch(
        partition=batch.partition[keep],
        offset=batch.offset[keep],
        time_ms=batch.time_ms[keep],
        arrival_ms=batch.arrival_ms[keep],
        streams=list(compress(batch.streams, keep.tolist())),
        values=batch.values[keep],
        order=batch.order[keep],
        index=None if batch.index is None else batch.index[keep],
        outliers=batch.outliers,
    )
