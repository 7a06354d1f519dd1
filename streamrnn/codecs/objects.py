"""Objects of any format to raw columns. The common case costs one call a value and no look at a field.

Shapes: n values, F features.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.fields import Leaf, Path, Tree, base_path, feature_places, places, without_clashes
from streamrnn.codecs.formats.format import UNREADABLE, ObjectFormat
from streamrnn.codecs.input_form import InputForm
from streamrnn.codecs.reasons import Refused, feature_refusal, missing_key, reading_refusal
from streamrnn.codecs.second_look import lenient_numbers, lenient_orders, names_in
from streamrnn.codecs.times import Time
from streamrnn.codecs.value_columns import Columns, in_precision
from streamrnn.errors import BundleError
from streamrnn.nn.spec import ModelSpec

ABSENT_BITS = 0x7FF8_0000_0000_0AB5
ABSENT = float(np.array(ABSENT_BITS, np.uint64).view(np.float64))
"""A NaN unlike all others: the value does not name the feature at all."""
STREAM = str | int | None
_FEATURE = {"strict": float | None, "lenient": float | bool | str | None}
_SEQUENCE = {"strict": int | None, "lenient": int | str | None}
_ESCAPED = str.maketrans({"%": "%25", "/": "%2F"})
"""Within one of several fields that name a stream: else a/b and c would be a and b/c."""


class WantedLeaves(NamedTuple):
    """The leaves of each field, by number; of several the first where something lies counts."""

    features: list[list[int]]
    streams: list[list[int]]
    time: list[list[int]]
    sequence: list[list[int]]


class ObjectReader:
    """Reads values of one form for one model; BundleError where two of its fields cannot be told apart."""

    def __init__(self, spec: ModelSpec, form: InputForm, of: ObjectFormat) -> None:
        self._spec, self._form, self._format = spec, form, of
        self._is_lenient = form.numbers == "lenient"
        self.wanted, self.leaves = _wanted(spec, form)
        try:
            self._tree = Tree(self.leaves)
        except ValueError as error:  # two in one place, or a quote, a backslash or a control character in a name
            raise BundleError(f"{spec.label}: no tick can have a field of this name: {error}") from error
        self._decode = of.decoder(self._tree.shape)
        self._codes = {self.leaves[n].shown: "bad_time" for found in self.wanted.time for n in found}
        self._codes |= {self.leaves[n].shown: "bad_sequence" for found in self.wanted.sequence for n in found}

    def read(self, values: Sequence[bytes], refused: dict[int, Refused]) -> Columns:
        """The columns; adds to the refused, by index, whatever cannot be read."""
        rows: list[Any] = []
        append, decode = rows.append, self._decode
        for value in values:
            try:
                append(decode(value))
            except UNREADABLE as error:
                append(self._read_again(value, error, len(rows), refused))
        columns = self._tree.columns(rows)
        if self._is_lenient:
            self._make_lenient(columns, refused)
        times, orders = (_first(columns, found) for found in (self.wanted.time, self.wanted.sequence))
        return Columns(self._features(columns, values, refused), self._streams(columns, refused), times, orders)

    def _read_again(self, value: bytes, error: Exception, index: int, refused: dict[int, Refused]) -> Any:
        """What the fast way failed at: a fault that its format can repair, or nothing and the reason."""
        is_broken = not isinstance(error, msgspec.ValidationError | RecursionError)
        repaired = self._format.repaired(value) if is_broken else None
        if repaired is not None:
            try:
                return self._decode(repaired)
            except msgspec.ValidationError as second:
                error = second
            except UNREADABLE:
                pass  # broken besides: the first error names a place in the value as it came
        refused.setdefault(index, reading_refusal(error, self._form, self._codes))
        return self._tree.nothing

    def _features(
        self, columns: dict[int, Sequence[Any]], values: Sequence[bytes], refused: dict[int, Refused]
    ) -> NDArray[np.floating]:
        """(n, F); a value that names none of them is refused."""
        leaves = self.wanted.features
        numbers = np.array([columns[first] for first, *_ in leaves], dtype=np.float64)
        for row, (_, *others) in zip(numbers, leaves, strict=True):
            for leaf in others:
                np.copyto(row, np.array(columns[leaf], dtype=np.float64), where=_is_absent(row))
        absent = _is_absent(numbers)
        if absent.any():
            for i in np.flatnonzero(absent.all(axis=0)).tolist():
                if i not in refused:
                    refused[i] = feature_refusal(self._spec.features, names_in(values[i], self._format))
            numbers[absent] = np.nan
        return in_precision(numbers.T, self._spec)

    def _make_lenient(self, columns: dict[int, Sequence[Any]], refused: dict[int, Refused]) -> None:
        """Text and booleans that are numbers become numbers."""
        for name, found in zip(self._spec.features, self.wanted.features, strict=True):
            for leaf in found:
                columns[leaf] = lenient_numbers(columns[leaf], name, refused)
        for leaf in (leaf for found in self.wanted.sequence for leaf in found):
            columns[leaf] = lenient_orders(columns[leaf], refused)

    def _streams(
        self, columns: dict[int, Sequence[Any]], refused: dict[int, Refused]
    ) -> Sequence[str | None] | None:
        """Names from the fields: of one as it is, of several joined."""
        parts = [_as_text(_first(columns, [found])) for found in self.wanted.streams]
        if len(parts) < 2:
            return parts[0] if parts else None
        names: list[str | None] = []
        for index, found in enumerate(zip(*parts, strict=True)):
            if None in found:
                refused.setdefault(index, missing_key(self._form.stream_fields[found.index(None)]))
                names.append("")
            else:
                names.append("/".join(part.translate(_ESCAPED) for part in found))
        return names


def _is_absent(numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.equal(numbers.view(np.uint64), ABSENT_BITS)


def _first(columns: dict[int, Sequence[Any]], field: list[list[int]]) -> Sequence[Any] | None:
    """Of the places of a field, if there is one, the first where something lies."""
    if not field:
        return None
    if len(field[0]) == 1:
        return columns[field[0][0]]
    found = zip(*(columns[leaf] for leaf in field[0]), strict=True)
    return [next((one for one in several if one is not None), None) for several in found]


def _as_text(column: Sequence[str | int | None] | None) -> Sequence[str | None]:
    """Names that are numbers as text."""
    assert column is not None
    return [name if name is None or isinstance(name, str) else str(name) for name in column]


class _Field(NamedTuple):
    """A field to be read: which of WantedLeaves it is, where it may lie, of what type, and what stands for none."""

    role: str
    places: list[Path]
    kind: Any
    default: Any = None


def _wanted(spec: ModelSpec, form: InputForm) -> tuple[WantedLeaves, list[Leaf]]:
    """The leaves to read and which field each is of."""
    fields, wanted, leaves = list(_fields(spec, form)), WantedLeaves([], [], [], []), list[Leaf]()
    for field, paths in zip(fields, without_clashes([field.places for field in fields]), strict=True):
        getattr(wanted, field.role).append(list(range(len(leaves), len(leaves) + len(paths))))
        leaves += [Leaf(path, field.kind, field.default) for path in paths]
    return wanted, leaves


def _fields(spec: ModelSpec, form: InputForm) -> Iterator[_Field]:
    base, label, sequence = base_path(form.path), spec.label, form.sequence_field
    for name in spec.features:
        yield _Field("features", feature_places(name, base), _FEATURE[form.numbers], ABSENT)
    for name in form.stream_fields:
        if name in spec.features:
            raise BundleError(f"{label}: {name} is a feature, and cannot name the stream too")
        yield _Field("streams", places(name, base), STREAM)
    if form.time_field is not None and form.time_field not in spec.features:
        yield _Field("time", places(form.time_field, base), Time)
    if sequence is None:
        return
    if sequence in spec.features:
        raise BundleError(f"{label}: {sequence} is a feature, and cannot be the ticks' sequence too")
    if sequence in (*form.stream_fields, form.time_field):
        raise BundleError(f"{label}: {sequence} cannot be the ticks' sequence and their stream or time")
    yield _Field("sequence", places(sequence, base), _SEQUENCE[form.numbers])
