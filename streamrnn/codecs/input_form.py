"""How the input writes ticks, as the options say it. Knows no model and reads nothing."""

from typing import NamedTuple

from streamrnn.config import InputSettings
from streamrnn.config.input import Codec, KeyKind, Listing, Numbers, TimeUnit, Tombstones

FROM_TOP = "$."
"""Before a field that is looked for from the value's top, whatever `input.path` says."""


class InputForm(NamedTuple):
    """The part of `[input]` that says how a record is read; each field is the option of its name."""

    codec: Codec = "json"
    path: str | None = None
    key: KeyKind = "text"
    stream_field: str | None = None
    time_field: str | None = "time"
    time_unit: TimeUnit = "auto"
    numbers: Numbers = "strict"
    sequence_field: str | None = None
    records: Listing = "one"
    tombstones: Tombstones = "dead-letter"

    @property
    def stream_fields(self) -> tuple[str, ...]:
        """The fields that name the stream together; none: the key does."""
        return () if self.stream_field is None else tuple(self.stream_field.split(","))


def input_form(given: InputSettings) -> InputForm:
    """The form that the settings ask for."""
    return InputForm(**{name: getattr(given, name) for name in InputForm._fields})
