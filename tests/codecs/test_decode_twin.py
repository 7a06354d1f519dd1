"""The decoder beside its slow twin: one record at a time, with the standard library's json."""

import json
import math
import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamrnn.codecs import Decoder
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.ticks import Record

SPEC = ModelSpec(name="t", features=("a", "b"), targets=("a",), channels=(Channel("a"),))
DOTTED = ModelSpec(name="t", features=("a", "m.b", "m.b.c"), targets=("a",), channels=(Channel("a"),))
MODELS = {
    "flat": (SPEC, {"a": [("a",)], "b": [("b",)]}),
    # m.b lies in m; m.b.c then cannot, for m.b is a number.
    "dotted": (DOTTED, {"a": [("a",)], "m.b": [("m.b",), ("m", "b")], "m.b.c": [("m.b.c",)]}),
}
"""Models, and where each of their features may lie."""
UNITS = {"s": (10**8, 10**10), "ms": (10**11, 10**13), "us": (10**14, 10**16), "ns": (10**17, 10**19)}
"""The sizes of the years 1973 to 2286."""
TO_MS = {"s": Fraction(1000), "ms": Fraction(1), "us": Fraction(1, 1000), "ns": Fraction(1, 10**6)}
WIDTH = {"int64": 8, "int32": 4, "uuid": 16}
DECIMAL = re.compile(r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?")


class No(Exception):
    pass


class Pairs(list):
    """An object: each of its fields, however often it is given."""


def _constant(name):
    return None if name == "NaN" else float(name)


def _number(value, is_lenient):
    if is_lenient and isinstance(value, bool):
        return float(value)
    if is_lenient and isinstance(value, str) and DECIMAL.fullmatch(value):
        return float(value)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise No("type")
    return value


def _fitting(name, value, is_lenient):
    """What lies in a field, if that is what may lie there."""
    if isinstance(value, float) and math.isinf(value):
        raise No("range")
    if name == "id":
        if isinstance(value, bool) or not isinstance(value, int | str | None):
            raise No("type")
    elif name == "time":
        if isinstance(value, bool) or not isinstance(value, int | float | str | None):
            raise No("type")
    elif not is_lenient or isinstance(value, Pairs | list):
        return _number(value, is_lenient)
    return value


def _walk(pairs, wanted, found, before=()):
    """What lies at the wanted places; of a field given twice the last counts, and the first must be right."""
    for name, value in pairs:
        path = (*before, name)
        if path in wanted:
            found[path] = _fitting(wanted[path], value, wanted["lenient"])
        elif any(other[: len(path)] == path for other in wanted if other != "lenient"):
            for old in [old for old in found if old[: len(path)] == path]:
                del found[old]
            if value is not None and not isinstance(value, Pairs):
                raise No("no object")
            _walk(value or [], wanted, found, path)


def _time_ms(time, arrival_ms, form):
    if time is None:
        return arrival_ms
    unit = form.get("time_unit", "auto")
    is_text = isinstance(time, str)
    if is_text and re.fullmatch("[+-]?[0-9]+([.][0-9]*)?", time) and not re.fullmatch("[0-9]{8}", time):
        if form.get("numbers") != "lenient":
            raise No("text")
        time = float(time) if "." in time else int(time)
    if isinstance(time, str):
        moment = datetime.fromisoformat(time)
        moment = moment.replace(tzinfo=moment.tzinfo or UTC)
        return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    if unit == "auto":
        unit = next((unit for unit, (least, most) in UNITS.items() if least <= abs(time) < most), "ms")
    if unit == "s" and isinstance(time, float):
        return round(time * 1000)
    return math.floor(Fraction(time) * TO_MS[unit])


def _float32(value):
    if value is None:
        return np.float32(np.nan)
    with np.errstate(over="ignore"):
        return np.float32(float(value))


def _stream(found, key, form):
    fields = form.get("stream_field", "").split(",")
    base = tuple(form["path"].split(".")) if "path" in form else ()
    names = [found.get((*base, field)) for field in fields if field]
    if len(names) == 1 and names[0] is not None:
        key = str(names[0]).encode()
    elif len(names) > 1:
        if None in names:
            raise No("stream")
        key = "/".join(str(name).replace("%", "%25").replace("/", "%2F") for name in names).encode()
    kind = form.get("key", "text")
    if key is None or not 0 < len(key) <= 1024 or len(key) != WIDTH.get(kind, len(key)):
        raise No("key")
    if kind == "text":
        key.decode()
    return key


def slow(record: Record, model="flat", form=None):
    """(partition, offset, arrival, stream, time, bits of the features) of a good record, None for a bad one."""
    form = form or {}
    base = tuple(form["path"].split(".")) if "path" in form else ()
    _, places = MODELS[model]
    try:
        top = json.loads(record.value.decode(), parse_constant=_constant, object_pairs_hook=Pairs)
        if not isinstance(top, Pairs):
            return None
        wanted = {(*base, *path): "feature" for paths in places.values() for path in paths}
        wanted |= {(*base, field): "id" for field in form.get("stream_field", "").split(",") if field}
        wanted |= {(*base, "time"): "time", "lenient": form.get("numbers") == "lenient"}
        found = {}
        _walk(top, wanted, found)
        features = []
        for paths in places.values():
            here = [found[(*base, *path)] for path in paths if (*base, *path) in found]
            features.append(here[0] if here else "absent")
        if set(features) == {"absent"}:
            return None
        numbers = [None if value == "absent" else _number(value, wanted["lenient"]) for value in features]
        stream = _stream(found, record.key, form)
        time_ms = _time_ms(found.get((*base, "time")), record.timestamp_ms, form)
        values = np.array([_float32(number) for number in numbers], np.float32)
    except (No, ValueError, OverflowError, RecursionError, AttributeError):
        return None
    if abs(time_ms) > 2**53 or np.isinf(values).any():
        return None
    return record.partition, record.offset, record.timestamp_ms, stream, time_ms, values.tobytes()


def fast(records: list[Record], model="flat", form=None):
    ticks, dead = Decoder(MODELS[model][0], **(form or {})).decode(records)
    columns = (ticks.partition, ticks.offset, ticks.arrival_ms, ticks.streams, ticks.time_ms)
    rows = [c if isinstance(c, list) else c.tolist() for c in columns]
    return [*zip(*rows, [v.tobytes() for v in ticks.values], strict=True)], [d.record for d in dead]


names = st.sampled_from(["a", "b", "time", "z", "A", "", "m", "m.b", "m.b.c", "p", "id"])
numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.tuples(
        st.sampled_from([edge for edges in UNITS.values() for edge in edges]),
        st.sampled_from([1, -1, 0.999_999, 1.000_001, 3, 7.123_456_789]),
    ).map(lambda pair: pair[0] * pair[1]),
    st.sampled_from([math.nan, math.inf, -math.inf]),
    st.sampled_from([2**53, 2**53 + 1, -(2**53), -(2**53) - 1, 2**63, -(2**63) - 1, 2**64, 3.4028235677973366e38]),
)
times = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(datetime.isoformat)
texts = st.sampled_from(
    ["21.5", "-.5e3", "1_0", "21,5", " 1", "nan", "1700000000", "1711121512345", "20240101", "1."]
)
scalars = st.one_of(
    st.none(), st.booleans(), numbers, times, texts, st.text(alphabet='a1,{}[]"\\:é\U0001f321 \n', max_size=6)
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=6
)
likely = st.one_of(numbers, st.none(), scalars, anything)


