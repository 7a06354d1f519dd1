"""One walk over each MessagePack map of many: the wanted fields go into columns, all else is passed over.

What the walk is not sure to read as the slow twin does (objects.py, with msgspec) it leaves: an error of any kind,
a wanted field that is given twice, a text where a number is wanted, a stream's name that is a number. No byte
outside of a value is read. Shapes: n values, F features, C keys, N objects.
"""

from typing import Any

from streamrnn.codecs.compiled import field_walk, pack_passing, time_texts
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
from streamrnn.codecs.compiled.pack_passing import (
    NIL,
    NOWHERE,
    ONE,
    TOO_LARGE,
    U,
    pack_map,
    pack_number,
    pack_text,
    passed_pack,
)
from streamrnn.process.compiling import borrowing, compiled_with
from streamrnn.ticks import Spans


def walk_packs(values: Spans, wanted: WantedKeys) -> WalkedColumns:
    """Walk n values."""
    return walked(_walk_rows, values, wanted)


@compiled_with(pack_passing, time_texts, field_walk, is_borrowing=True)
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


@compiled_with(pack_passing, time_texts, field_walk, is_borrowing=True)
def _walk(
    data: Any, at: Any, stop: Any, row: int, text: Any, keys: Any, objects: Any, width: int, fractions: Any,
    whole: Any, seen: Any, above: Any, newest: Any, after: Any,
) -> Any:  # fmt: skip
    """The value's end, or NOWHERE. above: the objects around, and how many pairs each has left."""
    if at >= stop:
        return NOWHERE
    left, at = pack_map(data, at, stop)
    node = depth = 0
    while at < stop or (at == stop and left == 0):
        if left == 0:
            if depth == 0:
                return at if at == stop else NOWHERE
            depth -= 1
            node, left = above[2 * depth], U(above[2 * depth + 1])
            continue
        left -= ONE
        key, at = _read_key(data, at, stop, text, keys, objects, node, after[newest[node]])
        if at >= stop:
            return NOWHERE
        if key < 0:
            at = passed_pack(data, at, stop)
            continue
        after[newest[node]] = newest[node] = key
        field, below = keys[key, FIELD], keys[key, BELOW]
        if seen[field] == row + 1:
            return NOWHERE
        seen[field] = row + 1
        if below == 0:
            at = _read_field(data, at, stop, row, field, width, fractions, whole)
        elif data[at] == NIL:
            at += ONE
        else:
            above[2 * depth], above[2 * depth + 1] = node, left
            left, at = pack_map(data, at, stop)
            node, depth = below, depth + 1
    return NOWHERE


@compiled_with(pack_passing, is_borrowing=True)
def _read_key(
    data: Any, at: Any, stop: Any, text: Any, keys: Any, objects: Any, node: int, hope: int
) -> tuple[int, Any]:
    """The key that lies here, -1 for any that is not wanted, and the place of its value. hope: the likeliest."""
    at, end = pack_text(data, at, stop)
    if end == NOWHERE or _is_key(data, at, end, text, keys, hope):
        return hope, end
    for key in range(objects[node, FIRST], objects[node, LAST]):
        if _is_key(data, at, end, text, keys, key):
            return key, end
    return -1, end


@borrowing
def _is_key(data: Any, at: Any, end: Any, text: Any, keys: Any, key: int) -> Any:
    """Whether a key is the text in these bytes."""
    size, start, n = U(keys[key, SIZE]), U(keys[key, START]), U(0)
    if end - at != size:
        return False
    while n < size and data[at + n] == text[start + n]:
        n += ONE
    return n == size


@compiled_with(pack_passing, time_texts, field_walk, is_borrowing=True)
def _read_field(data: Any, at: Any, stop: Any, row: int, field: int, width: int, fractions: Any, whole: Any) -> Any:
    """Take what lies in a wanted field; the place behind it."""
    if data[at] == NIL:
        return NOWHERE if field == width + 1 else at + ONE
    start, end = pack_text(data, at, stop)
    if end != NOWHERE:
        return end if field >= width and take_text(data, start, end, row, field - width, whole) else NOWHERE
    end, is_whole, integer, fraction = pack_number(data, at, stop)
    if field < width:
        fractions[row, field] = fraction
    elif field == width and not is_whole:
        whole[KIND, row], fractions[row, width] = FRACTION, fraction
    elif integer == TOO_LARGE or field > width + 1:
        return NOWHERE
    elif field == width:
        whole[KIND, row], whole[TIME, row] = WHOLE, integer
    else:
        whole[ORDER, row] = integer
    return end
