"""What a walk over the bytes of values takes and gives, whatever their format.

Shapes: n values, F features, C keys, N objects, S names.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.compiled import time_texts
from streamrnn.codecs.compiled.loop_arguments import laid_out
from streamrnn.codecs.compiled.time_texts import NO_MOMENT, moment_ms
from streamrnn.process.compiling import borrowing, compiled_with
from streamrnn.ticks import Spans

NOTHING, WHOLE, FRACTION, MOMENT = range(4)
"""Kinds of a time: none or null, a whole number, any other number, ISO 8601 text."""
KIND, TIME, ORDER, IS_SURE, NAME, NAME_SIZE = range(6)
"""Rows of `whole` in WalkedColumns; the last two are there for each field that names the stream."""
START, SIZE, FIELD, BELOW = range(4)
FIRST, LAST = range(2)
"""Columns of `keys` and `objects` in WantedKeys."""


class WantedKeys(NamedTuple):
    """The keys by which the wanted fields are reached, those of one object together, as UTF-8 in `text`.

    keys (C, 4): START and SIZE in `text`; FIELD: the F features come first, then the time, the sequence, the S that
    name the stream, and the N - 1 objects that lie in another; BELOW: the number of the object that the key leads
    to, 0 for a field. objects (N, 2): FIRST and LAST of its keys; object 0 is a value as a whole. width: F.
    has_order: whether a sequence is wanted. names: S. notes: what a walk notes down between rows, as it is before
    the first; see `taken_apart`.
    """

    text: NDArray[np.uint8]
    keys: NDArray[np.int64]
    objects: NDArray[np.int64]
    width: int
    has_order: bool
    names: int
    notes: NDArray[np.int64]


class WalkedColumns(NamedTuple):
    """fractions (n, F + 1): features, NaN = missing, and the time that is no whole number.

    whole (4 + 2 S, n): KIND of the time; TIME that is a whole number, or of text the ms; ORDER; IS_SURE: where it
    is 0, the rest of the row means nothing; and for each name NAME, where it begins, and NAME_SIZE, -1 for none.
    unsure: how many rows are not sure. kinds: a bit, 1 << kind, for every KIND among the others.
    """

    fractions: NDArray[np.float64]
    whole: NDArray[np.int64]
    unsure: int
    kinds: int


def first_notes(keys: NDArray[np.int64], objects: NDArray[np.int64], width: int, names: int) -> NDArray[np.int64]:
    """Those of WantedKeys: nothing seen, and after each key the next."""
    newest, after = objects[:, LAST] - 1, np.arange(1, len(keys) + 1)
    after[newest] = objects[:, FIRST]
    fields, nodes = width + names + 1 + len(objects), len(objects)
    return np.concatenate([np.zeros(fields + 2 * nodes, np.int64), newest, after])


def walked(rows: Callable[..., tuple[int, int]], values: Spans, wanted: WantedKeys) -> WalkedColumns:
    """What a loop over n values finds."""
    text, keys, objects, width, has_order, names, notes = wanted
    fractions, whole = np.empty((len(values), width + 1)), np.empty((NAME + 2 * names, len(values)), np.int64)
    of = (text, keys, objects)
    found = rows(*laid_out(values), *of, width, has_order, notes.copy(), fractions, whole)
    return WalkedColumns(fractions, whole, *found)


@borrowing
def taken_apart(notes: Any, nodes: int, width: int, names: int) -> tuple[Any, Any, Any, Any]:
    """Notes as four: seen, by field the newest row that has it, from 1; above, two numbers of each object around;
    newest, by object the key that came last; after, by key the one that came behind it the last time, the likeliest
    to do so again."""
    fields = width + names + 1 + nodes
    above, newest = fields + 2 * nodes, fields + 3 * nodes
    return notes[:fields], notes[fields:above], notes[above:newest], notes[newest:]


@borrowing
def begin_row(fractions: Any, whole: Any, row: int) -> None:
    """Have nothing be found yet."""
    fractions[row], whole[KIND, row] = np.nan, NOTHING
    for name in range(NAME, len(whole), 2):
        whole[name, row], whole[name + 1, row] = 0, -1


@borrowing
def end_row(whole: Any, row: int, is_walked: bool, seen: Any, width: int, has_order: bool) -> tuple[int, int]:
    """Note whether a row is sure: all of it was walked, and it has a feature, and an order where one is wanted. By
    how much the numbers of unsure rows and the bits of kinds grow."""
    has_feature = False
    for field in range(width):
        has_feature |= seen[field] == row + 1
    is_sure = is_walked and has_feature and (not has_order or seen[width + 1] == row + 1)
    whole[IS_SURE, row] = is_sure
    return (0, 1 << whole[KIND, row]) if is_sure else (1, 0)


@compiled_with(time_texts, is_borrowing=True)
def take_text(data: Any, at: Any, end: Any, row: int, what: int, whole: Any) -> bool:
    """Take the text in these bytes as the time, 0, or one of the names, from 2 on; whether it surely is one."""
    if what > 1:
        name = NAME + 2 * (what - 2)
        whole[name, row], whole[name + 1, row] = at, end - at
    elif what == 0:
        time_ms = moment_ms(data, at, end)
        whole[KIND, row], whole[TIME, row] = MOMENT, time_ms
        return bool(time_ms != NO_MOMENT)
    return what > 1
