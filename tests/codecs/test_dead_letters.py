"""A dead letter is its record, untouched, with the facts of its refusal beside it."""

import pytest

from streamrnn.codecs import Decoder, dead_letter_record
from streamrnn.codecs.headers import ERRORS, LONGEST_MESSAGE
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.ticks import DeadLetter, Record

SPEC = ModelSpec(name="t", features=("a",), targets=("a",), channels=(Channel("a"),))
PAYLOADS = [
    (b"k", b'{"a":'),
    (None, b"\x00\xff" * 50),
    (b"\xff\xfe", b'{"a":1}'),
    (b"k", None),
    (None, None),
    (b"", b""),
]


def letter(key: bytes | None = b"k", value: bytes | None = b"{", message: str = "why") -> DeadLetter:
    record = Record(3, 12_345, 1_700_000_000_000, key, value, (("trace", b"\x01\xff"), ("trace", b"")))
    return DeadLetter(record, "decode", "undecodable", message)


@pytest.mark.parametrize(("key", "value"), PAYLOADS)
def test_key_value_partition_timestamp_and_headers_are_the_records(key, value):
    dead = letter(key, value)
    out = dead_letter_record(dead, "ticks", "oil@7")
    assert out.key is key
    assert out.value is value
    assert (out.partition, out.timestamp_ms) == (3, 1_700_000_000_000)
    assert list(out.headers[:2]) == [("trace", b"\x01\xff"), ("trace", b"")]


def test_the_headers_name_the_place_the_stage_the_reason_and_the_model():
    headers = dead_letter_record(letter(), "ticks", "oil@7").headers[2:]
    assert dict(headers) == {
        ERRORS + "topic": b"ticks",
        ERRORS + "partition": b"3",
        ERRORS + "offset": b"12345",
        ERRORS + "stage": b"decode",
        ERRORS + "code": b"undecodable",
        ERRORS + "message": b"why",
        ERRORS + "model": b"oil@7",
    }
    assert ERRORS == "__streamrnn.errors."


def test_a_long_message_is_cut_and_one_that_is_no_text_still_goes():
    headers = dict(dead_letter_record(letter(message="\ud800" + "x" * 5000), "ticks", "oil@7").headers)
    assert len(headers[ERRORS + "message"]) == LONGEST_MESSAGE
    assert headers[ERRORS + "message"].startswith(b"?x")


@pytest.mark.parametrize(("key", "value"), [case for case in PAYLOADS if case != (b"\xff\xfe", b'{"a":1}')])
def test_what_the_decoder_refuses_can_be_written_as_a_dead_letter(key, value):
    record = Record(0, 1, 2, key, value)
    _, dead = Decoder(SPEC).decode([record])
    out = dead_letter_record(dead[0], "ticks", "t@1")
    assert (out.key, out.value) == (key, value)
    assert all(isinstance(fact, bytes) and fact for _, fact in out.headers)
