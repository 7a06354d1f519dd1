"""A prediction's headers, which say its tick's place and its model, into a buffer as Kafka's log has them.

The slow twin is headers.prediction_headers. Shapes: n rows.
"""

from typing import Any

from streamrnn.codecs.compiled import number_texts
from streamrnn.codecs.compiled.number_texts import int64, put_piece, put_whole
from streamrnn.process.compiling import compiled_with

PARTITION, OFFSET, INDEX, MODEL = range(4)
"""Pieces: the first three up to the length of what the header says, the last with all that it says."""


@compiled_with(number_texts, is_borrowing=True)
def _put_content(into: Any, at: int, number: int) -> int:
    """Write what a header says: its length, a zigzag varint of one byte, and the number in digits."""
    end = put_whole(into, at + 1, number)
    into[at] = 2 * (end - at - 1)
    return end


@compiled_with(number_texts, is_borrowing=True)
def put_headers(
    into: Any, starts: Any, sizes: Any, pieces: Any, partitions: Any, offsets: Any, indexes: Any
) -> int:
    """Write each row's headers, and where they lie into starts and sizes (n,); where all of them end.

    indexes (n,): negative for a tick without, which has one header less.
    """
    at = 0
    for row in range(len(starts)):
        starts[row] = at
        has_index = indexes[row] >= 0
        into[at] = 2 * (3 + has_index)
        at = put_piece(into, at + 1, pieces, PARTITION)
        at = _put_content(into, at, int64(partitions[row]))
        at = put_piece(into, at, pieces, OFFSET)
        at = _put_content(into, at, offsets[row])
        if has_index:
            at = put_piece(into, at, pieces, INDEX)
            at = _put_content(into, at, int64(indexes[row]))
        at = put_piece(into, at, pieces, MODEL)
        sizes[row] = at - starts[row]
    return at
