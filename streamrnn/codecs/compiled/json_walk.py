"""One walk over each JSON text of many: the wanted fields go into columns, all else is passed over.

What the walk is not sure to read as the slow twin does (objects.py, with msgspec) it leaves: an error of any kind,
a wanted field that is given twice, a text where a number is wanted, an escape in a key, a number of more digits
than an integer holds. No byte outside of a text is read. Shapes: n texts, F features, C keys, N objects.
"""

from typing import Any

from streamrnn.codecs.compiled import field_walk, json_numbers, json_passing, time_texts
from streamrnn.codecs.compiled.field_walk import (
    BELOW,
    FIELD,
    FIRST,
    FRACTION,
    KIND,
    LAST,
    NAME,
    ORDER,
    SIZE,
    START,
    TIME,
    WHOLE,
    WalkedColumns,
    WantedKeys,
    begin_row,
    end_row,
    take_text,
    taken_apart,
    walked,
)
from streamrnn.codecs.compiled.json_numbers import NOWHERE, ONE, TOO_LARGE, U, number
from streamrnn.codecs.compiled.json_passing import NULL, behind, blank, literal, passed, plain
from streamrnn.process.compiling import borrowing, compiled_with
from streamrnn.ticks import Spans


def walk_texts(texts: Spans, wanted: WantedKeys) -> WalkedColumns:
    """Walk n texts."""
    return walked(_walk_rows, texts, wanted)


@compiled_with(json_numbers, json_passing, time_texts, field_walk, is_borrowing=True)
def _walk_rows(
    data: Any, starts: Any, sizes: Any, text: Any, keys: Any, objects: Any, width: int, has_order: bool,
    notes: Any, fractions: Any, whole: Any,
) -> tuple[int, int]:  # fmt: skip
    """How many rows are not sure, and kinds."""
    seen, above, newest, after = taken_apart(notes, len(objects), width, (len(whole) - NAME) // 2)
    unsure = kinds = 0
    for row in range(len(starts)):
        begin_row(fractions, whole, row)
        start = U(starts[row])
        stop = start + U(max(sizes[row], 0))
        end = _walk(
            data, start, stop, row, text, keys, objects, width, fractions, whole, seen, above, newest, after
        )
        more, kind = end_row(whole, row, end != NOWHERE, seen, width, has_order)
        unsure, kinds = unsure + more, kinds | kind
    return unsure, kinds


@compiled_with(json_numbers, json_passing, time_texts, field_walk, is_borrowing=True)
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


@compiled_with(json_numbers, json_passing, time_texts, field_walk, is_borrowing=True)
def _read_field(data: Any, at: Any, stop: Any, row: int, field: int, width: int, fractions: Any, whole: Any) -> Any:
    """Take what lies in a wanted field; the place behind it."""
    if data[at] == 0x6E:
        return NOWHERE if field == width + 1 else literal(data, at, stop, NULL)
    if field >= width and data[at] == 0x22:
        end = plain(data, at + ONE, stop)
        is_sure = take_text(data, at + ONE, end, row, field - width, whole)
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
