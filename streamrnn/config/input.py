"""The options of the input: where ticks come from, how they are read, and what becomes of odd ones."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from streamrnn.config.ranges import parse_ranges
from streamrnn.config.section import Positive, Section

Policy = Literal["process", "drop", "dead-letter"]
Codec = Literal["json", "msgpack", "float32"]
WITHOUT_FIELDS: tuple[Codec, ...] = ("float32",)
"""Codecs whose values have no fields."""
KeyKind = Literal["text", "int64", "int32", "uuid", "bytes"]
OutlierPolicy = Literal["process", "clip", "missing", "dead-letter"]
Listing = Literal["one", "list"]
Numbers = Literal["strict", "lenient"]
TimeUnit = Literal["auto", "s", "ms", "us", "ns"]
Tombstones = Literal["dead-letter", "forget", "skip"]

DEFAULT_BATCH_BYTES = 128 * 2**20


class InputSettings(Section):
    """Where ticks come from and how they are read."""

    topic: str = Field("ticks", description="Topic of the ticks.")
    codec: Codec = Field("json", description="Format of a tick's value.")
    path: str | None = Field(
        None, description="Where in the value the fields lie, such as payload.after; its top if unset."
    )
    key: KeyKind = Field(
        "text", description="What a key is: UTF-8, a big-endian integer, a UUID's 16 bytes, or any bytes (as hex)."
    )
    stream_field: str | None = Field(
        None, description="Field that names the stream, or several with commas between; the record's key if unset."
    )
    time_field: str | None = Field("time", description="Field of the event time; the record's timestamp if absent.")
    time_unit: TimeUnit = Field(
        "auto", description="Unit of times that are numbers; auto: what their size tells, else ms."
    )
    numbers: Numbers = Field(
        "strict", description="Lenient also takes decimal text for its number, true for 1, false for 0."
    )
    start: Literal["earliest", "latest"] = Field("earliest", description="Where a group without offsets begins.")
    warmup_ticks: Annotated[int, Field(ge=0)] = Field(
        1000, description="Records of a partition replayed before its committed offset to rebuild state."
    )
    max_poll_records: Positive = Field(4096, description="Most records taken into one batch.")
    max_record_bytes: Positive = Field(1_048_576, description="A larger value goes to the dead letters unread.")
    corrupt: Literal["skip", "refuse"] = Field(
        "skip", description="What to do with a batch nobody can read: pass over its offsets, or end."
    )
    max_batch_bytes: Positive = Field(
        DEFAULT_BATCH_BYTES, description="A batch that holds more once decompressed cannot be read (see corrupt)."
    )
    records: Listing = Field(
        "one", description="What a value is: one tick; with list also an array of ticks, read one by one."
    )
    tombstones: Tombstones = Field(
        "dead-letter", description="What a null value is: refused, the end of its key's state, or nothing."
    )
    sequence_field: str | None = Field(
        None, description="Field of a whole number that orders a stream's ticks; the event time if unset."
    )
    duplicates: Policy = Field("process", description="What to do with a tick as old as its stream's newest.")
    out_of_order: Policy = Field("process", description="What to do with a tick older than its stream's newest.")
    late: Policy = Field("process", description="What to do with one older by more than late_after_s.")
    late_after_s: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Event time behind its stream's newest above which a tick is late; none is if unset."
    )
    outliers: OutlierPolicy = Field(
        "process", description="What to do with a value outside its feature's bounds; process only counts it."
    )
    ranges: str | None = Field(
        None, description="Bounds by feature, such as temp=-50:60,load=0: (one side open); else the model's own."
    )

    @field_validator("path", "stream_field", "time_field", "sequence_field")
    @classmethod
    def _check_names(cls, given: str | None) -> str | None:
        if given is not None and not all(given.replace(",", ".").removeprefix("$.").split(".")):
            raise ValueError(f"{given!r} has an empty name in it")
        return given

    @field_validator("ranges")
    @classmethod
    def _check_ranges(cls, given: str | None) -> str | None:
        parse_ranges(given)
        return given

    @model_validator(mode="after")
    def _check_fit(self) -> "InputSettings":
        if self.key != "text" and self.stream_field is not None:
            raise ValueError(f"input.key = {self.key} and input.stream_field both name the stream: unset one")
        if self.tombstones == "forget" and self.stream_field is not None:
            raise ValueError(
                "input.tombstones = forget needs streams named by the record's key, for a null value names none: "
                "unset input.stream_field"
            )
        if self.codec in WITHOUT_FIELDS:
            named = ("path", "stream_field", "sequence_field")
            asked = [name for name in named if getattr(self, name) is not None]
            asked += ["numbers"] * (self.numbers != "strict") + ["records"] * (self.records != "one")
            if asked:
                raise ValueError(f"input.{asked[0]} needs a codec with fields, json or msgpack")
        return self
