"""The formats by name: the one place where a name becomes a format."""

from streamrnn.codecs.formats.format import Format, ObjectFormat
from streamrnn.codecs.formats.json import Json
from streamrnn.codecs.formats.msgpack import MessagePack
from streamrnn.codecs.formats.packed import PackedFloats

OBJECT_FORMATS: dict[str, ObjectFormat] = {"json": Json(), "msgpack": MessagePack()}
"""Formats whose values are objects."""
FORMATS: dict[str, Format] = {**OBJECT_FORMATS, "float32": PackedFloats()}
"""Formats that ticks are read in, and predictions are written in."""


def objects_in(codec: str) -> ObjectFormat | None:
    """How the objects of a codec are read and written; None where its values have no fields."""
    return OBJECT_FORMATS.get(codec)
