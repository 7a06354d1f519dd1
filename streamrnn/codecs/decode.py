"""Records to columns. Every record ends in exactly one place: a row of the batch, or a dead letter.

A batch is read in columns; a record that fails is looked at again only to name the reason. Knows no format.
Shapes: n records, F features.
"""

from array import array
from collections.abc import Sequence
from dataclasses import replace
from itertools import compress, repeat
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.bounds import Outliers
from streamrnn.codecs.compiled.key_checks import bad_rows
from streamrnn.codecs.compiled.surveys import are_finite, are_near
from streamrnn.codecs.formats.known import FORMATS, objects_in
from streamrnn.codecs.input_form import InputForm
from streamrnn.codecs.keys import are_keys, bad_keys, key_refusal
from streamrnn.codecs.reasons import Refused, sequence_refusal, size_refusal
from streamrnn.codecs.spreading import Spreader
from streamrnn.codecs.times import times_ms
from streamrnn.config.input import Codec, KeyKind, Listing, Numbers, OutlierPolicy, TimeUnit, Tombstones
from streamrnn.nn.spec import ModelSpec
from streamrnn.ticks import FAR_MS, NO_INDEX, DeadLetter, Record, RecordColumns, Spans, TickBatch, tallied
from streamrnn.ticks.byte_spans import uniform

Reasons = dict[int, Refused]
"""The first reason found against each refused record, by its index."""


class Decoder:
    """Ticks of one model; the options are those of `[input]`.

    BundleError when a field cannot be told from a feature, or another field, or has a name no JSON has.
    """

    def __init__(
        self,
        spec: ModelSpec,
        *,
        codec: Codec = "json",
        path: str | None = None,
        key: KeyKind = "text",
        stream_field: str | None = None,
        time_field: str | None = "time",
        time_unit: TimeUnit = "auto",
        numbers: Numbers = "strict",
        sequence_field: str | None = None,
        records: Listing = "one",
        tombstones: Tombstones = "dead-letter",
        outliers: OutlierPolicy = "process",
        ranges: str | None = None,
        max_record_bytes: int = 1_048_576,
    ) -> None:
        reading = (codec, path, key, stream_field, time_field, time_unit, numbers, sequence_field)
        form = InputForm(*reading, records, tombstones)
        self._spreader = Spreader(form, max_record_bytes, objects_in(codec))
        self._spec, self._form, self._max_bytes = spec, form, max_record_bytes
        self.outliers = Outliers(spec, outliers, ranges)
        self._read = FORMATS[codec].reader(spec, form)
        self.decode(RecordColumns.of([Record(0, 0, 0, b"any", b"")]))  # compiles now, not at the first tick

    def decode(self, records: Sequence[Record]) -> tuple[TickBatch, list[DeadLetter]]:
        """Columns of the good ticks and the bad ones with their reasons, both in arrival order."""
        refused: Reasons = {}
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
        self, records: Sequence[Record], refused: Reasons, indexes: Sequence[int] | NDArray[np.int32] | None
    ) -> tuple[TickBatch, list[DeadLetter]]:
        if not records:
            return self._nothing(), []
        fetched = _fetched(records)
        columns = self._read(_readable(fetched.values, self._max_bytes, refused), refused)
        streams = _streams(fetched.keys, columns.streams, self._form, refused)
        is_lenient, unit = self._form.numbers == "lenient", self._form.time_unit
        times = times_ms(columns.times, fetched.arrival_ms, unit, is_lenient, refused)
        order = times if columns.orders is None else _orders(columns.orders, self._form.sequence_field, refused)
        features, outliers = self.outliers.apply(columns.features, refused)
        is_finite = are_finite(uniform(features))
        if not is_finite:
            self._check_numbers(features, refused)
        batch = TickBatch(
            partition=fetched.partition,
            offset=fetched.offset,
            time_ms=times,
            arrival_ms=fetched.arrival_ms,
            streams=streams,
            values=features,
            order=order,
            index=None if indexes is None else np.array(indexes, np.int32),
            outliers=outliers,
        )
        if not refused:
            has_none = is_finite and are_near(uniform(times), uniform(fetched.arrival_ms), FAR_MS)
            return batch if has_none else tallied(batch), []
        at = repeat(NO_INDEX) if indexes is None else (int(indexes[i]) for i in sorted(refused))
        dead = [
            DeadLetter(records[i], "decode", why.code, str(why), index)
            for (i, why), index in zip(sorted(refused.items()), at, strict=False)
        ]
        keep = np.ones(len(batch), dtype=bool)
        keep[list(refused)] = False
        return tallied(replace(batch.take(keep), outliers=outliers)), dead

    def _nothing(self) -> TickBatch:
        none = np.zeros(0, np.int64)
        values = np.zeros((0, len(self._spec.features)), self._spec.precision)
        return TickBatch(none.astype(np.int32), none, none, none, [], values, none)

    def _check_numbers(self, features: NDArray[np.floating], refused: Reasons) -> None:
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


