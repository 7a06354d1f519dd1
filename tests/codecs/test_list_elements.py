"""Lists of ticks in columns beside the same lists as objects: the same ticks, the same dead letters."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.codecs import Decoder
from streamrnn.codecs.compiled.list_elements import elements_in_packs, elements_in_texts
from streamrnn.codecs.formats.known import OBJECT_FORMATS
from streamrnn.ticks import NO_INDEX, Record, RecordColumns, Spans
from tests.codecs.test_pack_twin import bodies as any_packs
from tests.codecs.test_walked_twin import blanks, damaged, seen, spec_of
from tests.codecs.test_walked_twin import bodies as any_texts
from tests.codecs.test_walked_twin import usual as usual_texts

texts, packs = (bodies.filter(lambda body: body is not None) for bodies in (any_texts, any_packs))


@st.composite
def text_lists(draw: st.DrawFn) -> bytes:
    elements = draw(st.lists(usual_texts | usual_texts | texts, max_size=5))
    spaced = [draw(blanks).encode() + element + draw(blanks).encode() for element in elements]
    return draw(blanks).encode() + b"[" + b",".join(spaced) + b"]" + draw(blanks).encode()


@st.composite
def pack_lists(draw: st.DrawFn) -> bytes:
    elements = draw(st.lists(packs, max_size=5))
    count = len(elements) + draw(st.sampled_from([0, 0, 0, 0, 1, 200]))
    heads = [bytes([0x90 | count]) if count < 16 else b"\xdc" + struct.pack(">H", count)]
    heads += [b"\xdc" + struct.pack(">H", count), b"\xdd" + struct.pack(">I", count)]
    return draw(st.sampled_from(heads)) + b"".join(elements)


VALUES = {
    "json": text_lists() | damaged(text_lists()) | texts,
    "msgpack": pack_lists() | damaged(pack_lists()) | packs,
}


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(["json", "msgpack"]), st.sampled_from([1 << 20, 60]))
def test_lists_in_columns_are_read_as_objects_are(data, codec, most):
    drawn = data.draw(st.lists(VALUES[codec] | st.none(), max_size=6))
    batch = [Record(n % 2, n, 1_000 + n, b"s", value, [("h", None)]) for n, value in enumerate(drawn)]
    decoder = Decoder(spec_of("flat", "float32", "carry"), codec=codec, records="list", max_record_bytes=most)
    assert seen(decoder, RecordColumns.of(batch)) == seen(decoder, batch)


@pytest.mark.parametrize(("codec", "find"), [("json", elements_in_texts), ("msgpack", elements_in_packs)])
def test_elements_of_usual_lists_are_found_and_no_object_is_made(codec, find):
    ticks = [{"a": n / 7, "time": 1_700_000_000_000 + n} for n in range(40)]
    lists = [ticks[:1], ticks[1:3], ticks[3:]]
    values = [OBJECT_FORMATS[codec].write([one])[0] for one in lists]
    single = OBJECT_FORMATS[codec].write([ticks[0]])[0]
    found = find(Spans.of([values[0], None, values[1], single, values[2]]), 1 << 20)
    assert found is not None
    assert found.rows.tolist() == [0, 1, 2, 2, 3, *[4] * 37]
    assert found.indexes.tolist() == [0, NO_INDEX, 0, 1, NO_INDEX, *range(37)]
    assert found.values.tolist()[:3] == [single, None, OBJECT_FORMATS[codec].write([ticks[1]])[0]]
    decoder = Decoder(spec_of("flat", "float32", "carry"), codec=codec, records="list")
    columns = RecordColumns.of([Record(0, n, 0, b"k", value) for n, value in enumerate(values)])
    batch, dead = decoder.decode(columns)
    assert not dead
    assert isinstance(batch.streams, Spans)
    assert batch.values[:, 0].tolist() == np.float32([tick["a"] for tick in ticks]).tolist()


def test_places_of_elements_take_no_more_room_than_a_few_times_the_values():
    assert elements_in_texts(Spans.of([b"[" + b"1," * 10_000 + b"1]"]), 1 << 20) is None
    assert elements_in_packs(Spans.of([b"\xdc\x27\x10" + b"\1" * 10_000]), 1 << 20) is None
    assert elements_in_packs(Spans.of([b"\xdd\xff\xff\xff\xff"]), 1 << 20) is None
