"""Records to columns. Every record ends in exactly one place: a row of the batch, or a dead letter.

A batch is read in columns; a record that fails is looked at again only to name the reason. Knows no format.
Shapes: n records, F features.
"""

from array import array
from collections.abc import Sequence
from dataclasses import replace
from itertools import compress, repeat
from typing import cast

import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.bounds import Outliers
from streamrnn.codecs.formats.known import FORMATS, objects_in
from streamrnn.codecs.input_form import InputForm
from streamrnn.codecs.keys import are_keys, key_refusal
from streamrnn.codecs.reasons import Refused, sequence_refusal, size_refusal
from streamrnn.codecs.spreading import Spreader
from streamrnn.codecs.times import times_ms
from streamrnn.config.input import Codec, KeyKind, Listing, Numbers, OutlierPolicy, TimeUnit, Tombstones
from streamrnn.nn.spec import ModelSpec
from streamrnn.ticks import NO_INDEX, DeadLetter, Record, TickBatch, tallied

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

    def decode(self, records: Sequence[Record]) -> tuple[TickBatch, list[DeadLetter]]:
        """Columns of the good ticks and the bad ones with their reasons, both in arrival order."""
        refused: Reasons = {}
        records = list(records)
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
        self, records: Sequence[Record], refused: Reasons, indexes: list[int] | None
    ) -> tuple[TickBatch, list[DeadLetter]]:
        if not records:
            return self._nothing(), []
        partitions, offsets, arrivals, keys, values, _ = zip(*records, strict=True)
        columns = self._read(_readable(values, self._max_bytes, refused), refused)
        streams = _streams(keys, columns.streams, self._form, refused)
        is_lenient = self._form.numbers == "lenient"
        times = times_ms(columns.times, arrivals, self._form.time_unit, is_lenient, refused)
        order = times if columns.orders is None else _orders(columns.orders, self._form.sequence_field, refused)
        features, outliers = self.outliers.apply(columns.features, refused)
        self._check_numbers(features, refused)
        batch = TickBatch(
            partition=np.array(partitions, dtype=np.int32),
            offset=np.array(offsets, dtype=np.int64),
            time_ms=times,
            arrival_ms=np.array(arrivals, dtype=np.int64),
            streams=streams,
            values=features,
            order=order,
            index=None if indexes is None else np.array(indexes, np.int32),
            outliers=outliers,
        )
        if not refused:
            return tallied(batch), []
        at = repeat(NO_INDEX) if indexes is None else map(indexes.__getitem__, sorted(refused))
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
        if allowed.all():
            return
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


def _readable(values: Sequence[bytes | None], most: int, refused: Reasons) -> Sequence[bytes]:
    """Values worth reading; the null and the large are refused, and empty from here on."""
    if None not in values and max(map(len, values)) <= most:  # type: ignore[arg-type]
        return values  # type: ignore[return-value]
    for i, value in enumerate(values):
        why = size_refusal(value, most)
        if why is not None:
            refused.setdefault(i, why)
    return [b"" if i in refused or value is None else value for i, value in enumerate(values)]


def _streams(
    keys: Sequence[bytes | None], named: Sequence[str | None] | None, form: InputForm, refused: Reasons
) -> list[bytes]:
    """The streams' names: from the values where they name one, else the records' keys."""
    if named is not None:
        # A lone surrogate is no UTF-8 afterwards either, and is refused for that.
        keys = [k if n is None else n.encode(errors="surrogatepass") for k, n in zip(keys, named, strict=True)]
    if not are_keys(keys, form.key):
        for i, key in enumerate(keys):
            why = key_refusal(key, form.key, form.stream_field)
            if why is not None:
                refused.setdefault(i, why)
    return list(keys)  # type: ignore[arg-type]


def _orders(orders: Sequence[int | None], field: str | None, refused: Reasons) -> NDArray[np.int64]:
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
