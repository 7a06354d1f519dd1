"""Each fault is found, counted and named, and nothing else is."""

import json
import math
import struct

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamrnn.ticks import Record

from .synthetic import CODES, DEAD, INPUT, OUTPUT, World, make_model, ticks_of, world


def facts(record: Record) -> dict[str, bytes]:
    return dict(record.headers)


def with_header(record: Record, name: str, text: bytes) -> Record:
    return record._replace(headers=[(k, text if k == name else v) for k, v in record.headers])


def edited(record: Record, *path: str | int, to: object) -> Record:
    """A prediction with one of its numbers or names replaced."""
    value = json.loads(record.value)
    inner = value
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to
    return record._replace(value=json.dumps(value, separators=(",", ":")).encode())


def next_float(number: float) -> float:
    """The float32 beside this one, as it is printed."""
    bits = struct.unpack("<I", struct.pack("<f", number))[0]
    return msgspec.json.decode(msgspec.json.encode(struct.unpack("<f", struct.pack("<I", bits ^ 1))[0]))


async def only(made: World, kind: str, count: int = 1, **options: object):
    """The one kind of fault that is found; its first example."""
    report = await made.verify(**options)
    assert not report.is_clean
    assert report.faults == {kind: count}
    examples = [fault for one in report.partitions for fault in one.examples if fault.kind == kind]
    assert len(examples) == min(count, 10)
    assert {fault.kind for one in report.partitions for fault in one.examples} <= set(report.counts)
    return examples[0]


async def test_a_dropped_prediction_is_missing() -> None:
    made = world()
    gone = made.logs[OUTPUT, 0].pop(17)
    fault = await only(made, "missing")
    assert fault.source_offset == int(facts(gone)["src-offset"])
    assert (fault.stream, fault.output_offset) == (gone.key.decode(), None)
    assert fault.expected == gone.value.decode()[:300] + "..."


async def test_the_last_prediction_below_the_committed_offset_may_not_be_missing() -> None:
    made = world(59)
    made.logs[OUTPUT, 0].pop()
    assert (await only(made, "missing")).source_offset == 58
    made.logs[OUTPUT, 0].clear()
    assert (await made.verify()).faults == {"missing": sum(n % 11 != 10 for n in range(59))}


async def test_a_doubled_prediction_is_a_fault_where_none_may_be() -> None:
    made = world()
    log = made.logs[OUTPUT, 0]
    log.append(log[30])
    made.renumber(OUTPUT)
    report = await made.verify()
    assert report.is_clean
    assert report.counts == {"doubled": 1}
    fault = await only(made, "doubled", strict=True)
    assert (fault.source_offset, fault.output_offset) == (int(facts(log[30])["src-offset"]), len(log) - 1)
    assert "output offset 30" in fault.found
    await only(made, "doubled", guarantee="exactly_once")
    await only(world_with_exactly_once(made), "doubled")


def world_with_exactly_once(made: World) -> World:
    other = world(guarantee="exactly_once")
    other.logs[OUTPUT, 0] = made.logs[OUTPUT, 0]
    return other


async def test_a_copy_with_another_content_fails_under_every_guarantee() -> None:
    made = world()
    log = made.logs[OUTPUT, 0]
    log.append(edited(log[30], "state", "steps", to=99))
    made.renumber(OUTPUT)
    report = await made.verify()
    assert report.counts == {"doubled": 1, "differing": 1}
    assert report.faults == {"differing": 1}


async def test_swapped_predictions_are_out_of_order() -> None:
    made = world()
    log = made.logs[OUTPUT, 0]
    log[20], log[21] = log[21], log[20]
    made.renumber(OUTPUT)
    fault = await only(made, "reordered")
    assert (fault.source_offset, fault.output_offset) == (int(facts(log[20])["src-offset"]), 20)
    assert "output offset 21" in fault.expected


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (("prediction", "x", 1), "prediction.x[1]"),
        (("quantiles", "0.9", "y", 0), "quantiles.0.9.y[0]"),
        (("residual", "x"), "residual.x"),
    ],
)
async def test_one_bit_of_a_number_makes_a_difference(path: tuple[str | int, ...], field: str) -> None:
    made = world()
    log = made.logs[OUTPUT, 0]
    number = json.loads(log[25].value)
    for step in path:
        number = number[step]
    other = next_float(number)
    assert math.isclose(number, other, rel_tol=1e-6)
    assert number != other
    log[25] = edited(log[25], *path, to=other)
    fault = await only(made, "differing")
    assert (fault.expected, fault.found) == (f"{field} {number!r}", f"{field} {other!r}")
    assert (fault.source_offset, fault.output_offset) == (int(facts(log[25])["src-offset"]), 25)


