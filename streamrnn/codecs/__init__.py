"""Bytes to columns and back: the registry of formats. Knows no Kafka client and no engine."""

from streamrnn.codecs.dead_letters import dead_letter_record
from streamrnn.codecs.decode import Decoder
from streamrnn.codecs.encode import Encoder
from streamrnn.codecs.input_decoder import make_decoder

__all__ = ["Decoder", "Encoder", "dead_letter_record", "make_decoder"]
