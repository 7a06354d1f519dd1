"""Values in columns beside the same values as objects: what the compiled walk gives is what its slow twin gives."""

import json
import math
import random
import struct
from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamrnn.codecs import Decoder
from streamrnn.codecs.compiled import json_numbers
from streamrnn.codecs.compiled.field_walk import IS_SURE
from streamrnn.codecs.compiled.json_walk import walk_texts
from streamrnn.codecs.formats.json import Json
from streamrnn.codecs.input_form import InputForm
from streamrnn.codecs.objects import ObjectReader
from streamrnn.codecs.reasons import Refused
from streamrnn.codecs.times import to_time_ms
from streamrnn.codecs.value_columns import Columns
from streamrnn.codecs.walked_objects import WalkedReader
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.ticks import Record, RecordColumns, Spans
from tests.codecs.test_decode import BAD_JSON
from tests.codecs.test_decode_twin import MODELS, anything, keys, likely, numbers, values, wrapped

PLACES = ["a", "b", "time", "seq", "id", "z", "m", "m.b", "m.b.c", "p", "é"]
NUMBERS = ["0", "-0", "-0.0", "0.0", "1e5", "1E+5", "1e-05", "21.5", "123456789012345678", "18446744073709551615"]
NUMBERS += ["18446744073709551616", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "0e999"]
NUMBERS += [
    "1e999",
    "1e-999",
    "4.9e-324",
    "2.2250738585072014e-308",
    "1.7976931348623157e308",
    "01",
    "1.",
    ".5",
    "+1",
]
NUMBERS += ["-", "1e", "1e+", "0.0000000000000000000001234567890123456789", "1700000000123", "1700000000.25"]
NUMBERS += ["9007199254740993", "0.30000000000000004", "123456789.123456789123456789", "1e00000000000001", "-1e-7"]
TEXTS = [
    '""',
    '"x"',
    '"\\n"',
    '"\\u00e9"',
    '"\\ud83c\\udf21"',
    '"\\ud83c"',
    '"\\x"',
    '"\\u12"',
    '"é"',
    '"\t"',
    '"a/b"',
]
TEXTS += [
    '"21.5"',
    '"2024-05-01T00:00:00Z"',
    '"1700000000123"',
    '"\\"',
    '"\\\\"',
    '"\u007f"',
    '"' + "k" * 1100 + '"',
]
OTHERS = [
    "null",
    "true",
    "false",
    "NaN",
    "-Infinity",
    "nul",
    "[]",
    "{}",
    "[1,[2,{}],3]",
    '{"q":[{"a":1}]}',
    "[1,]",
    "{,}",
]
OTHERS += [
    "[" * 59 + "]" * 59,
    "[" * 70 + "]" * 70,
    '{"a":1 "b":2}',
    "[1 2]",
    '{"a":}',
    '{"a" 1}',
    "{1:2}",
    "[}",
    "{]",
]
MOMENTS = ["2024-05-01T00:00:00Z", "2024-05-01T12:34:56.789+05:30", "1969-12-31 23:59:59.9999", "2024-02-30T00Z"]
parts = st.sampled_from(["x", "é", 7, -3, "", None, "a/b", "5%", "%25/%2F"])
inner = st.fixed_dictionaries({"q": parts})
items = st.sampled_from(NUMBERS * 3 + TEXTS + OTHERS) | likely.map(json.dumps)
blanks = st.sampled_from(["", "", "", " ", "\n\t\r ", "\x0b"])
names = st.sampled_from(
    [json.dumps(name) for name in PLACES] + ['"é"', '"\\u0061"', '"a\\n"', '"un\\/known"', '"x" ']
)


@st.composite
def objects(draw: st.DrawFn, deep: int = 2) -> str:
    """Text of an object, nearly always a right one."""
    parts = []
    for name in draw(st.lists(names, max_size=6)):
        item = draw(objects(deep - 1)) if deep and draw(st.integers(0, 4)) == 0 else draw(items)
        parts.append(f"{draw(blanks)}{name}{draw(blanks)}:{draw(blanks)}{item}{draw(blanks)}")
    return "{" + ",".join(parts) + draw(blanks) + "}"


