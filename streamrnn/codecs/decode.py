"""Records to columns. Every record ends in exactly one place: a row of the batch, or a dead letter.

The common case costs one decoder call a record and nothing in Python per field; a record that fails is
looked at again only to name the reason. Shapes: n accepted ticks, F features.
"""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrnn.nn.spec import ModelSpec
from streamrnn.ticks import DeadLetter, Record, TickBatch

LONGEST_KEY_BYTES = 1024
LARGEST_TIME_MS = 2**53
Codec = Literal["json", "msgpack", "float32"]
Time = int | float | str | None


class Refused(Exception):
    """Inside this module only: why a record is no tick."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Row(NamedTuple):
    """One decoded value; time None falls back to the record's timestamp, a missing feature is None or NaN."""

    stream: str | None
    time: Time
    features: Sequence[float | None]


class Decoder:
    """Ticks of one model: `stream_field` names the stream (None: the key), `time_field` the event time."""

    def __init__(
        self,
        spec: ModelSpec,
        *,
        codec: Codec = "json",
        stream_field: str | None = None,
        time_field: str | None = "time",
        max_record_bytes: int = 1_048_576,
    ) -> None:
        self._spec = spec
        self._stream_field = stream_field
        self._max_bytes = max_record_bytes
        if codec == "float32":
            self._read = _packed_reader(spec)
        else:
            self._read = _object_reader(spec, codec, stream_field, time_field)

    def decode(self, records: Sequence[Record]) -> tuple[TickBatch, list[DeadLetter]]:
        """Columns of the good records in arrival order, and the bad ones with their reasons."""
        dead: list[DeadLetter] = []
        accepted: list[Record] = []
        streams: list[bytes] = []
        times: list[int] = []
        features: list[Sequence[float | None]] = []
        for record in records:
            try:
                stream, time_ms, row = self._decode_one(record)
            except Refused as why:
                dead.append(DeadLetter(record, "decode", why.code, str(why)))
                continue
            accepted.append(record)
            streams.append(stream)
            times.append(time_ms)
            features.append(row)
        return self._checked(accepted, streams, times, features, dead)

    def _decode_one(self, record: Record) -> tuple[bytes, int, Sequence[float | None]]:
        value = record.value
        if value is None:
            raise Refused("null", "the record has no value")
        if len(value) > self._max_bytes:
            raise Refused("too_large", f"{len(value)} bytes, the limit is {self._max_bytes}")
        row = self._read(value)
        stream = record.key if row.stream is None else row.stream.encode(errors="surrogatepass")
        _check_key(stream, self._stream_field)
        time_ms = row.time if type(row.time) is int else _time_ms(row.time, record.timestamp_ms)
        if not -LARGEST_TIME_MS <= time_ms <= LARGEST_TIME_MS:
            raise Refused("bad_time", f"{time_ms} ms is out of range")
        return stream, time_ms, row.features  # type: ignore[return-value]

    def _checked(
        self,
        records: list[Record],
        streams: list[bytes],
        times: list[int],
        features: list[Sequence[float | None]],
        dead: list[DeadLetter],
    ) -> tuple[TickBatch, list[DeadLetter]]:
        """Columns, less the rows whose numbers are refused."""
        with np.errstate(over="ignore"):
            values = np.array(features, dtype=np.float64).reshape(-1, len(self._spec.features)).astype(np.float32)
        bad = np.isinf(values)
        if self._spec.missing == "reject":
            bad = bad | np.isnan(values)
        keep = np.asarray(~bad.any(axis=1))
        if not keep.all():
            dead = dead + [self._number_refused(records[i], values[i]) for i in np.flatnonzero(~keep)]
            dead.sort(key=lambda letter: (letter.record.partition, letter.record.offset))
        batch = TickBatch(
            partition=np.array([r.partition for r in records], dtype=np.int32)[keep],
            offset=np.array([r.offset for r in records], dtype=np.int64)[keep],
            time_ms=np.array(times, dtype=np.int64)[keep],
            arrival_ms=np.array([r.timestamp_ms for r in records], dtype=np.int64)[keep],
            streams=[stream for stream, good in zip(streams, keep.tolist(), strict=True) if good],
            values=values[keep],
        )
        return batch, dead

    def _number_refused(self, record: Record, values: NDArray[np.float32]) -> DeadLetter:
        infinite = [n for n, v in zip(self._spec.features, values, strict=True) if math.isinf(v)]
        if infinite:
            message = f"infinite or too large for float32: {', '.join(infinite)}"
            return DeadLetter(record, "decode", "not_finite", message)
        missing = [n for n, v in zip(self._spec.features, values, strict=True) if math.isnan(v)]
        return DeadLetter(record, "decode", "missing_feature", f"missing or NaN: {', '.join(missing)}")