def text_of(pairs: list) -> bytes:
    """An object that may give a field twice."""
    return ("{" + ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in pairs) + "}").encode()


objects = st.lists(st.tuples(names, likely), max_size=4).map(text_of)
plain = st.fixed_dictionaries({"a": numbers, "b": numbers, "time": st.integers(10**11, 10**13 - 1)}).map(
    lambda o: json.dumps(o).encode()
)
TOKENS = ["{", "}", "[", "]", ",", ":", '"a"', '"b"', "1", "-", ".5", "e9", '"', "null", " ", "NaN"]
TOKENS += ["-Infinity", '"NaN\\""']
pieces = st.lists(st.sampled_from(TOKENS), max_size=10).map(lambda parts: "".join(parts).encode())
cut = st.tuples(objects, st.integers(0, 60)).map(lambda pair: pair[0][: pair[1]])
values = st.one_of(plain, plain, objects, anything.map(lambda o: json.dumps(o).encode()), pieces, cut, st.none())
keys = st.one_of(
    st.text(min_size=1, max_size=5).map(lambda t: t.encode(errors="replace")),
    st.binary(max_size=3),
    st.none(),
    st.sampled_from([4, 8, 16]).flatmap(lambda width: st.binary(min_size=width, max_size=width)),
)
forms = st.fixed_dictionaries(
    {},
    optional={
        "path": st.sampled_from(["p", "p.m"]),
        "numbers": st.just("lenient"),
        "time_unit": st.sampled_from(["s", "ms", "us", "ns"]),
    }
    | {"stream_field": st.sampled_from(["id", "id,z"])},
) | st.fixed_dictionaries({"key": st.sampled_from(["int64", "int32", "uuid", "bytes"])})


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
@example(together(b'{"a":1,"time":9007199254740993}', b'{"a":1,"time":1.5}'))
@example(together(b'{"a":1,"time":9223372036854775807}', b'{"a":1,"time":-9223372036854775808}'))
@example(together(b'{"a":1,"time":1700000000.123}', b'{"a":1,"time":170000000000000}'))
def test_a_batch_is_read_as_its_records_are_one_by_one(records):
    rows, dead = fast(records)
    expected = [slow(record) for record in records]
    assert rows == [row for row in expected if row is not None]
    assert dead == [record for record, row in zip(records, expected, strict=True) if row is None]


def wrapped(path: str, inner: bytes) -> bytes:
    for name in reversed(path.split(".")):
        inner = b'{"' + name.encode() + b'": ' + inner + b"}"
    return inner


@settings(max_examples=600, deadline=None)
@given(batches(st.one_of(objects, objects, plain)), forms, st.sampled_from(list(MODELS)), st.booleans())
@example(together(b'{"m": {"b": 1}, "m.b": 2}', b'{"m": {"b": 1}, "m": {}, "a": 1}'), {}, "dotted", False)
@example(together(b'{"a": "21.5"}', b'{"a": true, "time": "1700000000.5"}'), {"numbers": "lenient"}, "flat", False)
@example(together(b'{"a": 1, "id": "x/y", "z": 5}'), {"stream_field": "id,z"}, "flat", False)
def test_so_it_is_with_every_option(records, form, model, is_enveloped):
    if is_enveloped and "path" in form:
        records = [r._replace(value=wrapped(form["path"], r.value)) for r in records]
    rows, dead = fast(records, model, form)
    expected = [slow(record, model, form) for record in records]
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