async def test_one_bit_of_a_packed_number_makes_a_difference() -> None:
    made = world(codec="msgpack")
    log = made.logs[OUTPUT, 0]
    at = log[25].value.index(b"\xca") + 4
    flipped = bytes([log[25].value[at] ^ 1])
    log[25] = log[25]._replace(value=log[25].value[:at] + flipped + log[25].value[at + 1 :])
    assert (await only(made, "differing")).expected.startswith("prediction.x[0] ")


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("state", "steps"), 3),
        (("time",), 1),
        (("stream",), "s0-other"),
        (("model",), "toy@9"),
        (("prediction", "x"), [1.0]),
        (("more",), True),
        (("prediction", "x", 0), None),
    ],
)
async def test_every_other_field_but_the_origin_is_compared(path: tuple[str, ...], to: object) -> None:
    made = world()
    made.logs[OUTPUT, 0][25] = edited(made.logs[OUTPUT, 0][25], *path, to=to)
    assert path[0] in (await only(made, "differing")).expected + (await only(made, "differing")).found


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b'{"state": 3}', b"[" * 100_000, b"\xff"])
async def test_what_cannot_be_read_differs(value: bytes | None) -> None:
    made = world()
    made.logs[OUTPUT, 0][25] = made.logs[OUTPUT, 0][25]._replace(value=value)
    assert (await only(made, "differing")).found


async def test_a_prediction_under_another_key_differs() -> None:
    made = world()
    made.logs[OUTPUT, 0][25] = made.logs[OUTPUT, 0][25]._replace(key=b"s0-other")
    fault = await only(made, "differing")
    assert fault.found.startswith("key s0-other, ")
    assert f"key {fault.stream}," not in fault.expected


async def test_a_prediction_of_another_model_is_unexpected_and_the_right_one_missing() -> None:
    made = world()
    log = made.logs[OUTPUT, 0]
    log.append(with_header(log[25], "model", b"toy@9"))
    made.renumber(OUTPUT)
    assert "toy@9" in (await only(made, "unexpected")).expected
    del log[25]
    made.renumber(OUTPUT)
    assert (await made.verify()).faults == {"unexpected": 1, "missing": 1}


async def test_a_prediction_in_the_wrong_partition_is_unexpected_there() -> None:
    made = world(60, 2)
    moved = made.logs[OUTPUT, 0].pop(25)
    made.logs[OUTPUT, 1].append(moved._replace(partition=1, offset=1000))
    report = await made.verify()
    assert [p.counts for p in report.partitions] == [{"missing": 1}, {"unexpected": 1}]
    [fault] = report.partitions[1].examples
    assert (fault.source_offset, fault.output_offset, fault.stream) == (None, 1000, moved.key.decode())
    assert "source partition b'0'" in fault.found


@pytest.mark.parametrize("offset", [None, b"", b"-1", b"1_0", b"9" * 19])
async def test_a_record_without_a_source_position_is_unexpected(offset: bytes | None) -> None:
    made = world()
    headers = [("src-partition", b"0")] if offset is None else [("src-partition", b"0"), ("src-offset", offset)]
    made.logs[OUTPUT, 0].append(made.logs[OUTPUT, 0][3]._replace(headers=headers, offset=1000))
    assert (await only(made, "unexpected")).output_offset == 1000


@pytest.mark.parametrize("offset", [b"10", b"31", b"5000"])
async def test_a_prediction_for_what_is_no_tick_is_unexpected(offset: bytes) -> None:
    """10 is refused, 31 a gap, 5000 beyond the end."""
    made = World(world().settings)
    records = ticks_of(0, 60)
    del records[31]
    made.produce(records)
    made.serve(0, 0, 60)
    made.logs[OUTPUT, 0].append(with_header(made.logs[OUTPUT, 0][3], "src-offset", offset)._replace(offset=1000))
    fault = await only(made, "unexpected")
    assert (fault.source_offset, fault.output_offset) == (int(offset), 1000)
    assert ("null" if offset == b"10" else "no such record") in fault.expected


async def test_wrong_steps_from_a_tick_on_are_found_at_each_prediction_of_the_stream() -> None:
    made = world()
    other = World(made.settings)
    other.produce(ticks_of(0, 60))
    other.serve(0, 30, 60)  # the state was lost at 30
    made.logs[OUTPUT, 0] = [r for r in made.logs[OUTPUT, 0] if int(facts(r)["src-offset"]) < 30]
    made.logs[OUTPUT, 0] += [r._replace(offset=r.offset + 1000) for r in other.logs[OUTPUT, 0]]
    accepted = sum(n % 11 != 10 for n in range(30, 60))
    fault = await only(made, "differing", accepted)
    assert "state.steps" in fault.expected


async def test_a_missing_dead_letter_is_found_with_its_code() -> None:
    made = world()
    del made.logs[DEAD, 0][1]
    fault = await only(made, "letter_missing")
    assert (fault.source_offset, fault.output_offset) == (21, None)
    assert CODES[1] in fault.expected


