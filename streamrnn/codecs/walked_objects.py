"""Values of objects that lie in one buffer, read by compiled code straight into columns.

The slow twin is objects.py: it reads the rows that the walk is not sure of, so that both give the same whatever
comes. Shapes: n values, F features.
"""

from collections.abc import Callable, Mapping, Sequence
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.compiled.field_walk import (
    FRACTION,
    IS_SURE,
    KIND,
    MOMENT,
    NAME,
    NAME_SIZE,
    NOTHING,
    ORDER,
    TIME,
    WHOLE,
    WalkedColumns,
    WantedKeys,
)
from streamrnn.codecs.compiled.joined_names import joined_names
from streamrnn.codecs.compiled.key_checks import bad_rows
from streamrnn.codecs.compiled.surveys import narrow
from streamrnn.codecs.objects import ObjectReader
from streamrnn.codecs.reasons import Refused
from streamrnn.codecs.value_columns import Columns
from streamrnn.codecs.walked_keys import wanted_keys
from streamrnn.nn.spec import ModelSpec
from streamrnn.ticks import Spans
from streamrnn.ticks.byte_spans import uniform

Walk = Callable[[Spans, WantedKeys], WalkedColumns]
KINDS = {int: WHOLE, float: FRACTION, NoneType: NOTHING}
"""Of times that are no text."""


class WalkedReader:
    """Reads values for one model as its twin does; values that lie in no one buffer are left to the twin, and so
    are whole batches of whose rows more than `most_unsure`, a share, had to be. `walk` knows the format."""

    def __init__(self, spec: ModelSpec, twin: ObjectReader, walk: Walk, most_unsure: float = 0.5) -> None:
        self._spec, self._twin, self._walk_all, self._most_unsure = spec, twin, walk, most_unsure
        self.keys = wanted_keys(twin.wanted, [leaf.path for leaf in twin.leaves])
        self.read(Spans.of([]), {})  # compiles now, not at the first tick

    def read(self, values: Sequence[bytes], refused: dict[int, Refused]) -> Columns:
        """See Reader."""
        if not isinstance(values, Spans):
            return self._twin.read(values, refused)
        found = self._walk(values)
        if found.unsure > self._most_unsure * len(values):
            return self._twin.read(values.tolist(), refused)  # type: ignore[arg-type]
        if not found.unsure:
            return self._columns(found, self._features(found), self._names(values, found), {}, {})
        return self._mended(values, found, refused)

    def _mended(self, values: Spans, found: WalkedColumns, refused: dict[int, Refused]) -> Columns:
        """With what the twin reads in the rows that are not sure."""
        rows = np.flatnonzero(found.whole[IS_SURE] == 0)
        why: dict[int, Refused] = {}
        mended = self._twin.read(values.take(rows).tolist(), why)  # type: ignore[arg-type]
        for index, reason in why.items():
            refused.setdefault(int(rows[index]), reason)
        _fill(found, rows[sorted(why)])
        features = self._features(found)
        features[rows] = mended.features
        good = [(index, row) for index, row in enumerate(rows.tolist()) if index not in why]
        times, orders = _lay_over(found, mended, good)
        found = found._replace(kinds=int(np.bitwise_or.reduce(1 << found.whole[KIND])))
        names = _with_others(self._names(values, found), rows, mended.streams)
        return self._columns(found, features, names, times, orders)

    def _walk(self, values: Spans) -> WalkedColumns:
        found, has_bad = self._walk_all(values, self.keys), False
        least = -1 if self.keys.names == 1 else 0  # of several parts each must be there
        for name in range(NAME, len(found.whole), 2):
            names = Spans(values.data, found.whole[name], found.whole[name + 1])
            bad = bad_rows(names, least, len(values.data), is_text=True)
            found.whole[IS_SURE, bad] = 0
            has_bad |= len(bad) > 0
        return found._replace(unsure=int((found.whole[IS_SURE] == 0).sum())) if has_bad else found

    def _features(self, found: WalkedColumns) -> NDArray[np.floating]:
        features = np.empty((len(found.fractions), len(self._spec.features)), self._spec.precision)
        narrow(found.fractions, features)
        return features

    def _names(self, values: Spans, found: WalkedColumns) -> Spans | None:
        if self.keys.names < 2:
            return Spans(values.data, found.whole[NAME], found.whole[NAME_SIZE]) if self.keys.names else None
        return joined_names(uniform(values.data), found.whole[NAME:])

    def _columns(
        self,
        found: WalkedColumns,
        features: NDArray[np.floating],
        names: Spans | None,
        times: Mapping[int, Any],
        orders: Mapping[int, Any],
    ) -> Columns:
        """Of what was found; times and orders are those that no array holds, by row."""
        wanted = self._twin.wanted
        return Columns(
            features,
            names,
            _times(found, times) if wanted.time else None,
            _with_odd(found.whole[ORDER], orders) if wanted.sequence else None,
        )