class _Fetched(NamedTuple):
    """What is read of n records: partition, offset and arrival_ms (n,), the records' timestamps; keys and values,
    of bytes or None."""

    partition: NDArray[np.int32]
    offset: NDArray[np.int64]
    arrival_ms: NDArray[np.int64]
    keys: Sequence[bytes | None] | Spans
    values: Sequence[bytes | None] | Spans


def _fetched(records: Sequence[Record]) -> _Fetched:
    if isinstance(records, RecordColumns):
        return _Fetched(records.partition, records.offset, records.timestamp_ms, records.keys, records.values)
    partitions, offsets, arrivals, keys, values, _ = zip(*records, strict=True)
    numbers = np.array(partitions, np.int32), np.array(offsets, np.int64), np.array(arrivals, np.int64)
    return _Fetched(*numbers, keys, values)


def _readable(values: Sequence[bytes | None] | Spans, most: int, refused: Reasons) -> Sequence[bytes]:
    """Values worth reading; the null and the large are refused, and empty from here on."""
    if isinstance(values, Spans):
        return _readable_spans(values, most, refused)
    if None not in values and max(map(len, values)) <= most:  # type: ignore[arg-type]
        return values  # type: ignore[return-value]
    for i, value in enumerate(values):
        why = size_refusal(value, most)
        if why is not None:
            refused.setdefault(i, why)
    return [b"" if i in refused or value is None else value for i, value in enumerate(values)]


def _readable_spans(values: Spans, most: int, refused: Reasons) -> Spans:
    unfit = bad_rows(values, 0, most, is_text=False)
    if not len(unfit) and not refused:
        return values
    for i in unfit.tolist():
        why = size_refusal(values.at(i), most)
        assert why is not None, "each has a reason"
        refused.setdefault(i, why)
    sizes = values.sizes.copy()
    sizes[list(refused)] = 0
    return Spans(values.data, values.starts, sizes)


def _streams(
    keys: Sequence[bytes | None] | Spans,
    named: Sequence[str | None] | Spans | None,
    form: InputForm,
    refused: Reasons,
) -> Sequence[bytes]:
    """The streams' names: from the values where they name one, else the records' keys."""
    keys = keys if named is None else _named(keys, named)
    if isinstance(keys, Spans):
        suspects: Sequence[int] = bad_keys(keys, form.key).tolist()
    else:
        suspects = [] if are_keys(keys, form.key) else range(len(keys))
    for i in suspects:
        why = key_refusal(keys.at(i) if isinstance(keys, Spans) else keys[i], form.key, form.stream_field)
        if why is not None:
            refused.setdefault(i, why)
    return keys if isinstance(keys, Spans) else list(keys)  # type: ignore[arg-type]


def _named(
    keys: Sequence[bytes | None] | Spans, named: Sequence[str | None] | Spans
) -> Sequence[bytes | None] | Spans:
    """The names, and the keys where there is none."""
    if isinstance(keys, Spans) and isinstance(named, Spans):
        if not named.has_none:
            return named
        rows = np.arange(len(keys))
        return Spans.joined([named, keys]).take(np.where(named.sizes < 0, rows + len(keys), rows))
    # A lone surrogate is no UTF-8 afterwards either, and is refused for that.
    texts = cast(Sequence[str | None], named)
    return [k if n is None else n.encode(errors="surrogatepass") for k, n in zip(keys, texts, strict=True)]


def _orders(
    orders: Sequence[int | None] | NDArray[np.int64], field: str | None, refused: Reasons
) -> NDArray[np.int64]:
    """What a stream's ticks are ordered by."""
    if isinstance(orders, np.ndarray):
        return orders
    try:
        return np.frombuffer(array("q", cast(Sequence[int], orders)), np.int64)
    except (TypeError, OverflowError):  # some are missing or huge
        pass
    for i, number in enumerate(orders):
        why = sequence_refusal(number, field)
        if why is not None:
            refused.setdefault(i, why)
    return np.array([0 if i in refused else number for i, number in enumerate(orders)], dtype=np.int64)
