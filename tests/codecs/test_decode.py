"""Every way a record can be wrong, for every codec: its reason, and that its neighbours do not notice."""

import math

import msgspec
import numpy as np
import pytest

from streamrnn.codecs import Decoder
from streamrnn.errors import BundleError
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.ticks import DeadLetter, Record, RecordColumns, TickBatch

ARRIVAL_MS = 1_700_000_000_123
DEEP = 10_000


def spec(missing: str = "carry") -> ModelSpec:
    return ModelSpec(
        name="t",
        features=("a", "b c"),
        targets=("a",),
        channels=(Channel("a"),),
        missing=missing,  # type: ignore[arg-type]
    )


def record(value: bytes | None, key: bytes | None = b"s", offset: int = 0, partition: int = 0) -> Record:
    return Record(partition, offset, ARRIVAL_MS, key, value, (("h", b"1"),))


def json_decoder(**options) -> Decoder:
    return Decoder(spec(options.pop("missing", "carry")), **{"time_unit": "ms"} | options)


def pack(value: object) -> bytes:
    return msgspec.msgpack.encode(value)


def only_reason(decoder: Decoder, bad: Record) -> DeadLetter:
    ticks, dead = decoder.decode([bad])
    assert len(ticks) == 0
    assert len(dead) == 1
    assert dead[0].record is bad
    assert dead[0].stage == "decode"
    assert dead[0].message
    return dead[0]


def only_tick(decoder: Decoder, good: Record) -> TickBatch:
    ticks, dead = decoder.decode([good])
    assert dead == []
    assert len(ticks) == 1
    return ticks


