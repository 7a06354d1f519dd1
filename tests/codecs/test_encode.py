"""What is written reads back as what was predicted, to the bit, in both formats and from every corner."""

import json
import math
import re
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streamrnn.codecs import Encoder
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.ticks import NO_INDEX, ORIGINS, Errors, OutRecord, PredictionBatch, TickBatch

CODECS = ("json", "msgpack")
NAN = float("nan")


def spec(targets=("a",), horizons=(1,), quantiles=(), name="oil") -> ModelSpec:
    return ModelSpec(
        name=name,
        version=7,
        features=targets,
        targets=targets,
        channels=(Channel(targets[0]),),
        horizons=horizons,
        quantiles=quantiles,
    )


def batch(
    model: ModelSpec, n: int, *, streams=None, values=None, residual=None, ok=None, index=None
) -> PredictionBatch:
    targets, horizons = len(model.targets), len(model.horizons)
    levels = max(1, len(model.quantiles))
    rng = np.random.default_rng(1)
    if values is None:
        values = rng.normal(size=(n, horizons, targets, levels))
    if residual is None:
        residual = rng.normal(size=(n, targets))
    time_ms = 1_700_000_000_000 - np.arange(n) * 10**12
    ticks = TickBatch(
        partition=(np.arange(n) % 3).astype(np.int32),
        offset=np.arange(n) * 1000 + 5,
        time_ms=time_ms,
        arrival_ms=1_700_000_000_000 + np.arange(n),
        streams=streams or [b"s%d" % i for i in range(n)],
        values=np.zeros((n, targets), np.float32),
        order=time_ms,
    )
    none = np.zeros((1, targets))
    return PredictionBatch(
        ticks,
        np.asarray(values, np.float32).reshape(n, horizons, targets, levels),
        np.asarray(residual, np.float32).reshape(n, targets),
        steps=np.arange(n) * 10**6 + 1,
        origin=(np.arange(n) % len(ORIGINS)).astype(np.uint8),
        status=np.zeros(n, np.uint8) if ok is None else (~np.array(ok)).astype(np.uint8),
        errors=Errors(*[none] * 6),
    )


def parsed(codec: str, record: OutRecord) -> dict:
    assert record.value is not None
    return json.loads(record.value) if codec == "json" else msgspec.msgpack.decode(record.value)