@st.composite
def damaged(draw: st.DrawFn, sound: st.SearchStrategy[bytes]) -> bytes:
    """Some bytes of a value replaced, or its end cut off."""
    value = bytearray(draw(sound))
    for _ in range(draw(st.integers(0, 2))):
        if value:
            value[draw(st.integers(0, len(value) - 1))] = draw(st.integers(0, 255))
    return bytes(value[: draw(st.integers(0, len(value)))] if draw(st.booleans()) else value)


texts = st.tuples(blanks, objects(), blanks).map("".join).map(str.encode)
usual = st.fixed_dictionaries(
    {"time": st.integers(10**11, 10**13) | st.sampled_from(MOMENTS), "a": numbers, "b": st.floats(-1e3, 1e3)},
    optional={
        "seq": st.integers(0, 9),
        "id": parts,
        "z": parts | anything,
        "m": inner,
    },
).map(lambda one: json.dumps(one).encode())
bodies = st.one_of(usual, usual, usual, texts, damaged(texts | usual), values, st.binary(max_size=6))
forms = st.fixed_dictionaries(
    {},
    optional={
        "path": st.sampled_from(["p", "p.m", "m"]),
        "numbers": st.just("lenient"),
        "time_unit": st.sampled_from(["s", "ms", "us", "ns"]),
        "time_field": st.sampled_from([None, "a", "$.time", "m.t"]),
        "sequence_field": st.sampled_from(["seq", "m.seq"]),
        "records": st.just("list"),
        "tombstones": st.sampled_from(["skip", "forget"]),
        "outliers": st.sampled_from(["clip", "missing", "dead-letter"]),
        "ranges": st.just("a=-100:100"),
        "max_record_bytes": st.just(60),
    },
)
naming = st.sampled_from(
    [{}, {}, {"stream_field": "id"}, {"stream_field": "$.id"}, {"stream_field": "id,z"}]
    + [{"stream_field": "id,m.q"}, {"stream_field": "m.q,$.z,id"}]
    + [{"key": kind} for kind in ("int64", "int32", "uuid", "bytes")]
)
records = st.lists(st.tuples(bodies, keys | st.just(b"s")), max_size=12).map(
    lambda drawn: [Record(n % 3, n, 1_000 + n, key, body, [("h", None)]) for n, (body, key) in enumerate(drawn)]
)


def told(array: NDArray | None) -> tuple | None:
    return None if array is None else (array.dtype, array.shape, array.tobytes())


def seen(decoder: Decoder, given_records: list[Record] | RecordColumns) -> tuple:
    """All that a decoder says of records, to the last bit."""
    ticks, dead = decoder.decode(given_records)
    columns = (ticks.partition, ticks.offset, ticks.time_ms, ticks.arrival_ms, ticks.values, ticks.order)
    counts = (told(ticks.index), told(ticks.outliers), told(ticks.missing), ticks.far, ticks.skipped)
    ended = ticks.endings and (ticks.endings.before.tolist(), list(ticks.endings.streams))
    return [told(column) for column in columns], list(ticks.streams), counts, ended, dead


def spec_of(model: str, precision: str, missing: str) -> ModelSpec:
    features = MODELS[model][0].features
    return ModelSpec(
        name="t", features=features, targets=("a",), channels=(Channel("a"),), precision=precision, missing=missing
    )


@settings(max_examples=500, deadline=None)
@given(
    records,
    forms,
    naming,
    st.sampled_from(list(MODELS)),
    st.sampled_from(["float32", "float64"]),
    st.sampled_from(["carry", "reject"]),
    st.booleans(),
)
def test_columns_are_read_as_objects_are(batch, form, named, model, precision, missing, is_enveloped):
    options = form | named
    if options.get("stream_field") and options.get("tombstones") == "forget":
        del options["tombstones"]
    if is_enveloped and "path" in options:
        batch = [r if r.value is None else r._replace(value=wrapped(options["path"], r.value)) for r in batch]
    decoder = Decoder(spec_of(model, precision, missing), **options)
    assert seen(decoder, RecordColumns.of(batch)) == seen(decoder, batch)


def readers(model: str = "flat", **options) -> tuple[WalkedReader, ObjectReader]:
    """A reader that leaves to its twin only the rows that it must, and the twin."""
    spec, form = MODELS[model][0], InputForm(**options)
    twin = ObjectReader(spec, form, Json())
    return WalkedReader(spec, twin, walk_texts, most_unsure=1.0), twin


