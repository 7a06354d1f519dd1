"""The headers that name the tick a record was made of: each word once, written and read.

A prediction's and a dead letter's differ in their words. What is read is as it was written, in bytes: whoever
reads decides what it is worth. Knows no value. Shapes: n ticks.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.filling import filled
from streamrnn.ticks import NO_INDEX, DeadLetter, Spans
from streamrnn.ticks.byte_spans import uniform
from streamrnn.ticks.record_headers import write_headers

SOURCE_PARTITION, SOURCE_OFFSET, SOURCE_INDEX = "src-partition", "src-offset", "src-index"
MODEL = "model"
"""The words of a prediction's headers."""
ERRORS = "__streamrnn.errors."
"""Before each word of a dead letter's headers."""
LONGEST_MESSAGE = 1000
_MOST_NUMBERS = 64
"""Bytes of a prediction's headers at most beside the words: their count, three numbers and how long each is."""

Header = tuple[str, bytes | None]


class PredictionHeaders(NamedTuple):
    """What a prediction says of its tick and its model; None where it does not. element: the index in a list."""

    partition: bytes | None
    offset: bytes | None
    element: bytes | None
    model: bytes | None


class LetterHeaders(NamedTuple):
    """What a dead letter says of its tick and of the refusal; None where it does not. element: as above."""

    topic: bytes | None = None
    partition: bytes | None = None
    offset: bytes | None = None
    element: bytes | None = None
    stage: bytes | None = None
    code: bytes | None = None
    message: bytes | None = None
    model: bytes | None = None


_INDEX = ERRORS + "index"
_LETTER_FIELDS = {
    _INDEX: "element",
    **{ERRORS + field: field for field in LetterHeaders._fields if field != "element"},
}


class PlaceHeaders:
    """Writes the headers of a model's predictions; `model` is its label."""

    def __init__(self, model: str) -> None:
        from streamrnn.codecs.compiled.place_headers import put_headers  # numba is loaded only where it is used

        named = [write_headers([(word, b"")])[1:-1] for word in (SOURCE_PARTITION, SOURCE_OFFSET, SOURCE_INDEX)]
        pieces = Spans.of([*named, write_headers([(MODEL, model.encode())])[1:]])
        self._pieces, self._most = pieces.parts(), int(pieces.sizes.sum()) + _MOST_NUMBERS
        self._put = put_headers

    def write(self, partition: NDArray[np.int32], offset: NDArray[np.int64], index: NDArray[np.int32]) -> Spans:
        """The headers of n ticks, as in ticks/record_headers.py; index (n,): NO_INDEX for a tick without."""
        count, columns = len(offset), (uniform(partition), uniform(offset), uniform(index))
        return filled(self._put, count, count * self._most, self._pieces, *columns)


def read_prediction_headers(headers: Iterable[Header]) -> PredictionHeaders:
    """What they say; of two with one word the last."""
    said = dict(headers).get
    return PredictionHeaders(said(SOURCE_PARTITION), said(SOURCE_OFFSET), said(SOURCE_INDEX), said(MODEL))


def letter_headers(dead: DeadLetter, topic: str, model: str) -> list[Header]:
    """The headers of a dead letter, behind those of its record."""
    facts = {
        "topic": topic,
        "partition": str(dead.record.partition),
        "offset": str(dead.record.offset),
        "index": "" if dead.element == NO_INDEX else str(dead.element),
        "stage": dead.stage,
        "code": dead.code,
        "message": dead.message[:LONGEST_MESSAGE],
        "model": model,
    }
    if not facts["index"] and _INDEX not in dict(dead.record.headers):
        del facts["index"]  # else the record's own, of a dead letter that was sent again, would be taken for ours
    return [(ERRORS + field, fact.encode(errors="replace")) for field, fact in facts.items()]


def read_letter_headers(headers: Iterable[Header]) -> LetterHeaders:
    """What they say; of two with one word the last, for a dead letter carries its record's before its own."""
    return LetterHeaders(**{_LETTER_FIELDS[word]: fact for word, fact in headers if word in _LETTER_FIELDS})