def expected(model: ModelSpec, said: PredictionBatch, i: int) -> dict:
    """The contract of an output record, spelled out for row i."""

    def lists(level: int) -> dict:
        return {
            t: [said.values[i, k, o, level] for k in range(len(model.horizons))]
            for o, t in enumerate(model.targets)
        }

    record = {
        "stream": said.ticks.streams[i].decode(),
        "time": int(said.ticks.time_ms[i]),
        "model": model.label,
        "prediction": lists(len(model.quantiles) // 2),
    }
    if len(model.quantiles) > 1:
        record["quantiles"] = {f"{level:g}": lists(q) for q, level in enumerate(model.quantiles)}
    residual = {t: r for t, r in zip(model.targets, said.residual[i], strict=True) if not np.isnan(r)}
    if residual:
        record["residual"] = residual
    record["state"] = {"steps": int(said.steps[i]), "origin": ORIGINS[said.origin[i]]}
    return record


def as_bits(value):
    """Numbers of predictions as the bits of their float32; all else as it is, dicts with their order."""
    if isinstance(value, dict):
        return [(name, as_bits(inner)) for name, inner in value.items()]
    if isinstance(value, list):
        return [as_bits(inner) for inner in value]
    return np.float32(value).tobytes() if isinstance(value, float | np.float32) else value


def assert_reads_back(codec: str, model: ModelSpec, said: PredictionBatch) -> None:
    records = Encoder(model, codec).encode(said)
    rows = np.flatnonzero(said.ok)
    assert len(records) == len(rows)
    for i, record in zip(rows, records, strict=True):
        assert as_bits(parsed(codec, record)) == as_bits(expected(model, said, i))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("horizons", [(1,), (1, 2, 6), tuple(range(1, 41))])
@pytest.mark.parametrize("quantiles", [(), (0.5,), (0.1, 0.5, 0.9), (0.05, 0.25, 0.5, 0.75, 0.95)])
@pytest.mark.parametrize("targets", [("a",), ("a", "b%d", 'say "x"'), tuple(f"t{n}" for n in range(20))])
def test_a_record_holds_what_the_contract_draws(codec, horizons, quantiles, targets):
    model = spec(targets, horizons, quantiles)
    assert_reads_back(codec, model, batch(model, 7))


@pytest.mark.parametrize("codec", CODECS)
def test_a_record_goes_where_its_tick_came_from_and_says_so(codec):
    said = batch(spec(), 4)
    for i, record in enumerate(Encoder(spec(), codec).encode(said)):
        assert isinstance(record, OutRecord)
        assert record.partition == said.ticks.partition[i]
        assert record.timestamp_ms == said.ticks.arrival_ms[i]
        assert record.key == said.ticks.streams[i]
        assert record.place == (said.ticks.partition[i], said.ticks.offset[i], NO_INDEX)
        assert list(record.headers) == [
            ("src-partition", b"%d" % said.ticks.partition[i]),
            ("src-offset", b"%d" % said.ticks.offset[i]),
            ("model", b"oil@7"),
        ]
        assert type(record.partition) is int
        assert type(record.timestamp_ms) is int


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    "name", ["100% %d %b", 'quo"te\\', "temp\u00e9rature \U0001f321", "{}", "new\nline", "x" * 190]
)
def test_any_name_of_model_and_target_is_written_as_it_is(codec, name):
    model = spec((name, "plain"), name=name)
    assert_reads_back(codec, model, batch(model, 3))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    "stream",
    [b"%b", b"100%", b'"', b"\\", b"\n", b"\r\n", b"\x00", b"\x1f\x7f", b"a,b", "\u2028\u6e29\U0001f321".encode()]
    + [b"x" * n for n in (1, 31, 32, 255, 256, 1024)],
)
def test_any_stream_is_written_as_it_is(codec, stream):
    assert_reads_back(codec, spec(), batch(spec(), 3, streams=[b"before", stream, b"after"]))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    "residual",
    [
        [[1, 2], [3, 4], [5, 6]],
        [[NAN, NAN]] * 3,
        [[NAN, NAN], [3, 4], [NAN, NAN]],
        [[NAN, 2], [3, NAN], [NAN, NAN]],
        [[1, 2], [NAN, 4], [5, 6]],
    ],
)
def test_only_known_residuals_are_shown_and_none_at_all_where_none_is_known(codec, residual):
    model = spec(("a", "b"))
    said = batch(model, 3, residual=residual)
    assert_reads_back(codec, model, said)
    for i, record in enumerate(Encoder(model, codec).encode(said)):
        known = [t for t, r in zip("ab", residual[i], strict=True) if not math.isnan(r)]
        assert list(parsed(codec, record).get("residual", {})) == known
        assert ("residual" in parsed(codec, record)) == bool(known)


@pytest.mark.parametrize("codec", CODECS)
def test_a_model_of_many_targets_may_show_any_set_of_residuals(codec):
    model = spec(tuple(f"t{n}" for n in range(70)))
    rng = np.random.default_rng(2)
    residual = np.where(rng.random((400, 70)) < 0.5, NAN, 1.5)
    assert_reads_back(codec, model, batch(model, 400, residual=residual))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("ok", [[True, False, True, False], [False] * 4, [True] * 4, [False, False, False, True]])
def test_rows_that_are_not_ok_give_no_record_and_the_others_keep_their_order(codec, ok):
    said = batch(spec(), 4, ok=ok, residual=[[NAN], [1], [2], [NAN]])
    bad = ~np.array(ok)
    said.values[bad] = np.nan
    assert_reads_back(codec, spec(), said)
    whole = Encoder(spec(), codec).encode(replace(said, status=np.zeros(4, np.uint8)))
    assert Encoder(spec(), codec).encode(said) == [record for record, good in zip(whole, ok, strict=True) if good]


