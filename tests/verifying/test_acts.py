"""Null values and lists of ticks as a verification sees them: clean as they are, each fault named by its tick."""

import json
from typing import Any

import pytest

from streamrnn.ticks import Record

from .synthetic import DEAD, INPUT, OUTPUT, World, make_model, world
from .test_faults import facts, only

LISTS = {"topic": INPUT, "records": "list"}


def number(n: int) -> dict[str, float]:
    return {"time": 1_700_000_000_000 + 977 * n, "x": (n * 37 % 101) / 8 - 6, "y": 0.5 * n % 7}


def mixed(count: int) -> list[Record]:
    """Single ticks, lists of 1 to 4 with a bad one in some, null values, and records that are neither."""
    made = []
    for n in range(count):
        value: Any = number(n)
        if n % 3 == 1:
            value = [number(10 * n + k) for k in range(1 + n % 4)]
        if n % 9 == 4:
            value.insert(1, {"x": "no"})
        raw = None if n % 8 == 6 else b"[" if n % 13 == 12 else json.dumps(value).encode()
        made.append(Record(0, 2 * n, 1_700_000_000_000 + n, b"s%d" % (n * n % 5), raw))
    return made


def served(records: list[Record], **given: Any) -> World:
    made = empty(**given)
    made.produce(records)
    made.serve(0, 0, records[-1].offset + 1)
    return made


def empty(**given: Any) -> World:
    made = world(11, input=LISTS | given)
    for log in made.logs.values():
        log.clear()
    return made


@pytest.mark.parametrize("tombstones", ["dead-letter", "skip", "forget"])
async def test_lists_and_null_values_are_clean_and_every_tick_is_counted(tombstones: str) -> None:
    made = served(mixed(80), tombstones=tombstones)
    report = await made.verify(strict=True)
    assert report.is_clean, report
    assert report.counts == {}
    nulls = sum(r.value is None for r in mixed(80))
    said, letters = len(made.logs[OUTPUT, 0]), len(made.logs[DEAD, 0])
    assert (report.total("checked"), report.total("letters")) == (said, letters)
    codes = [facts(r)["__streamrnn.errors.code"] for r in made.logs[DEAD, 0]]
    assert codes.count(b"null") == (nulls if tombstones == "dead-letter" else 0)
    assert {b"bad_type", b"undecodable"} <= set(codes)
    assert any(facts(r).get("src-index") == b"2" for r in made.logs[OUTPUT, 0])


async def test_an_end_that_was_not_followed_makes_other_predictions_and_is_found() -> None:
    """As a service would publish that took the null values for nothing."""
    records = mixed(80)
    followed, skipped = served(records, tombstones="forget"), served(records, tombstones="skip")
    followed.logs[OUTPUT, 0] = skipped.logs[OUTPUT, 0]
    report = await followed.verify()
    assert set(report.faults) == {"differing"}


async def test_a_tick_of_a_list_that_is_missing_is_named_by_its_index() -> None:
    made = served(mixed(40))
    log = made.logs[OUTPUT, 0]
    at = next(n for n, r in enumerate(log) if facts(r).get("src-index") == b"1")
    gone = log.pop(at)
    fault = await only(made, "missing")
    assert (fault.source_offset, fault.index) == (int(facts(gone)["src-offset"]), 1)


async def test_ticks_of_a_list_in_the_wrong_order_or_doubled_or_of_no_such_index_are_found() -> None:
    made = served(mixed(40))
    log = made.logs[OUTPUT, 0]
    at = next(n for n, r in enumerate(log) if facts(r).get("src-index") == b"1")
    log[at - 1], log[at] = log[at], log[at - 1]
    made.renumber(OUTPUT)
    assert (await only(made, "reordered")).index == 1
    made = served(mixed(40))
    log = made.logs[OUTPUT, 0]
    log.append(log[at]._replace(offset=log[-1].offset + 1))
    assert (await only(made, "doubled", strict=True)).index == 1
    headers = [(k, b"77" if k == "src-index" else v) for k, v in log[at].headers]
    log[-1] = log[-1]._replace(headers=headers)
    assert (await only(made, "unexpected")).index == 77
    log[-1] = log[-1]._replace(headers=[(k, b"x" if k == "src-index" else v) for k, v in headers])
    assert (await only(made, "unexpected")).source_offset is None


async def test_a_prediction_or_a_dead_letter_for_a_null_value_that_was_followed_is_too_much() -> None:
    made = served(mixed(40), tombstones="forget")
    null = next(r for r in made.logs[INPUT, 0] if r.value is None)
    one = made.logs[OUTPUT, 0][0]
    headers = [(k, b"%d" % null.offset if k == "src-offset" else v) for k, v in one.headers]
    made.logs[OUTPUT, 0].append(one._replace(offset=1000, headers=headers))
    assert (await only(made, "unexpected")).source_offset == null.offset
    del made.logs[OUTPUT, 0][-1]
    made.refuse(0, null.offset, "decode", "null")
    assert (await only(made, "letter_unexpected")).source_offset == null.offset


async def test_a_dead_letter_of_one_tick_of_a_list_is_asked_for_and_may_be_no_other() -> None:
    made = served(mixed(40))
    log = made.logs[DEAD, 0]
    at = next(n for n, r in enumerate(log) if facts(r).get("__streamrnn.errors.index"))
    letter = log.pop(at)
    fault = await only(made, "letter_missing")
    assert (fault.source_offset, fault.index) == (int(facts(letter)["__streamrnn.errors.offset"]), 1)
    log.insert(at, letter._replace(value=b"{}"))
    assert (await only(made, "letter_differing")).index == 1


async def test_where_an_earlier_model_served_every_tick_of_a_list_is_looked_for_or_the_list_as_a_whole() -> None:
    made, other = empty(tombstones="skip"), make_model(2, 9)
    made.produce(mixed(60))
    made.serve(0, 0, 60, model=other)
    made.serve(0, 60, 119, since=0)
    report = await made.verify()
    assert report.is_clean, report
    assert report.total("not_recomputed") > 20
    log = made.logs[OUTPUT, 0]
    at = next(n for n, r in enumerate(log) if facts(r).get("src-index") == b"1")
    offset = int(facts(log[at])["src-offset"])
    log[:] = [r for r in log if int(facts(r)["src-offset"]) != offset or facts(r).get("src-index") != b"1"]
    assert (await only(made, "missing")).index == 1
    log[:] = [r for r in log if int(facts(r)["src-offset"]) != offset]
    made.refuse(0, offset, "decode", "not_an_object")
    assert (await made.verify()).is_clean
