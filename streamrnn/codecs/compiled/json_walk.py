"""One walk over each JSON text of many: the wanted fields go into columns, all else is passed over.

What the walk is not sure to read as the slow twin does (objects.py, with msgspec) it leaves: an error of any kind,
a wanted field that is given twice, a text where a number is wanted, an escape in a key, a number of more digits
than an integer holds. No byte outside of a text is read. Shapes: n texts, F features, C keys, N objects.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.compiled import json_numbers, json_passing, time_texts
from streamrnn.codecs.compiled.json_numbers import NOWHERE, ONE, TOO_LARGE, U, number
from streamrnn.codecs.compiled.json_passing import NULL, behind, blank, literal, passed, plain
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
    to, 0 for a field. objects (N, 2): FIRST and LAST of its keys; object 0 is a text as a whole. width: F.
    has_order: whether a sequence is wanted. names: S. notes: what the walk notes down between rows, as it is before
    the first; see `_walk_rows`.
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
    return np.concatenate([np.zeros(fields + nodes, np.int64), newest, after])


def walk_texts(texts: Spans, wanted: WantedKeys) -> WalkedColumns:
    """Walk n texts."""
    text, keys, objects, width, has_order, names, notes = wanted
    fractions, whole = np.empty((len(texts), width + 1)), np.empty((NAME + 2 * names, len(texts)), np.int64)
    of = (text, keys, objects)
    found = _walk_rows(*laid_out(texts), *of, width, has_order, notes.copy(), fractions, whole)
    return WalkedColumns(fractions, whole, *found)


@compiled_with(json_numbers, json_passing, time_texts, is_borrowing=True)
def _walk_rows(
    data: Any, starts: Any, sizes: Any, text: Any, keys: Any, objects: Any, width: int, has_order: bool,
    notes: Any, fractions: Any, whole: Any,
) -> tuple[int, int]:  # fmt: skip
    """How many rows are not sure, and kinds. notes, one behind the other: seen, by field the newest row with it,
    from 1; above, the objects around; newest, by object the key that came last; after, by key the one that came
    behind it the last time, the likeliest to do so again."""
    names, nodes = (len(whole) - NAME) // 2, len(objects)
    fields = width + names + 1 + nodes
    seen, above = notes[:fields], notes[fields : fields + nodes]
    newest, after = notes[fields + nodes : fields + 2 * nodes], notes[fields + 2 * nodes :]
    unsure = kinds = 0
    for row in range(len(starts)):
        fractions[row], whole[KIND, row] = np.nan, NOTHING
        for name in range(NAME, len(whole), 2):
            whole[name, row], whole[name + 1, row] = 0, -1
        start = U(starts[row])
        stop = start + U(max(sizes[row], 0))
        end = _walk(
            data, start, stop, row, text, keys, objects, width, fractions, whole, seen, above, newest, after
        )
        has_feature = False
        for field in range(width):
            has_feature |= seen[field] == row + 1
        has_feature &= not has_order or seen[width + 1] == row + 1
        is_sure = end != NOWHERE and has_feature
        whole[IS_SURE, row] = is_sure
        unsure += not is_sure
        kinds |= is_sure << whole[KIND, row]
    return unsure, kinds


@compiled_with(json_numbers, json_passing, time_texts, is_borrowing=True)
def _walk(
    data: Any, at: Any, stop: Any, row: int, text: Any, keys: Any, objects: Any, width: int, fractions: Any,
    whole: Any, seen: Any, above: Any, newest: Any, after: Any,
) -> Any:  # fmt: skip
    """The text's end, or NOWHERE."""
    at = blank(data, at, stop)
    if at >= stop or data[at] != 0x7B:
        return NOWHERE
    at += ONE
    node, depth, is_first = 0, 0, True
    while at < stop:
        at = blank(data, at, stop)
        if at < stop and data[at] == 0x7D:
            at += ONE
            if depth == 0:
                return at if blank(data, at, stop) == stop else NOWHERE
            depth, is_first = depth - 1, False
            node = above[depth]
            continue
        if not is_first:
            at = behind(data, at, stop, 0x2C)
        key, at = _read_key(data, at, stop, text, keys, objects, node, after[newest[node]])
        is_first = False
        if at >= stop:
            return NOWHERE
        if key < 0:
            at = passed(data, at, stop)
            continue
        after[newest[node]] = newest[node] = key
        field, below = keys[key, FIELD], keys[key, BELOW]
        if seen[field] == row + 1:
            return NOWHERE
        seen[field] = row + 1
        if below == 0:
            at = _read_field(data, at, stop, row, field, width, fractions, whole)
        elif data[at] == 0x7B:
            above[depth], node, depth, is_first = node, below, depth + 1, True
            at += ONE
        else:
            at = literal(data, at, stop, NULL)
    return NOWHERE