@pytest.mark.parametrize("codec", CODECS)
def test_no_rows_give_no_records(codec):
    assert Encoder(spec(), codec).encode(batch(spec(), 0)) == []


numbers32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize("codec", CODECS)
@settings(max_examples=60, deadline=None)
@given(
    values=arrays(np.float32, (5, 2, 2, 3), elements=numbers32),
    residual=arrays(np.float32, (5, 2), elements=st.one_of(numbers32, st.just(NAN))),
    streams=st.lists(
        st.text(min_size=1, max_size=8).map(lambda t: t.encode(errors="replace")), min_size=5, max_size=5
    ),
    ok=st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_every_number_reads_back_as_the_same_float32(codec, values, residual, streams, ok):
    model = spec(("a", "b"), (1, 4), (0.1, 0.5, 0.9))
    assert_reads_back(codec, model, batch(model, 5, values=values, residual=residual, streams=streams, ok=ok))


def written(numbers: np.ndarray) -> list[bytes]:
    """The texts of predictions in JSON."""
    records = Encoder(spec()).encode(batch(spec(), len(numbers), values=numbers, residual=[[NAN]] * len(numbers)))
    return [re.fullmatch(rb'.*"prediction":{"a":\[(.*)]},"state".*', record.value)[1] for record in records]


def read_back(texts: list[bytes]) -> np.ndarray:
    return np.array([NAN if text == b"null" else json.loads(text) for text in texts], np.float32)


@settings(max_examples=300, deadline=None)
@given(arrays(np.uint32, 50).map(lambda bits: bits.view(np.float32)))
def test_a_written_number_is_the_same_float32_for_any_bits_and_null_where_it_is_not_finite(numbers):
    texts = written(numbers)
    finite = np.isfinite(numbers)
    assert read_back(texts)[finite].tobytes() == numbers[finite].tobytes()
    assert [text == b"null" for text in texts] == (~finite).tolist()


def test_every_power_of_two_and_its_neighbours_are_written_as_themselves():
    powers = np.ldexp(np.float32(1), np.arange(-149, 128)).astype(np.float32)
    numbers = np.concatenate(
        [powers, np.nextafter(powers, np.float32(np.inf)), np.nextafter(powers, np.float32(0))]
    )
    numbers = np.concatenate([numbers, -numbers])
    assert read_back(written(numbers)).tobytes() == numbers.tobytes()


@settings(max_examples=300, deadline=None)
@given(st.integers(-999_999, 999_999), st.integers(0, 6))
def test_a_number_that_had_six_digits_is_written_with_them_again(digits, places):
    (text,) = written(np.array([digits / 10**places], np.float32))
    assert json.loads(text) == digits / 10**places


@settings(max_examples=200, deadline=None)
@given(st.floats(2**-29, 2**20, width=32))
def test_ordinary_numbers_take_nine_digits_at_most(number):
    (text,) = written(np.array([number], np.float32))
    digits = text.split(b"e")[0].replace(b".", b"").lstrip(b"0")
    assert len(digits.rstrip(b"0")) <= 9


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    ("kind", "keys", "shown"),
    [
        ("int64", [(200).to_bytes(8, "big"), b"\xff" * 8], ["200", "-1"]),
        ("int32", [(256).to_bytes(4, "big"), b"\x80" + bytes(3)], ["256", "-2147483648"]),
        (
            "uuid",
            [bytes(range(16)), b"\xff" * 16],
            ["00010203-0405-0607-0809-0a0b0c0d0e0f", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
        ),
        ("bytes", [b"\x80", b"\xff" * 1024], ["80", "ff" * 1024]),
        ("text", ["é".encode(), b"x" * 1024], ["é", "x" * 1024]),
    ],
)
def test_a_key_that_is_no_text_is_shown_in_the_value_and_stays_itself_in_the_record(codec, kind, keys, shown):
    records = Encoder(spec(), codec, kind).encode(batch(spec(), 2, streams=keys))
    assert [parsed(codec, record)["stream"] for record in records] == shown
    assert [record.key for record in records] == keys