BAD_JSON = [
    ("null", None),
    ("undecodable", b""),
    ("undecodable", b"   "),
    ("undecodable", b'{"a":1'),
    ("undecodable", b'{"a":1,}'),
    ("undecodable", b'{"a":01}'),
    ("undecodable", b'{"a":-NaN}'),
    ("undecodable", b'{"a":NaN,}'),
    ("undecodable", b'{"a":nan}'),
    ("undecodable", b"{NaN:1}"),
    ("undecodable", b'{"a":+Infinity}'),
    ("not_an_object", b"NaN"),
    ("not_finite", b'{"a":Infinity}'),
    ("not_finite", b'{"a":NaN,"b c":-Infinity}'),
    ("bad_time", b'{"a":1,"time":Infinity}'),
    ("no_feature", b"{}"),
    ("no_feature", b'{"time":7}'),
    ("no_feature", b'{"payload":{"a":1,"b c":2}}'),
    ("no_feature", b'{"A":1,"b  c":2}'),
    ("undecodable", b'{"a":1}{"a":2}'),
    ("undecodable", b'{"a":1},{"a":2}'),
    ("undecodable", b"\xff\xfe{}"),
    ("undecodable", b"\xef\xbb\xbf{}"),
    ("undecodable", b'{"z":"line\nbreak"}'),
    ("undecodable", b"\x00" * 100),
    ("not_an_object", b"null"),
    ("not_an_object", b"5"),
    ("not_an_object", b'"a"'),
    ("not_an_object", b"true"),
    ("not_an_object", b"[]"),
    ("not_an_object", b'[{"a":1}]'),
    ("too_deep", b'{"z":' + b"[" * DEEP + b"]" * DEEP + b"}"),
    ("too_deep", b'{"z":' * DEEP + b"1" + b"}" * DEEP),
    ("bad_type", b'{"a":"1"}'),
    ("bad_type", b'{"a":true}'),
    ("bad_type", b'{"a":[1]}'),
    ("bad_type", b'{"a":{}}'),
    ("bad_type", b'{"b c":"x"}'),
    ("bad_type", b'{"a":"x","a":1}'),
    ("not_finite", b'{"a":1e999}'),
    ("not_finite", b'{"b c":-1e999}'),
    ("not_finite", b'{"a":1e39}'),
    ("not_finite", b'{"a":' + b"9" * 40 + b"}"),
    ("not_finite", b'{"a":' + b"9" * 5000 + b"}"),
    ("bad_time", b'{"a":1,"time":"yesterday"}'),
    ("bad_time", b'{"a":1,"time":""}'),
    ("bad_time", b'{"a":1,"time":"2024-13-01"}'),
    ("bad_time", b'{"a":1,"time":true}'),
    ("bad_time", b'{"a":1,"time":[0]}'),
    ("bad_time", b'{"a":1,"time":1e300}'),
    ("bad_time", b'{"a":1,"time":1e999}'),
    ("bad_time", b'{"a":1,"time":9007199254740993}'),
    ("bad_time", b'{"a":1,"time":-9007199254740993}'),
    ("bad_time", b'{"a":1,"time":9223372036854775808}'),
    ("bad_time", b'{"a":1,"time":' + b"9" * 400 + b"}"),
    ("bad_time", b'{"a":1,"time":' + b"9" * 5000 + b"}"),
]
BAD_MSGPACK = [
    ("null", None),
    ("undecodable", b""),
    ("undecodable", b"\xc1"),
    ("undecodable", b"\x81\xa1a"),
    ("undecodable", b"\x81\xa1a\xcb\x00\x00"),
    ("undecodable", pack({"a": 1.0}) + b"\x00"),
    ("undecodable", b"\xdf\xff\xff\xff\xff"),
    ("not_an_object", pack(None)),
    ("not_an_object", pack([1.0])),
    ("not_an_object", pack(7)),
    ("not_an_object", pack("a")),
    ("too_deep", b"\x81\xa1z" + b"\x91" * DEEP + b"\x01"),
    ("bad_type", pack({"a": "1"})),
    ("bad_type", pack({"a": True})),
    ("bad_type", pack({"a": b"1"})),
    ("bad_type", pack({"a": [1.0]})),
    ("bad_type", pack({1: 1.0})),
    ("not_finite", pack({"a": math.inf})),
    ("not_finite", pack({"b c": -math.inf})),
    ("not_finite", pack({"a": 1e39})),
    ("bad_time", pack({"a": 1.0, "time": math.nan})),
    ("bad_time", pack({"a": 1.0, "time": math.inf})),
    ("bad_time", pack({"a": 1.0, "time": 2**64 - 1})),
    ("bad_time", pack({"a": 1.0, "time": "noon"})),
    ("bad_time", pack({"a": 1.0, "time": b"0"})),
]
BAD_FLOAT32 = [
    ("null", None),
    ("wrong_width", b""),
    ("wrong_width", bytes(7)),
    ("wrong_width", bytes(12)),
    ("not_finite", np.array([1, np.inf], "<f4").tobytes()),
    ("not_finite", np.array([-np.inf, np.nan], "<f4").tobytes()),
]
BAD = [("json", *case) for case in BAD_JSON]
BAD += [("msgpack", *case) for case in BAD_MSGPACK]
BAD += [("float32", *case) for case in BAD_FLOAT32]
GOOD = {
    "json": b'{"a":1.5,"b c":null,"time":7}',
    "msgpack": pack({"a": 1.5, "b c": None, "time": 7}),
    "float32": np.array([1.5, np.nan], "<f4").tobytes(),
}


def named(case: object) -> str | None:
    return repr(case)[:40] if isinstance(case, bytes) else None


@pytest.mark.parametrize(("codec", "code", "value"), BAD, ids=named)
def test_a_bad_value_becomes_a_dead_letter_that_says_why(codec, code, value):
    assert only_reason(json_decoder(codec=codec), record(value)).code == code


@pytest.mark.parametrize(("codec", "code", "value"), BAD, ids=named)
def test_neighbours_of_a_bad_record_are_what_they_are_without_it(codec, code, value):
    neighbours = [record(GOOD[codec], b"k%d" % n, n) for n in (0, 2)]
    bad = record(value, b"bad", 1)
    decoder = json_decoder(codec=codec)
    ticks, dead = decoder.decode([neighbours[0], bad, neighbours[1]])
    alone, _ = decoder.decode(neighbours)
    assert [letter.record for letter in dead] == [bad]
    assert ticks.streams == alone.streams == [b"k0", b"k2"]
    for column in ("partition", "offset", "time_ms", "arrival_ms", "values"):
        assert getattr(ticks, column).tobytes() == getattr(alone, column).tobytes()
        assert getattr(ticks, column).dtype == getattr(alone, column).dtype