def _objects(column, count: int) -> list:
    if column is None:
        return [None] * count
    return column.tolist() if isinstance(column, np.ndarray) else list(column)


def moment(time) -> object:
    """A time as it is compared: text that the walk has read is an array of moments, the twin leaves it as it is."""
    if isinstance(time, str):
        try:
            return to_time_ms(time, 0, "auto")
        except Refused:
            return time
    return (time - datetime(1970, 1, 1)) // timedelta(milliseconds=1) if isinstance(time, datetime) else repr(time)


def rows_of(columns: Columns, refused: dict[int, Refused], count: int) -> list[tuple]:
    """What columns say of each value that is not refused, to the last bit, and of the others why."""
    streams = [None] * count if columns.streams is None else columns.streams
    objects = not isinstance(streams, Spans)
    names = [n if n is None else n.encode(errors="surrogatepass") for n in streams] if objects else streams.tolist()
    found = [names, *(_objects(column, count) for column in (columns.times, columns.orders))]
    rows = zip(columns.features, *found, strict=True)
    return [
        (refused[n].code, str(refused[n])) if n in refused else (row.tobytes(), name, moment(time), order)
        for n, (row, name, time, order) in enumerate(rows)
    ]


def differences(values: list[bytes], model: str = "flat", **options) -> list[tuple]:
    walked, twin = readers(model, **options)
    why: dict[int, Refused] = {}
    expected = rows_of(twin.read(values, why), why, len(values))
    why = {}
    columns = walked.read(Spans.of(values), why)
    found = rows_of(columns, why, len(values))
    return [(value, *pair) for value, *pair in zip(values, found, expected, strict=True) if pair[0] != pair[1]]


@settings(max_examples=500, deadline=None)
@given(st.lists(bodies.filter(bool), min_size=1, max_size=12), st.sampled_from(list(MODELS)), forms, naming)
def test_a_row_that_the_walk_is_sure_of_is_the_twins(batch, model, form, named):
    taken = {name: form[name] for name in form if name in InputForm._fields} | named
    assert differences(batch, model, **taken) == []


BAD = [value for _, value in BAD_JSON if value]


@pytest.mark.parametrize("numbers", ["strict", "lenient"])
def test_every_wrong_value_and_every_number_is_read_as_by_the_twin(numbers):
    items = NUMBERS + TEXTS + OTHERS
    each = [f'{{"a":{item},"time":5}}'.encode() for item in items]
    each += [f'{{"a":1,"time":{item},"id":{item},"seq":3}}'.encode() for item in items]
    each += [f'{{"z":{item},"a":1,"id":"x","seq":{item}}}'.encode() for item in items]
    each += [f'{{"a":1,"z":[{item},{{"q":{item}}}],"id":{item},"seq":1}}'.encode() for item in items]
    assert differences(BAD + each, numbers=numbers) == []
    assert differences(BAD + each, numbers=numbers, stream_field="id", sequence_field="seq") == []


@pytest.mark.parametrize(
    "value", [b'{"time":1700000000123,"a":-21.5e-3,"z":{"q":["\\u00e9",{}]},"b":null}', b'{"a":0,"b":7}']
)
def test_every_beginning_of_a_value_and_every_byte_in_it_is_read_as_by_the_twin(value):
    cut = [value[:n] for n in range(1, len(value))]
    changed = [value[:n] + bytes([byte]) + value[n + 1 :] for n in range(len(value)) for byte in range(0, 256, 5)]
    assert differences(cut + changed) == []


def test_nothing_behind_a_value_is_read_though_it_would_go_on_there():
    whole = b'{"a":12345,"b":1}'
    walked, _ = readers()
    for size in range(1, len(whole) + 1):
        strings = Spans(np.frombuffer(whole, np.uint8), np.zeros(1, np.int64), np.array([size]))
        why: dict[int, Refused] = {}
        walked.read(strings, why)
        assert bool(why) == (size < len(whole))
    with pytest.raises(ValueError, match="outside"):
        walked.read(Spans(np.frombuffer(whole, np.uint8), np.ones(1, np.int64), np.array([len(whole)])), {})


