"""The options of the input: where ticks come from, how they are read, and what becomes of odd ones."""

from typing import Annotated, Literal

from pydantic import Field

from streamrnn.config.section import Positive, Section

Policy = Literal["process", "drop", "dead-letter"]

DEFAULT_BATCH_BYTES = 128 * 2**20


class InputSettings(Section):
    """Where ticks come from and how they are read."""

    topic: str = Field("ticks", description="Topic of the ticks.")
    codec: Literal["json", "msgpack", "float32"] = Field("json", description="Format of a tick's value.")
    stream_field: str | None = Field(None, description="Field that names the stream; the record's key if unset.")
    time_field: str | None = Field("time", description="Field of the event time; the record's timestamp if absent.")
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
    sequence_field: str | None = Field(
        None, description="Field of a whole number that orders a stream's ticks; the event time if unset."
    )
    duplicates: Policy = Field("process", description="What to do with a tick as old as its stream's newest.")
    out_of_order: Policy = Field("process", description="What to do with a tick older than its stream's newest.")
    late: Policy = Field("process", description="What to do with one older by more than late_after_s.")
    late_after_s: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Event time behind its stream's newest above which a tick is late; none is if unset."
    )
