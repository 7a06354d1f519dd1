"""What a format of values does, and what it is given and gives. Knows none of them. Shapes: n rows."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from streamrnn.codecs.compiled.list_elements import ListElements
from streamrnn.codecs.input_form import InputForm
from streamrnn.codecs.value_columns import Reader
from streamrnn.config.input import KeyKind
from streamrnn.nn.spec import ModelSpec
from streamrnn.ticks import PredictionBatch, Spans

UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)
"""What the decoders of object formats raise for a value they cannot read."""


class PredictionWriter(Protocol):
    """Writes the predictions of one model, many at once."""

    def write(self, said: PredictionBatch, keys: Spans) -> Spans:
        """The values of n >= 0 predictions, all of them ok; keys: those of their streams."""


class Format(Protocol):
    """One way to write a tick."""

    def reader(self, spec: ModelSpec, form: InputForm) -> Reader:
        """Values to columns, for one model."""

    def predictions(self, spec: ModelSpec, key: KeyKind) -> PredictionWriter:
        """Writes predictions, within which a stream stands as its key of this kind is shown."""


class ObjectFormat(Format, Protocol):
    """One way to write objects: fields with names."""

    name: str

    def decoder(self, shape: Any) -> Callable[[bytes], Any]:
        """Reads a value as this msgspec type; raises one of UNREADABLE."""

    def decode(self, value: bytes | None) -> Any:
        """Whatever is in a value; raises one of UNREADABLE, or TypeError for None."""

    def repaired(self, value: bytes) -> bytes | None:
        """A value that is broken in a way that is known and means something, without the fault; else None."""

    def is_list(self, value: bytes) -> bool:
        """Whether a value of at least one byte begins as a list."""

    def split(self, value: bytes) -> list[msgspec.Raw]:
        """The elements of a list; raises one of UNREADABLE."""

    def split_all(self, values: Spans, most: int) -> ListElements | None:
        """The elements of n values at once, lists of at most so many bytes; None where one is not surely sound."""

    def write(self, objects: Sequence[Any]) -> list[bytes]:
        """The values of objects of any msgspec types."""
