"""The decoder beside its slow twin: one record at a time, with the standard library's json."""

import json
import math
from datetime import UTC, datetime

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamrnn.codecs import Decoder
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.ticks import Record

SPEC = ModelSpec(name="t", features=("a", "b"), targets=("a",), channels=(Channel("a"),))


class No(Exception):
    pass


def _constant(name):
    raise No(name)


def _pairs(pairs):
    """Every occurrence of a field counts, not just the last."""
    for name, value in pairs:
        if name in ("a", "b") and (isinstance(value, bool) or not isinstance(value, int | float | None)):
            raise No("type")
        if name in ("a", "b", "time") and isinstance(value, float) and math.isinf(value):
            raise No("range")
        if name == "time" and (isinstance(value, bool) or not isinstance(value, int | float | str | None)):
            raise No("type")
    return dict(pairs)


def _time_ms(time, arrival_ms):
    if time is None:
        return arrival_ms
    if isinstance(time, str):
        moment = datetime.fromisoformat(time)
        return round(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
    return int(time)


def _float32(value):
    if value is None:
        return np.float32(np.nan)
    with np.errstate(over="ignore"):
        return np.float32(float(value))


def slow(record: Record):
    """(partition, offset, arrival, stream, time, bits of the features) of a good record, None for a bad one."""
    try:
        # Only the top level's fields are ours; nested ones of the same name are not.
        top = json.loads(record.value.decode(), parse_constant=_constant, object_pairs_hook=list)
        if not isinstance(top, list) or not _is_object(record.value):
            return None
        fields = _pairs(top)
        stream = record.key
        assert stream is not None
        if not 0 < len(stream) <= 1024:
            return None
        stream.decode()
        time_ms = _time_ms(fields.get("time"), record.timestamp_ms)
        values = np.array([_float32(fields.get(name)) for name in SPEC.features], np.float32)
    except (No, ValueError, OverflowError, RecursionError, AssertionError, AttributeError):
        return None
    if abs(time_ms) > 2**53 or np.isinf(values).any():
        return None
    return record.partition, record.offset, record.timestamp_ms, stream, time_ms, values.tobytes()


def _is_object(value: bytes) -> bool:
    return value.lstrip(b" \t\r\n").startswith(b"{")


def fast(records: list[Record]):
    ticks, dead = Decoder(SPEC).decode(records)
    columns = (ticks.partition, ticks.offset, ticks.arrival_ms, ticks.streams, ticks.time_ms)
    rows = [c if isinstance(c, list) else c.tolist() for c in columns]
    return [*zip(*rows, [v.tobytes() for v in ticks.values], strict=True)], [d.record for d in dead]


names = st.sampled_from(["a", "b", "time", "z", "A", ""])
numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.sampled_from([2**53, 2**53 + 1, -(2**53), -(2**53) - 1, 2**63, -(2**63) - 1, 2**64, 3.4028235677973366e38]),
)
times = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(datetime.isoformat)
scalars = st.one_of(
    st.none(), st.booleans(), numbers, times, st.text(alphabet='a1,{}[]"\\:é\U0001f321 \n', max_size=6)
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=6
)
likely = st.one_of(numbers, st.none(), scalars, anything)


def text_of(pairs: list) -> bytes:
    """An object that may give a field twice."""
    return ("{" + ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in pairs) + "}").encode()


objects = st.lists(st.tuples(names, likely), max_size=4).map(text_of)
plain = st.fixed_dictionaries({"a": numbers, "b": numbers, "time": st.integers(0, 2**42)}).map(
    lambda o: json.dumps(o).encode()
)
TOKENS = ["{", "}", "[", "]", ",", ":", '"a"', '"b"', "1", "-", ".5", "e9", '"', "null", " ", "NaN"]
pieces = st.lists(st.sampled_from(TOKENS), max_size=10).map(lambda parts: "".join(parts).encode())
cut = st.tuples(objects, st.integers(0, 60)).map(lambda pair: pair[0][: pair[1]])
values = st.one_of(plain, plain, objects, anything.map(lambda o: json.dumps(o).encode()), pieces, cut, st.none())
keys = st.one_of(
    st.text(min_size=1, max_size=5).map(lambda t: t.encode(errors="replace")), st.binary(max_size=3), st.none()
)


@st.composite
def batches(draw, bodies=values):
    drawn = draw(st.lists(st.tuples(bodies, keys), max_size=12))
    return [Record(n % 3, n, 1_000 + n, key, body) for n, (body, key) in enumerate(drawn)]


def together(*bodies: bytes) -> list[Record]:
    return [Record(0, n, n, b"s", body) for n, body in enumerate(bodies)]


@settings(max_examples=400, deadline=None)
@given(batches())
@example(together(b'{"a":1', b'"b":2}'))
@example(together(b'{"z":[1', b"2]}", b"{},{}"))
@example(together(b'{"a":1},{"a":2}', b""))
@example(together(b'{"time":9007199254740993}', b'{"time":1.5}'))
@example(together(b'{"time":9223372036854775807}', b'{"time":-9223372036854775808}'))
def test_a_batch_is_read_as_its_records_are_one_by_one(records):
    rows, dead = fast(records)
    expected = [slow(record) for record in records]
    assert rows == [row for row in expected if row is not None]
    assert dead == [record for record, row in zip(records, expected, strict=True) if row is None]


@settings(max_examples=100, deadline=None)
@given(batches(st.one_of(plain, pieces)), st.integers(0, 12))
def test_where_a_batch_is_cut_does_not_matter(records, at):
    whole, whole_dead = fast(records)
    first, first_dead = fast(records[:at])
    last, last_dead = fast(records[at:])
    assert first + last == whole
    assert first_dead + last_dead == whole_dead
