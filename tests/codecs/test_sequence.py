"""What a stream's ticks are ordered by: a field of theirs, or the event time."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.codecs import Decoder
from streamrnn.errors import BundleError
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.ticks import Record

SPEC = ModelSpec(name="t", features=("a", "b"), targets=("a",), channels=(Channel("a"),))
ENCODE = {"json": msgspec.json.encode, "msgpack": msgspec.msgpack.encode}


def records(codec: str, *values: dict) -> list[Record]:
    return [Record(0, n, 1_000 + n, b"s", ENCODE[codec](value)) for n, value in enumerate(values)]


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_the_sequence_field_orders_ticks_and_is_no_time(codec):
    values = [{"a": 1.5, "time": 17e11, "seq": 2**53 + 1}, {"seq": -3, "b": 1}, {"a": 1, "seq": 0}]
    ticks, dead = Decoder(SPEC, codec=codec, sequence_field="seq").decode(records(codec, *values))
    assert (ticks.order.tolist(), dead) == ([2**53 + 1, -3, 0], [])
    assert ticks.order.dtype == np.int64
    assert ticks.time_ms.tolist() == [1_700_000_000_000, 1001, 1002]


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_without_one_the_event_time_does(codec):
    values = [{"a": 1, "time": 7, "seq": 5}, {"a": 1, "time": 3.9}, {"a": 1}]
    ticks, _ = Decoder(SPEC, codec=codec, time_unit="ms").decode(records(codec, *values))
    assert ticks.order.tolist() == ticks.time_ms.tolist() == [7, 3, 1002]


def test_packed_floats_are_ordered_by_their_records_times():
    ticks, _ = Decoder(SPEC, codec="float32").decode([Record(0, 0, 77, b"s", bytes(8))])
    assert ticks.order.tolist() == [77]


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize(
    ("code", "fields"),
    [
        ("missing_sequence", {}),
        ("missing_sequence", {"seq": None}),
        ("bad_sequence", {"seq": 1.5}),
        ("bad_sequence", {"seq": "5"}),
        ("bad_sequence", {"seq": True}),
        ("bad_sequence", {"seq": [5]}),
        ("bad_sequence", {"seq": 2**63}),
        ("undecodable", None),
        ("bad_time", {"seq": 2**63, "time": "soon"}),
    ],
)
def test_a_tick_without_a_whole_number_to_order_it_is_refused_and_its_neighbours_are_not(codec, code, fields):
    value = b"\xc1" if fields is None else ENCODE[codec]({"a": 1.0} | fields)
    good = records(codec, {"seq": 4, "a": 1}, {"seq": 6, "a": 2})
    bad = Record(0, 9, 1_009, b"s", value)
    ticks, dead = Decoder(SPEC, codec=codec, sequence_field="seq").decode([good[0], bad, good[1]])
    assert (ticks.order.tolist(), ticks.values[:, 0].tolist()) == ([4, 6], [1, 2])
    assert [(letter.record, letter.stage, letter.code) for letter in dead] == [(bad, "decode", code)]
    assert dead[0].message


def test_numbers_of_any_length_are_refused_in_a_few_words():
    value = b'{"seq": -' + b"9" * 5000 + b"}"
    _, [letter] = Decoder(SPEC, sequence_field="seq").decode([Record(0, 0, 0, b"s", value)])
    assert letter.code in ("bad_sequence", "not_finite", "undecodable")
    assert len(letter.message) < 300


@given(st.lists(st.one_of(st.integers(-(2**70), 2**70), st.none(), st.floats(allow_nan=False)), max_size=12))
def test_a_batch_is_ordered_as_its_records_are_one_by_one(numbers):
    decoder = Decoder(SPEC, sequence_field="seq")
    batch = records("json", *({"a": 1, "seq": number} for number in numbers))
    ticks, dead = decoder.decode(batch)
    good = [n for n in numbers if isinstance(n, int) and -(2**63) <= n < 2**63]
    assert ticks.order.tolist() == good
    alone = [decoder.decode([record])[1] for record in batch]
    assert dead == [letter for letters in alone for letter in letters]


@pytest.mark.parametrize("field", ["a", "time", "key"])
def test_a_sequence_that_cannot_be_told_from_another_field_is_refused_when_the_decoder_is_made(field):
    with pytest.raises(BundleError, match=f"t@1: {field}"):
        Decoder(SPEC, stream_field="key", sequence_field=field)
