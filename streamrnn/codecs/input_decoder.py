"""The decoder as the settings want it: whoever reads the input topic reads it alike."""

from streamrnn.codecs.decode import Decoder
from streamrnn.codecs.input_form import input_form
from streamrnn.config import Settings
from streamrnn.nn.spec import ModelSpec


def make_decoder(spec: ModelSpec, settings: Settings) -> Decoder:
    """The decoder of the input topic for one model."""
    given = settings.input
    return Decoder(
        spec,
        **input_form(given)._asdict(),
        outliers=given.outliers,
        ranges=given.ranges,
        max_record_bytes=given.max_record_bytes,
    )
