"""Headers of predictions and dead letters say the place of their tick, and are read as they were written."""

import numpy as np
import pytest

from streamrnn.codecs import dead_letter_record
from streamrnn.codecs.headers import (
    LetterHeaders,
    PlaceHeaders,
    PredictionHeaders,
    read_letter_headers,
    read_prediction_headers,
)
from streamrnn.ticks import NO_INDEX, DeadLetter, OutRecord, Record, TickBatch
from streamrnn.ticks.record_headers import read_headers

CARRIED = (("src-partition", b"1"), ("src-offset", b"2"), ("__streamrnn.other", b"x"))


def letter(record: Record, element: int = NO_INDEX) -> OutRecord:
    return dead_letter_record(DeadLetter(record, "decode", "bad", "why", element), "ticks", "toy@1")


def again(out: OutRecord) -> Record:
    """A dead letter sent to the input again."""
    return Record(4, 8, 1, out.key, out.value, tuple(out.headers))


def test_a_prediction_says_the_place_of_its_tick_with_the_index_where_it_came_in_a_list():
    at, index = np.arange(4), np.array([NO_INDEX, 0, 1, NO_INDEX], np.int32)
    values = np.zeros((4, 1), np.float32)
    ticks = TickBatch(at.astype(np.int32) % 3, 5 + 9 * at, at, at, [b"s"] * 4, values, at, index=index)
    written = list(map(read_headers, PlaceHeaders("oil@7").write(ticks.partition, ticks.offset, index)))
    assert [name for name, _ in written[1]] == ["src-partition", "src-offset", "src-index", "model"]
    for headers, (partition, offset, index) in zip(written, ticks.places(), strict=True):
        element = None if index == NO_INDEX else b"%d" % index
        said = PredictionHeaders(b"%d" % partition, b"%d" % offset, element, b"oil@7")
        assert read_prediction_headers(headers) == said


def test_headers_that_say_nothing_of_a_tick_are_read_so():
    assert read_prediction_headers([("trace", b"1")]) == PredictionHeaders(None, None, None, None)
    assert read_letter_headers(CARRIED) == LetterHeaders()


@pytest.mark.parametrize("element", [NO_INDEX, 0, 4])
def test_a_dead_letter_names_its_own_tick_and_not_that_of_the_record_it_carries(element):
    first = letter(Record(3, 9, 1, b"k", b"v", CARRIED), element)
    index = None if element == NO_INDEX else b"%d" % element
    assert first.place == (3, 9, element)
    wanted = LetterHeaders(b"ticks", b"3", b"9", index, b"decode", b"bad", b"why", b"toy@1")
    assert read_letter_headers(first.headers) == wanted
    second = letter(again(first))
    assert second.place == (4, 8, NO_INDEX)
    said = read_letter_headers(second.headers)
    assert (said.partition, said.offset, said.element or None) == (b"4", b"8", None)