def _check_key(stream: bytes | None, field: str | None) -> None:
    if stream is None:
        where = f"field {field!r}" if field else "key"
        raise Refused("missing_key", f"the record has no {where} to name its stream")
    if not 0 < len(stream) <= LONGEST_KEY_BYTES:
        raise Refused("bad_key", f"a stream's name takes 1 to {LONGEST_KEY_BYTES} bytes, not {len(stream)}")
    if not stream.isascii():
        try:
            stream.decode()
        except UnicodeDecodeError as error:
            raise Refused("bad_key", f"the stream's name is not UTF-8: {error}") from error


def _time_ms(time: Time, timestamp_ms: int) -> int:
    """Event time in ms since the epoch from a number of ms, ISO 8601 text (UTC if it names no zone) or None."""
    if time is None:
        return timestamp_ms
    try:
        if isinstance(time, str):
            moment = datetime.fromisoformat(time)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return round(moment.timestamp() * 1000)
        return int(time)
    except (ValueError, OverflowError) as error:
        raise Refused("bad_time", f"{time!r:.60} is no time: {error}") from error


def _object_reader(
    spec: ModelSpec, codec: Codec, stream_field: str | None, time_field: str | None
) -> Callable[[bytes], Row]:
    """A reader of one JSON or MessagePack object: a struct with just the fields the model needs."""
    wanted = {name: f"f{n}" for n, name in enumerate(spec.features)}
    fields: list[tuple[str, Any, Any]] = [(own, float | None, None) for own in wanted.values()]
    names = {own: name for name, own in wanted.items()}
    for own, field, kind in (("time", time_field, int | float | str | None), ("stream", stream_field, str | None)):
        if field is not None and field not in wanted:
            fields.append((own, kind, None))
            names[own] = field
    shape = msgspec.defstruct("Tick", fields, rename=names, gc=False)
    module: Any = msgspec.json if codec == "json" else msgspec.msgpack
    decode, as_tuple, width = module.Decoder(shape).decode, msgspec.structs.astuple, len(wanted)
    has_time, has_stream = "time" in names, "stream" in names

    def read(value: bytes) -> Row:
        try:
            row = as_tuple(decode(value))
        except msgspec.ValidationError as error:
            is_whole = "Expected `object`" in str(error) and "`$." not in str(error)
            raise Refused("not_an_object" if is_whole else "bad_type", str(error)) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Refused("undecodable", f"not {codec}: {error}") from error
        except RecursionError as error:
            raise Refused("too_deep", "nested too deeply") from error
        time = row[width] if has_time else None
        return Row(row[-1] if has_stream else None, time, row[:width])

    return read


def _packed_reader(spec: ModelSpec) -> Callable[[bytes], Row]:
    """A reader of F little-endian float32, in the order of the model's features."""
    width = 4 * len(spec.features)

    def read(value: bytes) -> Row:
        if len(value) != width:
            raise Refused("wrong_width", f"{len(value)} bytes, {len(spec.features)} float32 take {width}")
        return Row(None, None, np.frombuffer(value, dtype="<f4").tolist())

    return read
