"""The decoder as the settings want it: whoever reads the input topic reads it alike."""

from streamrnn.codecs.decode import Decoder
from streamrnn.config import Settings
from streamrnn.nn.spec import ModelSpec


def make_decoder(spec: ModelSpec, settings: Settings) -> Decoder:
    """The decoder of the input topic for one model."""
    given = settings.input
    return Decoder(
        spec,
        codec=given.codec,
        stream_field=given.stream_field,
        time_field=given.time_field,
        sequence_field=given.sequence_field,
        records=given.records,
        tombstones=given.tombstones,
        outliers=given.outliers,
        ranges=given.ranges,
        max_record_bytes=given.max_record_bytes,
    )