@pytest.mark.parametrize("codec", ["json", "msgpack", "float32"])
def test_a_batch_of_nothing_but_bad_records_gives_no_ticks_and_all_reasons_in_order(codec):
    bad = [record(value, offset=n) for n, (_, _, value) in enumerate(case for case in BAD if case[0] == codec)]
    ticks, dead = json_decoder(codec=codec).decode(bad)
    assert len(ticks) == 0
    assert ticks.values.shape == (0, 2)
    assert [letter.code for letter in dead] == [case[1] for case in BAD if case[0] == codec]
    assert [letter.record for letter in dead] == bad


@pytest.mark.parametrize("codec", ["json", "msgpack", "float32"])
def test_no_records_are_no_ticks_with_columns_of_the_right_kind(codec):
    ticks, dead = json_decoder(codec=codec).decode([])
    assert dead == []
    assert ticks.values.shape == (0, 2)
    assert [c.dtype for c in (ticks.partition, ticks.offset, ticks.values)] == [np.int32, np.int64, np.float32]


@pytest.mark.parametrize("codec", ["json", "msgpack", "float32"])
def test_columns_may_be_written_to_as_torch_wants_them(codec):
    ticks = only_tick(json_decoder(codec=codec), record(GOOD[codec]))
    assert ticks.values.flags.writeable
    assert ticks.time_ms.flags.writeable
    assert ticks.values.flags.c_contiguous


@pytest.mark.parametrize("codec", ["json", "msgpack", "float32"])
def test_a_value_over_the_limit_is_refused_unread_and_one_at_the_limit_is_read(codec):
    decoder = json_decoder(codec=codec, max_record_bytes=len(GOOD[codec]))
    assert len(only_tick(decoder, record(GOOD[codec]))) == 1
    assert only_reason(decoder, record(GOOD[codec] + b" ")).code == "too_large"


def test_five_megabytes_are_refused_by_default():
    value = b'{"a":1,"z":"' + b"x" * 5_000_000 + b'"}'
    assert only_reason(json_decoder(), record(value)).code == "too_large"


@pytest.mark.parametrize(
    ("code", "key"),
    [
        ("missing_key", None),
        ("bad_key", b""),
        ("bad_key", b"x" * 1025),
        ("bad_key", b"\xff\xfe"),
        ("bad_key", b"caf\xc3"),
        ("bad_key", b"\xed\xa0\x80"),
    ],
)
@pytest.mark.parametrize("codec", ["json", "msgpack", "float32"])
def test_a_key_that_names_no_stream_is_refused(codec, code, key):
    assert only_reason(json_decoder(codec=codec), record(GOOD[codec], key)).code == code


def test_keys_that_are_utf8_only_together_are_refused_both():
    halves = [record(GOOD["json"], b"caf\xc3", 0), record(GOOD["json"], b"\xa9", 1)]
    _, dead = json_decoder().decode(halves)
    assert [letter.code for letter in dead] == ["bad_key", "bad_key"]


@pytest.mark.parametrize("key", [b"x" * 1024, "\u6e29\u5ea6\U0001f321".encode(), b"\x00", b' "quoted" %d, ', b"\n"])
def test_any_utf8_key_of_fitting_length_names_a_stream(key):
    assert only_tick(json_decoder(), record(GOOD["json"], key)).streams == [key]