@borrowing
def _is_key(data: Any, at: Any, stop: Any, text: Any, keys: Any, key: int) -> Any:
    """Whether a key and the quote behind it lie here."""
    size, start = U(keys[key, SIZE]), U(keys[key, START])
    if stop - at <= size or data[at + size] != 0x22:
        return False
    n = U(0)
    while n < size and data[at + n] == text[start + n]:
        n += ONE
    return n == size


@compiled_with(json_numbers, json_passing, is_borrowing=True)
def _read_key(
    data: Any, at: Any, stop: Any, text: Any, keys: Any, objects: Any, node: int, hope: int
) -> tuple[int, Any]:
    """The key that lies here, -1 for any that is not wanted, and the place of its value. hope: the likeliest."""
    if at >= stop or data[at] != 0x22:
        return -1, NOWHERE
    at += ONE
    if _is_key(data, at, stop, text, keys, hope):
        return hope, behind(data, at + U(keys[hope, SIZE]) + ONE, stop, 0x3A)
    end, found = plain(data, at, stop), -1
    if end >= stop or data[end] != 0x22:
        return -1, NOWHERE
    for key in range(objects[node, FIRST], objects[node, LAST]):
        if U(keys[key, SIZE]) == end - at and _is_key(data, at, stop, text, keys, key):
            found = key
    return found, behind(data, end + ONE, stop, 0x3A)


@compiled_with(time_texts, is_borrowing=True)
def _take_text(data: Any, at: Any, end: Any, row: int, what: int, whole: Any) -> bool:
    """Take the text in these bytes as the time, 0, or one of the names, from 2 on; whether it surely is one."""
    if what > 1:
        name = NAME + 2 * (what - 2)
        whole[name, row], whole[name + 1, row] = at, end - at
    elif what == 0:
        time_ms = moment_ms(data, at, end)
        whole[KIND, row], whole[TIME, row] = MOMENT, time_ms
        return bool(time_ms != NO_MOMENT)
    return what > 1


@compiled_with(json_numbers, json_passing, time_texts, is_borrowing=True)
def _read_field(data: Any, at: Any, stop: Any, row: int, field: int, width: int, fractions: Any, whole: Any) -> Any:
    """Take what lies in a wanted field; the place behind it."""
    if data[at] == 0x6E:
        return NOWHERE if field == width + 1 else literal(data, at, stop, NULL)
    if field >= width and data[at] == 0x22:
        end = plain(data, at + ONE, stop)
        is_sure = _take_text(data, at + ONE, end, row, field - width, whole)
        return end + ONE if is_sure and end < stop and data[end] == 0x22 else NOWHERE
    end, is_whole, integer, fraction = number(data, at, stop)
    if field < width:
        fractions[row, field] = fraction
    elif field == width and not is_whole:
        whole[KIND, row], fractions[row, width] = FRACTION, fraction
    elif integer == TOO_LARGE:
        return NOWHERE
    elif field == width:
        whole[KIND, row], whole[TIME, row] = WHOLE, integer
    elif field == width + 1:
        whole[ORDER, row] = integer
    else:
        name = NAME + 2 * (field - width - 2)
        whole[name, row], whole[name + 1, row] = at, end - at
        return end if integer != 0 or end - at == ONE else NOWHERE
    return end