def decimals(count: int) -> Iterator[str]:
    chance = random.Random(7)
    for n in range(count):
        yield [
            lambda: repr(struct.unpack("<d", chance.randbytes(8))[0]),
            lambda: repr(chance.gauss(0, 100)),
            lambda: f"{chance.getrandbits(chance.randint(1, 64))}e{chance.randint(-330, 310)}",
            lambda: f"{chance.uniform(-1000, 1000):.{chance.randint(0, 18)}f}",
            lambda: f"{2 * (chance.getrandbits(53) | 2**52) + 1}e{chance.randint(-5, 25)}",
            lambda: f"{(2 * (chance.getrandbits(53) | 2**52) + 1) / 2 ** chance.randint(1, 8):.8f}",
        ][n % 6]()


def test_a_number_is_the_double_that_is_nearest():
    texts = [text for text in decimals(60_000) if "n" not in text]
    unsure = 0
    for text in texts:
        data = np.frombuffer(text.encode(), np.uint8)
        end, _, _, number = json_numbers.number(data, np.uint64(0), np.uint64(len(data)))
        if end != len(data):
            unsure += 1
        elif number or float(text):
            assert struct.pack("<d", number) == struct.pack("<d", float(text)), text
    assert unsure < len(texts) / 4  # of more than 19 digits, or nearly beyond the doubles


def test_usual_values_are_not_left_to_the_twin():
    plain = b'{"time":1700000000123,"a":21.5,"b":0.7301219871,"z":[1,{"q":"\\u00e9\\n"}]}'
    enveloped = b'{"v":1,"p":' + plain[:-1] + b',"id":"pump 7"}}'
    each = [plain, b' { "b" : -1e-7 , "a" : null } ', b'{"b":2,"b":2}', b'{"a":"1"}']
    several = [
        b'{"id":"a/b","z":7,"a":1}',
        b'{"id":"","time":"2024-05-01T00:00:00Z","z":"5%","a":1}',
        b'{"id":"x","a":1}',
    ]
    for reader, given_values, sure in (
        (readers("flat", stream_field="id", path="p")[0], [enveloped], [1]),
        (readers()[0], each, [1, 1, 0, 0]),
        (readers(stream_field="id,z")[0], several, [1, 1, 0]),
    ):
        assert reader._walk(Spans.of(given_values)).whole[IS_SURE].tolist() == sure


def test_names_of_several_parts_and_times_as_text_stay_columns():
    walked, _ = readers(stream_field="id,z")
    values = [b'{"id":"a/b","z":%d,"a":1,"time":"1970-01-01T00:00:0%d.25Z"}' % (n, n) for n in range(3)]
    columns = walked.read(Spans.of(values), {})
    assert isinstance(columns.streams, Spans)
    assert columns.streams == [b"a%2Fb/0", b"a%2Fb/1", b"a%2Fb/2"]
    assert columns.times.tolist() == np.array([250, 1250, 2250], "datetime64[ms]").tolist()


def test_columns_stay_columns():
    values = [b'{"a":%d,"time":%d}' % (n, 1_700_000_000_000 + n) for n in range(9)]
    batch = [Record(0, n, n, b"s%d" % n, value) for n, value in enumerate(values)]
    ticks, dead = Decoder(MODELS["flat"][0]).decode(RecordColumns.of([*batch, Record(0, 9, 9, b"s", b"{")]))
    assert isinstance(ticks.streams, Spans)
    assert ticks.streams == [record.key for record in batch]
    assert [(letter.record.offset, letter.code) for letter in dead] == [(9, "undecodable")]


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_packed_columns_are_read_as_objects_are(precision):
    decoder = Decoder(spec_of("flat", precision, "carry"), codec="float32")
    values = [struct.pack("<2f", n, value) for n, value in enumerate([1.5, -0.0, math.inf, math.nan])]
    for bodies_of in (values, [*values, b"short", None]):
        batch = [Record(0, n, n, b"s%d" % n, value, []) for n, value in enumerate(bodies_of)]
        assert seen(decoder, RecordColumns.of(batch)) == seen(decoder, batch)


@given(st.lists(st.binary(min_size=8, max_size=8) | st.binary(max_size=10) | st.none(), max_size=8), st.booleans())
def test_packed_columns_of_any_bytes_are_read_as_objects_are(bodies_of, is_wide):
    decoder = Decoder(spec_of("flat", "float64" if is_wide else "float32", "carry"), codec="float32")
    batch = [Record(0, n, n, b"s%d" % n, value, []) for n, value in enumerate(bodies_of)]
    assert seen(decoder, RecordColumns.of(batch)) == seen(decoder, batch)