def test_records_whose_bytes_only_make_sense_together_are_both_refused():
    halves = [record(b'{"a":1', offset=0), record(b'"b c":2}', offset=1)]
    swallowing = [record(b'{"z":[{"a":1}', offset=2), record(b'{"a":2}]}', offset=3)]
    twice = record(b'{"a":1},{"a":2}', offset=4)
    ticks, dead = json_decoder().decode([*halves, *swallowing, twice])
    assert len(ticks) == 0
    assert [letter.record.offset for letter in dead] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("codec", ["json", "msgpack", "float32"])
def test_a_missing_or_nan_feature_is_a_gap_unless_the_model_rejects_gaps(codec):
    values = only_tick(json_decoder(codec=codec), record(GOOD[codec])).values
    assert values[0, 0] == 1.5
    assert math.isnan(values[0, 1])
    strict = json_decoder(codec=codec, missing="reject")
    letter = only_reason(strict, record(GOOD[codec]))
    assert letter.code == "missing_feature"
    assert "b c" in letter.message
    assert "a," not in letter.message


def test_infinity_is_named_before_a_gap():
    value = pack({"a": math.inf, "b c": math.nan})
    assert only_reason(json_decoder(codec="msgpack", missing="reject"), record(value)).code == "not_finite"


def test_an_absent_field_and_unknown_fields_are_no_error():
    ticks = only_tick(json_decoder(), record(b'{"z":{"a":9},"a":4,"y":[true,null,"x"]}'))
    assert ticks.values[0, 0] == 4
    assert math.isnan(ticks.values[0, 1])


def test_of_a_field_given_twice_the_last_counts():
    assert only_tick(json_decoder(), record(b'{"a":1,"a":2}')).values[0, 0] == 2


def test_whole_numbers_beyond_64_bits_are_numbers():
    assert only_tick(json_decoder(), record(b'{"a":36893488147419103232}')).values[0, 0] == np.float32(2.0**65)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (b"0", 0),
        (b"-86400000", -86_400_000),
        (b"1700000000123", 1_700_000_000_123),
        (b"9007199254740992", 2**53),
        (b"-9007199254740992", -(2**53)),
        (b"1.9", 1),
        (b"1.7e12", 1_700_000_000_000),
        (b"null", ARRIVAL_MS),
        (b'"1970-01-02"', 86_400_000),
        (b'"1970-01-01T00:00:01.5Z"', 1500),
        (b'"1970-01-01T02:00:00+02:00"', 0),
        (b'"9999-12-31T23:59:59Z"', 253_402_300_799_000),
        (b'"1969-12-31T23:59:59"', -1000),
    ],
)
@pytest.mark.parametrize("beside", [b"5", b'"1970-01-01"', b"null", b"2.5"])
def test_a_time_is_ms_or_iso_text_or_the_records_own(time, expected, beside):
    """Whatever its neighbour's time looks like."""
    pair = [record(b'{"a":1,"time":%b}' % value, offset=n) for n, value in enumerate((time, beside))]
    ticks, dead = json_decoder().decode(pair)
    assert dead == []
    assert ticks.time_ms[0] == expected
    assert ticks.time_ms.dtype == np.int64
    assert ticks.arrival_ms.tolist() == [ARRIVAL_MS, ARRIVAL_MS]


def test_the_unit_of_a_time_is_its_own_whatever_numbers_stand_around_it():
    written = [7, 1_700_000_000, 50_000_000_000, 1_700_000_000_123, 1_700_000_000_123_456, 0]
    expected = [7, 1_700_000_000_000, 50_000_000_000, 1_700_000_000_123, 1_700_000_000_123, 0]
    records = [record(b'{"a":1.0,"b c":1.0,"time":%d}' % time, offset=i) for i, time in enumerate(written)]
    for several in (records, RecordColumns.of(records), records[:4], records[1:3] + records[:1]):
        ticks, dead = json_decoder(time_unit="auto").decode(several)
        assert not dead
        assert ticks.time_ms.tolist() == [expected[offset] for offset in ticks.offset.tolist()]


def test_without_a_time_field_the_records_timestamp_is_the_time():
    assert only_tick(json_decoder(time_field=None), record(b'{"a":1,"time":"never"}')).time_ms[0] == ARRIVAL_MS