async def test_a_doubled_dead_letter_is_a_fault_where_none_may_be() -> None:
    made = world()
    made.logs[DEAD, 0].append(made.logs[DEAD, 0][1]._replace(offset=1000))
    assert (await made.verify()).is_clean
    fault = await only(made, "letter_doubled", strict=True)
    assert (fault.source_offset, fault.output_offset) == (21, 1000)
    await only(made, "letter_doubled", guarantee="exactly_once")


@pytest.mark.parametrize(("name", "text"), [("code", b"null"), ("model", b"toy@9")])
async def test_a_dead_letter_with_another_reason_or_model_differs(name: str, text: bytes) -> None:
    made = world()
    log = made.logs[DEAD, 0]
    log[1] = with_header(log[1], f"__streamrnn.errors.{name}", text)
    fault = await only(made, "letter_differing")
    assert (fault.source_offset, fault.output_offset) == (21, 1)
    assert text.decode() in fault.found


async def test_a_dead_letter_with_the_value_of_another_record_differs() -> None:
    made = world()
    log = made.logs[DEAD, 0]
    log[1] = log[1]._replace(value=b"never sent")
    assert "key and value" in (await only(made, "letter_differing")).expected


async def test_a_dead_letter_for_a_good_tick_is_unexpected() -> None:
    made = world()
    made.refuse(0, 20, "decode", "null")
    assert (await only(made, "letter_unexpected")).source_offset == 20
    made.logs[DEAD, 0].pop()
    made.refuse(0, 20)  # the broker refused what it has
    assert (await only(made, "letter_unexpected")).source_offset == 20


@pytest.mark.parametrize("offset", [b"5000", b"x"])
async def test_a_dead_letter_for_no_record_is_unexpected(offset: bytes) -> None:
    made = world()
    log = made.logs[DEAD, 0]
    log.append(with_header(log[1], "__streamrnn.errors.offset", offset)._replace(offset=1000))
    assert (await only(made, "letter_unexpected")).output_offset == 1000


async def test_of_an_earlier_model_doubles_and_swaps_are_found_too() -> None:
    made = World(world().settings)
    made.produce(ticks_of(0, 60))
    made.serve(0, 0, 40)
    made.model = make_model(seed=2, version=2)
    made.serve(0, 40, 60, since=20)
    log, whole = made.logs[OUTPUT, 0], list(made.logs[OUTPUT, 0])
    log.append(log[5])
    made.renumber(OUTPUT)
    await only(made, "doubled", strict=True)
    log[-1] = edited(log[-1], "state", "steps", to=77)
    await only(made, "differing")
    log[:] = whole
    log[5], log[6] = log[6], log[5]
    made.renumber(OUTPUT)
    await only(made, "reordered")
    log[:] = [with_header(whole[5], "model", b"")._replace(headers=whole[5].headers[:2]), *whole]
    made.renumber(OUTPUT)
    await only(made, "unexpected")


async def test_examples_are_limited_and_counts_are_not() -> None:
    made = world()
    del made.logs[OUTPUT, 0][10:30]
    report = await made.verify(limit=3)
    assert report.counts == {"missing": 20}
    assert len(report.partitions[0].examples) == 3


# Random injections

WHICH = st.integers(0, 53)
KINDS = ("missing", "doubled", "differing", "unexpected", "letter_missing", "letter_doubled", "letter_differing")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(WHICH, st.sampled_from(KINDS), max_size=12), st.booleans())
async def test_any_set_of_faults_is_counted_exactly(faults: dict[int, str], swap: bool) -> None:
    made = world()
    output, dead = made.logs[OUTPUT, 0], made.logs[DEAD, 0]
    expected = dict.fromkeys(KINDS, 0)
    said: list[list[Record]] = []
    for n, record in enumerate(output):
        kind = faults.get(n, "")
        expected[kind] = expected.get(kind, 0) + (not kind.startswith("letter"))
        told = edited(record, "state", "steps", to=10_000 + n) if kind == "differing" else record
        said.append([told] * {"missing": 0, "doubled": 2}.get(kind, 1))
        if kind == "unexpected":
            said[-1].append(with_header(record, "src-offset", b"%d" % (7000 + n)))
    if swap:
        said[20], said[21] = said[21], said[20]
        expected["reordered"] = int(bool(said[20] and said[21]))
    letters: list[Record] = []
    for n, record in enumerate(dead):
        kind = next((k for at, k in faults.items() if k.startswith("letter") and at % len(dead) == n), "")
        expected[kind] = expected.get(kind, 0) + bool(kind)
        told = with_header(record, "__streamrnn.errors.code", b"invented") if kind == "letter_differing" else record
        letters += [told] * {"letter_missing": 0, "letter_doubled": 2}.get(kind, 1)
    output[:], dead[:] = [record for records in said for record in records], letters
    made.renumber(OUTPUT)
    made.renumber(DEAD)
    report = await made.verify(strict=True)
    assert report.counts == {kind: count for kind, count in expected.items() if kind and count}
    assert report.is_clean == (not report.counts)
    assert made.logs[INPUT, 0] == ticks_of(0, 60)
