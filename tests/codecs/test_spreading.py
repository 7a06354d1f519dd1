"""Lists of ticks and null values: a list is what its elements would be as records, and a null value is an end."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.codecs import Decoder, dead_letter_record
from streamrnn.codecs.headers import ERRORS
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.ticks import MOST_INDEX, NO_INDEX, DeadLetter, Endings, Record, TickBatch

SPEC = ModelSpec(name="t", features=("a", "b"), targets=("a",), channels=(Channel("a"),))
TICK = st.fixed_dictionaries(
    {},
    optional={
        "a": st.one_of(st.none(), st.floats(-9, 9), st.just("text"), st.just(1e300)),
        "b": st.integers(-9, 9),
        "time": st.integers(1_600_000_000_000, 1_800_000_000_000),
        "site": st.sampled_from(["x", "y", ""]),
    },
)
ELEMENT = st.one_of(TICK, st.none(), st.integers(-(2**63), 2**63), st.just([]), st.lists(TICK, max_size=2))
VALUE = st.one_of(TICK, st.lists(ELEMENT, min_size=1, max_size=5))


def record(offset: int, value: Any, codec: str = "json", key: bytes | None = b"k") -> Record:
    raw = json.dumps(value).encode() if codec == "json" else msgspec.msgpack.encode(value)
    return Record(0, offset, 1_700_000_000_000 + offset, key, raw, (("h", b"%d" % offset),))


def columns(batch: TickBatch) -> list[Any]:
    return [batch.partition.tolist(), batch.time_ms.tolist(), batch.arrival_ms.tolist(), batch.streams,
            batch.values.tobytes(), batch.order.tolist()]  # fmt: skip


def reasons(dead: list[DeadLetter]) -> list[tuple[Any, ...]]:
    return [(d.stage, d.code, d.message, d.record.key, d.record.value, d.record.headers) for d in dead]


@settings(max_examples=150, deadline=None)
@given(st.lists(VALUE, max_size=6), st.sampled_from(["json", "msgpack"]), st.sampled_from([None, "site"]))
def test_a_list_is_what_its_elements_would_be_as_records_of_their_own(
    values: list[Any], codec: Any, stream_field: str | None
) -> None:
    given_form: dict[str, Any] = {"codec": codec, "stream_field": stream_field}
    wholes = [record(offset, value, codec) for offset, value in enumerate(values)]
    single, places = [], []
    for whole, value in zip(wholes, values, strict=True):
        for index, element in enumerate(value if isinstance(value, list) else [value]):
            one = record(whole.offset, element, codec)
            single.append(one)
            places.append((0, whole.offset, index if isinstance(value, list) else NO_INDEX))
    listed, refused = Decoder(SPEC, **given_form, records="list").decode(wholes)
    alone, refused_alone = Decoder(SPEC, **given_form).decode(single)
    strip = [r.replace("; input.records = list?", "") for _, _, r, *_ in reasons(refused_alone)]
    assert columns(listed) == columns(alone)
    assert [r[:2] + r[3:] for r in reasons(refused)] == [r[:2] + r[3:] for r in reasons(refused_alone)]
    assert [r[2] for r in reasons(refused)] == strip
    found = listed.places(np.arange(len(listed))) + [(0, d.record.offset, d.element) for d in refused]
    assert sorted(found) == places


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_a_bad_tick_of_a_list_costs_one_tick_and_its_dead_letter_is_that_tick_alone(codec: Any) -> None:
    decoder = Decoder(SPEC, codec=codec, records="list")
    whole = record(7, [{"a": 1.0}, {"a": "no"}, {"a": 3.0}], codec)
    ticks, (dead,) = decoder.decode([whole])
    assert (ticks.values[:, 0].tolist(), ticks.index.tolist()) == ([1.0, 3.0], [0, 2])
    assert dead.record == record(7, {"a": "no"}, codec)
    facts = dict(dead_letter_record(dead, "in", "t@1").headers)
    assert (facts[ERRORS + "offset"], facts[ERRORS + "index"]) == (b"7", b"1")
    assert [decoder.element(whole, n) for n in (0, 2)] == [record(7, {"a": x}, codec) for x in (1.0, 3.0)]
    assert decoder.element(whole, NO_INDEX) is whole
    assert decoder.count(whole) == 3


def test_a_list_with_bare_nan_is_read_as_its_elements_are() -> None:
    raw = Record(0, 1, 5, b"k", b'[{"a": NaN, "b": 1}, {"a": Infinity}, {"a": "NaN"}]')
    ticks, dead = Decoder(SPEC, records="list").decode([raw])
    np.testing.assert_array_equal(ticks.values, np.array([[np.nan, 1]], np.float32))
    assert [(d.code, d.element) for d in dead] == [("not_finite", 1), ("bad_type", 2)]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"[]", "empty_list"),
        (b" [ ] ", "empty_list"),
        (b'[{"a": 1}', "undecodable"),
        (b'[{"a": 1}] x', "undecodable"),
        (b"[" + b"{}," * MOST_INDEX + b"{},{}]", "too_large"),
        (b"[" * 100_000, "too_deep"),
    ],
)
def test_a_list_that_cannot_be_told_apart_is_one_dead_letter(value: bytes, code: str) -> None:
    whole = Record(0, 3, 5, b"k", value)
    decoder = Decoder(SPEC, records="list", max_record_bytes=10_000_000)
    ticks, (dead,) = decoder.decode([whole])
    assert (len(ticks), dead.record, dead.code, dead.element) == (0, whole, code, NO_INDEX)
    assert decoder.count(whole) is None


def test_a_list_is_refused_where_it_was_not_asked_for_and_the_option_is_named() -> None:
    whole = record(0, [{"a": 1}])
    _, (dead,) = Decoder(SPEC).decode([whole])
    assert (dead.code, dead.record, dead.element) == ("not_an_object", whole, NO_INDEX)
    assert "input.records = list" in dead.message
    _, (dead,) = Decoder(SPEC, records="list", max_record_bytes=5).decode([whole])
    assert (dead.code, dead.element) == ("too_large", NO_INDEX)


def test_without_lists_nothing_is_said_of_them() -> None:
    for decoder in (Decoder(SPEC), Decoder(SPEC, records="list")):
        ticks, _ = decoder.decode([record(0, {"a": 1}), record(1, {"a": 2})])
        assert (ticks.index, ticks.endings, ticks.skipped) == (None, None, 0)


def null(offset: int, key: bytes | None, partition: int = 0) -> Record:
    return Record(partition, offset, 5, key, None)


def ends(batch: TickBatch) -> list[tuple[int, int, bytes]]:
    assert isinstance(batch.endings, Endings)
    before, partition, streams = batch.endings.before, batch.endings.partition, batch.endings.streams
    return list(zip(before.tolist(), partition.tolist(), streams, strict=True))


def test_null_values_are_dead_letters_or_nothing_or_ends_between_the_ticks_that_are_good() -> None:
    records = [
        null(0, b"x"), record(1, {"a": 1}), record(2, {"a": "bad"}), null(3, b"y"),
        record(4, [{"a": 1}, 5, {"a": 2}]), null(5, b"z", 1), null(6, None), null(7, b"\xff"),
        record(8, {"a": 3}), null(9, b"x"),
    ]  # fmt: skip
    refused = {"dead-letter": [0, 2, 3, 4, 5, 6, 7, 9], "skip": [2, 4], "forget": [2, 4, 6, 7]}
    for tombstones, offsets in refused.items():
        ticks, dead = Decoder(SPEC, records="list", tombstones=tombstones).decode(records)
        assert ticks.offset.tolist() == [1, 4, 4, 8]
        assert [d.record.offset for d in dead] == offsets
        assert ticks.skipped == (6 if tombstones == "skip" else 0)
        if tombstones == "forget":
            assert ends(ticks) == [(0, 0, b"x"), (1, 0, b"y"), (3, 1, b"z"), (4, 0, b"x")]
            assert {d.record.offset: d.code for d in dead}.items() >= {6: "missing_key", 7: "bad_key"}.items()
        else:
            assert ticks.endings is None


def test_ends_alone_are_a_batch_without_ticks() -> None:
    ticks, dead = Decoder(SPEC, tombstones="forget", key="int64").decode([null(1, bytes(8)), null(2, b"\xff" * 8)])
    assert (len(ticks), dead, ends(ticks)) == (0, [], [(0, 0, bytes(8)), (0, 0, b"\xff" * 8)])


def test_a_dead_letter_that_comes_again_does_not_pass_its_index_on() -> None:
    _, (dead,) = Decoder(SPEC, records="list").decode([record(7, [{"a": "no"}])])
    first = dead_letter_record(dead, "in", "t@1")
    again = Record(0, 9, 5, first.key, first.value, tuple(first.headers))
    _, (dead,) = Decoder(SPEC, records="list").decode([again])
    facts = dict(dead_letter_record(dead, "in", "t@1").headers)
    assert (facts[ERRORS + "offset"], facts[ERRORS + "index"]) == (b"9", b"")