def _fill(found: WalkedColumns, bad: NDArray[np.intp]) -> None:
    """Have refused rows hold what the first other one does, for they mean nothing and shall stand in no way."""
    is_good = np.ones(len(found.fractions), np.bool_)
    is_good[bad] = False
    first = int(is_good.argmax())
    found.whole[:, bad] = found.whole[:, first : first + 1]
    found.fractions[bad] = found.fractions[first]


def _lay_over(
    found: WalkedColumns, mended: Columns, good: Sequence[tuple[int, int]]
) -> tuple[dict[int, Any], dict[int, Any]]:
    """Put the times and orders that the twin has read, by index, into their rows; returned are what arrays cannot
    hold."""
    times: dict[int, Any] = {}
    orders: dict[int, Any] = {}
    for index, row in good:
        if mended.times is not None:
            time: Any = mended.times[index]
            found.whole[KIND, row] = KINDS.get(type(time), NOTHING)
            if isinstance(time, float):
                found.fractions[row, -1] = time
            elif _fits(time):
                found.whole[TIME, row] = time
            elif time is not None:
                times[row] = time
        if mended.orders is not None:
            order: Any = mended.orders[index]
            if _fits(order):
                found.whole[ORDER, row] = order
            else:
                orders[row] = order
    return times, orders


def _fits(number: Any) -> bool:
    return isinstance(number, int) and -(2**63) <= number < 2**63


def _times(found: WalkedColumns, odd: Mapping[int, Any]) -> Any:
    """An array where all are of one kind, None where there is none, else objects."""
    kinds, whole, fractions = found.whole[KIND], found.whole[TIME], found.fractions[:, -1]
    if not odd and found.kinds == 1 << WHOLE:
        return whole
    if not odd and found.kinds in (1 << NOTHING, 1 << FRACTION):
        return None if found.kinds == 1 << NOTHING else fractions
    moments: Any = whole.view("datetime64[ms]")
    if not odd and found.kinds == 1 << MOMENT:
        return moments
    items: list[Any] = [None] * len(kinds)
    column: Any
    for kind, column in ((WHOLE, whole), (FRACTION, fractions), (MOMENT, moments)):
        rows = np.flatnonzero(kinds == kind)
        held = np.datetime_as_string(column[rows]) if kind == MOMENT else column[rows]
        for row, item in zip(rows.tolist(), held.tolist(), strict=True):
            items[row] = item
    return [odd.get(row, item) for row, item in enumerate(items)] if odd else items


def _with_odd(numbers: NDArray[np.int64], odd: Mapping[int, Any]) -> Any:
    return [odd.get(row, number) for row, number in enumerate(numbers.tolist())] if odd else numbers


def _with_others(names: Spans | None, rows: NDArray[np.intp], others: Sequence[Any] | None) -> Spans | None:
    """With other names in some of the rows; a lone surrogate is no UTF-8 afterwards either, and refused for it."""
    if names is None or others is None:
        return names
    chosen = np.arange(len(names))
    chosen[rows] = len(names) + np.arange(len(rows))
    encoded = [None if name is None else name.encode(errors="surrogatepass") for name in others]
    return Spans.joined([names, Spans.of(encoded)]).take(chosen)
