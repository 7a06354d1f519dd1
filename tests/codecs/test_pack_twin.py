"""MessagePack in columns beside the same values as objects: the compiled walk gives what its slow twin gives."""

import math
import struct

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.codecs import Decoder
from streamrnn.codecs.compiled.field_walk import IS_SURE
from streamrnn.codecs.compiled.pack_walk import walk_packs
from streamrnn.codecs.formats.msgpack import MessagePack
from streamrnn.codecs.input_form import InputForm
from streamrnn.codecs.objects import ABSENT_BITS, ObjectReader
from streamrnn.codecs.reasons import Refused
from streamrnn.codecs.walked_objects import WalkedReader
from streamrnn.ticks import Record, RecordColumns, Spans
from tests.codecs.test_decode_twin import MODELS, keys
from tests.codecs.test_walked_twin import MOMENTS, PLACES, damaged, forms, naming, rows_of, seen, spec_of

WHOLE = [0, 1, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1]
WHOLE += [-1, -32, -33, -128, -129, -(2**15), -(2**15) - 1, -(2**31), -(2**31) - 1, -(2**63), 1_700_000_000_123]
FORMS = {0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
TEXTS = ["", "x", "é", "a/b", "5%", "21.5", "k" * 40, "k" * 300, "k" * 1100, *MOMENTS]


def sized(count: int, small: int, most: int, wide: tuple[int, ...]) -> list[bytes]:
    """All ways to write that something of so many begins."""
    forms_of = [bytes([small | count])] if count < most else []
    lengths = zip(wide, (">B", ">H", ">I")[-len(wide) :], strict=True)
    fits = [(first, form) for first, form in lengths if count < 256 ** struct.calcsize(form)]
    return forms_of + [bytes([first]) + struct.pack(form, count) for first, form in fits]


def wholes(number: int) -> list[bytes]:
    """All ways to write a whole number."""
    ways = [struct.pack("b", number)] if -32 <= number < 128 else []
    for first, form in FORMS.items():
        try:
            ways.append(bytes([first]) + struct.pack(form, number))
        except struct.error:
            continue
    return ways


def text_ways(text: str) -> list[bytes]:
    """All ways to write a text."""
    held = text.encode()
    return [header + held for header in sized(len(held), 0xA0, 32, (0xD9, 0xDA, 0xDB))]


singles = st.floats(width=32).map(lambda number: b"\xca" + struct.pack(">f", number))
doubles = st.floats().map(lambda number: b"\xcb" + struct.pack(">d", number))
bits = st.sampled_from([ABSENT_BITS, ABSENT_BITS | 2**63, 0x7FF0_0000_0000_0001]).map(
    lambda bits: b"\xcb" + struct.pack(">Q", bits)
)
numbers = st.sampled_from([way for number in WHOLE for way in wholes(number)]) | singles | doubles | bits
texts = st.sampled_from([way for text in TEXTS for way in text_ways(text)])
OTHERS = [b"\xc0", b"\xc1", b"\xc2", b"\xc3", b"\xc4\2ab", b"\xc5\0\0", b"\xd4\1a", b"\xd6\xff\0\0\0\1"]
OTHERS += [b"\xd8\5" + bytes(16), b"\xc7\3\1abc", b"\x90", b"\x80", b"\x92\1\xa1x", b"\xdc\0\2\1\2"]
OTHERS += [b"\xde\0\1\xa1a\1", b"\xa1\xff", b"\xd9\xffx", b"\x91" * 55 + b"\1", b"\x91" * 70 + b"\1", b"\x81\1\2"]
OTHERS += [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff"]
others = st.sampled_from(OTHERS)
items = numbers | numbers | texts | others
names = st.sampled_from(
    [way for place in PLACES for way in text_ways(place)] + [b"\1", b"\xc4\1a"] + text_ways("q")
)


@st.composite
def maps(draw: st.DrawFn, deep: int = 2) -> bytes:
    """A map, nearly always a right one."""
    pairs = []
    for name in draw(st.lists(names, max_size=6)):
        pairs.append(name + (draw(maps(deep - 1)) if deep and draw(st.integers(0, 4)) == 0 else draw(items)))
    return draw(st.sampled_from(sized(len(pairs), 0x80, 16, (0xDE, 0xDF)))) + b"".join(pairs)


usual = st.fixed_dictionaries(
    {"time": st.integers(10**11, 10**13) | st.sampled_from(MOMENTS), "a": st.floats(), "b": st.integers(-9, 300)},
    optional={"seq": st.integers(0, 9), "id": st.sampled_from(["x", "a/b", 7]), "z": st.sampled_from(["y", None])},
).map(msgspec.msgpack.encode)
bodies = st.one_of(usual, usual, maps(), damaged(usual | maps()), st.binary(max_size=6))
records = st.lists(st.tuples(bodies | st.none(), keys | st.just(b"s")), max_size=12).map(
    lambda drawn: [Record(n % 3, n, 1_000 + n, key, body, [("h", None)]) for n, (body, key) in enumerate(drawn)]
)
models, precisions = st.sampled_from(list(MODELS)), st.sampled_from(["float32", "float64"])


@settings(max_examples=500, deadline=None)
@given(records, forms, naming, models, precisions, st.sampled_from(["carry", "reject"]))
def test_columns_are_read_as_objects_are(batch, form, named, model, precision, missing):
    options = form | named
    if options.get("stream_field") and options.get("tombstones") == "forget":
        del options["tombstones"]
    decoder = Decoder(spec_of(model, precision, missing), codec="msgpack", **options)
    assert seen(decoder, RecordColumns.of(batch)) == seen(decoder, batch)


def differences(values: list[bytes], model: str = "flat", **options) -> list[tuple]:
    spec = MODELS[model][0]
    twin = ObjectReader(spec, InputForm(codec="msgpack", **options), MessagePack())
    walked = WalkedReader(spec, twin, walk_packs, most_unsure=1.0)
    why: dict[int, Refused] = {}
    expected = rows_of(twin.read(values, why), why, len(values))
    why = {}
    found = rows_of(walked.read(Spans.of(values), why), why, len(values))
    return [(value, *pair) for value, *pair in zip(values, found, expected, strict=True) if pair[0] != pair[1]]


@settings(max_examples=500, deadline=None)
@given(st.lists(bodies.filter(bool), min_size=1, max_size=12), models, forms, naming)
def test_a_row_that_the_walk_is_sure_of_is_the_twins(batch, model, form, named):
    taken = {name: form[name] for name in form if name in InputForm._fields} | named
    assert differences(batch, model, **taken) == []


@pytest.mark.parametrize("field", ["a", "time", "seq", "id", "z"])
def test_every_first_byte_in_a_field_is_read_as_by_the_twin(field):
    tails = [b"", bytes(20), b"\xff" * 20, b"\xa1x" * 12]
    values = [
        b"\x82\xa1b\1" + text_ways(field)[0] + bytes([first]) + tail[:size]
        for first in range(256)
        for tail in tails
        for size in {0, 1, 2, 3, 4, 5, 8, 9, 16, 17, len(tail)}
    ]
    assert differences(values) == []
    assert differences(values, stream_field="id", sequence_field="seq") == []


def test_every_beginning_of_a_value_and_every_byte_in_it_is_read_as_by_the_twin():
    value = msgspec.msgpack.encode({"time": 1_700_000_000_123, "a": -21.5, "z": {"q": ["é", {}]}, "b": None})
    cut = [value[:n] for n in range(1, len(value))]
    changed = [value[:n] + bytes([byte]) + value[n + 1 :] for n in range(len(value)) for byte in range(256)]
    assert differences(cut + changed) == []


def test_nothing_behind_a_value_is_read_though_it_would_go_on_there():
    whole = msgspec.msgpack.encode({"a": 12345, "b": 1.5})
    spec = MODELS["flat"][0]
    walked = WalkedReader(spec, ObjectReader(spec, InputForm(codec="msgpack"), MessagePack()), walk_packs)
    for size in range(1, len(whole) + 1):
        why: dict[int, Refused] = {}
        walked.read(Spans(np.frombuffer(whole, np.uint8), np.zeros(1, np.int64), np.array([size])), why)
        assert bool(why) == (size < len(whole))


def test_usual_values_are_not_left_to_the_twin():
    spec = MODELS["flat"][0]
    twin = ObjectReader(spec, InputForm(codec="msgpack", stream_field="id"), MessagePack())
    given_values = [
        {"time": 1_700_000_000_123, "a": 21.5, "b": -3, "id": "pump 7", "z": [1, {"q": b"x"}, None, True]},
        {"time": "2024-05-01T00:00:00Z", "a": math.nan, "id": "é"},
        {"a": 1, "id": 7},
        {"a": True},
    ]
    found = WalkedReader(spec, twin, walk_packs)._walk(Spans.of(list(map(msgspec.msgpack.encode, given_values))))
    assert found.whole[IS_SURE].tolist() == [1, 1, 0, 0]