def test_the_time_field_may_have_any_name():
    assert only_tick(json_decoder(time_field="at.ms"), record(b'{"a":1,"at.ms":5}')).time_ms[0] == 5
    assert only_reason(json_decoder(time_field="at.ms"), record(b'{"at.ms":false}')).code == "bad_time"


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_a_field_may_name_the_stream_and_the_key_stands_in_for_it(codec):
    write = msgspec.json.encode if codec == "json" else pack
    decoder = json_decoder(codec=codec, stream_field="id")
    assert only_tick(decoder, record(write({"id": "caf\u00e9", "a": 1.0}), b"k")).streams == ["caf\u00e9".encode()]
    assert only_tick(decoder, record(write({"a": 1.0}), b"k")).streams == [b"k"]
    assert only_tick(decoder, record(write({"id": None, "a": 1.0}), b"k")).streams == [b"k"]
    assert only_reason(decoder, record(write({"id": "", "a": 1.0}), b"k")).code == "bad_key"
    assert only_reason(decoder, record(write({"id": "x" * 1025, "a": 1.0}), b"k")).code == "bad_key"
    assert only_tick(decoder, record(write({"id": 42, "a": 1.0}), b"k")).streams == [b"42"]
    assert only_reason(decoder, record(write({"id": 4.5, "a": 1.0}), b"k")).code == "bad_type"
    assert only_reason(decoder, record(write({"id": True, "a": 1.0}), b"k")).code == "bad_type"
    missing = only_reason(decoder, record(write({"a": 1.0}), None))
    assert missing.code == "missing_key"
    assert "'id'" in missing.message


def test_the_first_thing_wrong_is_the_reason():
    """Order: the value as a whole, its fields, the key, the time, the numbers."""
    decoder = json_decoder()
    assert only_reason(decoder, record(None, None)).code == "null"
    assert only_reason(decoder, record(b"{", None)).code == "undecodable"
    assert only_reason(decoder, record(b'{"a":1e39,"time":"x"}', b"")).code == "bad_key"
    assert only_reason(decoder, record(b'{"a":1e39,"time":"x"}')).code == "bad_time"
    assert only_reason(decoder, record(b'{"a":1e39}')).code == "not_finite"


def test_rows_and_letters_keep_the_order_of_arrival():
    values = [GOOD["json"] if n % 3 else b"!" for n in range(30)]
    records = [record(value, b"k%d" % n, n // 2, n % 2) for n, value in enumerate(values)]
    ticks, dead = json_decoder().decode(records)
    kept = [r for n, r in enumerate(records) if n % 3]
    assert list(zip(ticks.partition.tolist(), ticks.offset.tolist(), ticks.streams, strict=True)) == [
        (r.partition, r.offset, r.key) for r in kept
    ]
    assert [letter.record for letter in dead] == [r for n, r in enumerate(records) if n % 3 == 0]


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "new\nline"])
def test_a_feature_whose_name_no_field_can_have_is_refused_when_the_decoder_is_made(name: str) -> None:
    spec = ModelSpec(name="m", features=(name,), targets=(name,), channels=(Channel(name),))
    with pytest.raises(BundleError, match="m@1: no tick can have a field of this name"):
        Decoder(spec)


def test_missing_features_and_far_times_are_counted_of_the_accepted_ticks_alone():
    far = ARRIVAL_MS - 2 * 86_400_000
    values = [{"a": 1, "b c": 2}, {"a": 1}, {"b c": 2, "time": far}, {"a": 1, "time": far, "b c": 1e300}, {"a": 1}]
    records = [record(msgspec.json.encode(value), offset=n) for n, value in enumerate(values)]
    ticks, dead = json_decoder().decode(records)
    assert (len(ticks), [letter.code for letter in dead]) == (4, ["not_finite"])
    assert (ticks.missing.tolist(), ticks.far) == ([1, 2], 1)
    whole, _ = json_decoder().decode(records[:1])
    assert (whole.missing, whole.far) == (None, 0)
