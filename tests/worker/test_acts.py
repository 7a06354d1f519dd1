"""Lists of ticks and null values through the worker: exactly once, whatever breaks, and nothing for an end."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from streamrnn.codecs import Decoder
from streamrnn.errors import BrokerUnavailable
from streamrnn.ticks import NO_INDEX, Place, Record

from .conftest import POISON, SPEC, MakeWorld, World, make_engine
from .fakes import published

NOW = 1_700_000_000_000
LISTS = {"records": "list", "tombstones": "forget"}
EXACT = {"delivery": {"guarantee": "exactly_once", "commit_interval_ms": 0}, "input": LISTS}


def acts(count: int, seed: int) -> list[Record]:
    """Ticks, lists with a bad or poisonous tick in some, and null values, of five streams."""
    rng, made = np.random.default_rng(seed), []
    for n in range(count):
        key, kind = b"s%d" % rng.integers(5), rng.random()
        values = [{"time": NOW + 10 * n + k, "x": 1.0 + float(rng.integers(5))} for k in range(rng.integers(1, 5))]
        if kind < 0.2:
            values[0]["x"] = POISON if kind < 0.1 else None
            values[-1] |= {} if kind < 0.15 else {"x": "no"}  # type: ignore[dict-item]
        raw = None if kind > 0.8 else json.dumps(values if kind < 0.6 else values[0]).encode()
        made.append(Record(0, n, 1_000 + n, key, raw))
    return made


def oracle(records: Iterable[Record]) -> dict[Place, tuple[float, int]]:
    """One record after the other, by a decoder and an engine that serve nobody else: prediction and steps."""
    engine, decoder = make_engine(), Decoder(SPEC, records="list", tombstones="forget")
    said: dict[Place, tuple[float, int]] = {}
    for record in records:
        if record.value is None:
            walk = engine.walk(100)
            while walk.go_on(100):
                pass
            for partition, stream, _ in walk.found:
                if stream == record.key:
                    rows = {s: _row(engine, s) for _, s, _ in walk.found if s != stream}
                    engine.drop(partition)
                    for kept in rows.values():
                        engine.load(partition, kept)
            continue
        step = engine.step(decoder.decode([record])[0], warm=True)
        for row, place in enumerate(step.ticks.places(np.arange(len(step.ok)))):
            if step.ok[row]:
                said[place] = float(step.values[row, 0, 0, 0]), int(step.steps[row])
    return said


def _row(engine, stream: bytes):
    rows = engine.capture(0, True).take(100)
    return rows.take(np.array([s == stream for s in rows.streams]))


def said_of(w: World) -> list[tuple[Place, tuple[float, int]]]:
    records = published(w.journal, w.settings.output.topic)
    values = [json.loads(r.value or b"") for r in records]
    found = [(float(np.float32(v["prediction"]["x"][0])), v["state"]["steps"]) for v in values]
    return [(r.place or (0, 0, 0), one) for r, one in zip(records, found, strict=True)]


def letters_of(w: World) -> list[tuple[Place, str, bytes | None]]:
    records = published(w.journal, w.settings.dead_letter_topic)
    codes = [dict(r.headers)["__streamrnn.errors.code"].decode() for r in records]
    return [(r.place or (0, 0, 0), code, r.value) for r, code in zip(records, codes, strict=True)]


def is_through(w: World) -> bool:
    return w.source.offsets == {0: len(w.source.ticks[0])}


def check(w: World, records: list[Record]) -> None:
    expected = oracle(records)
    assert len(expected) > len(records) // 2
    assert max(steps for _, steps in expected.values()) > 5
    assert said_of(w) == sorted(expected.items())
    accounted = {place for place, *_ in letters_of(w)} | expected.keys()
    for record in records:
        value = None if record.value is None else json.loads(record.value)
        places = {(0, record.offset, k) for k in range(len(value))} if isinstance(value, list) else set()
        places |= {(0, record.offset, NO_INDEX)} if isinstance(value, dict) else set()
        assert {place for place in accounted if place[1] == record.offset} == places


@pytest.mark.parametrize("seed", range(3))
async def test_every_tick_of_a_list_is_answered_once_and_an_end_by_nothing_though_intervals_fail(
    world: MakeWorld, seed: int
) -> None:
    records = acts(120, seed)
    w = world({0: records}, poll=7, **EXACT)
    w.sink.errors.extend([None, BrokerUnavailable("away"), None, None, BrokerUnavailable("away"), None] * 4)
    async with w.serving():
        await w.until(lambda: is_through(w))
    check(w, records)
    text = w.metrics.text().decode()
    nulls = sum(r.value is None for r in records)
    assert f'streamrnn_tombstones_total{{policy="forget"}} {float(nulls)}' in text


@pytest.mark.parametrize("seed", range(3))
async def test_a_worker_that_goes_on_from_snapshots_knows_who_has_ended(
    world: MakeWorld, tmp_path: Path, seed: int
) -> None:
    records = acts(240, seed)
    kept = EXACT | {
        "snapshots": {"url": str(tmp_path), "interval_records": 5},
        "engine": {"max_streams": 1, "max_parked": 1},
    }
    w: World | None = None
    for stop in (60, 61, 140, 240):
        w = world({0: records[:stop]}, poll=5, after=w, **kept)
        async with w.crashing():
            await w.until(lambda w=w: is_through(w))
    assert w is not None
    check(w, records)


async def test_one_tick_of_a_list_that_the_broker_refuses_is_a_dead_letter_and_the_others_are_published(
    world: MakeWorld,
) -> None:
    values = [{"time": NOW + n, "x": 1.0 + n} for n in range(4)]
    whole = Record(0, 0, 1_000, b"s", json.dumps(values).encode())
    w = world({0: [whole]}, **EXACT)
    w.sink.refuses = lambda topic, r: topic == "predictions" and dict(r.headers)["src-index"] == b"2"
    async with w.serving():
        await w.until(lambda: is_through(w))
    assert [place for place, _ in said_of(w)] == [(0, 0, 0), (0, 0, 1), (0, 0, 3)]
    assert letters_of(w) == [((0, 0, 2), "refused", json.dumps(values[2]).encode())]


async def test_null_values_may_be_skipped(world: MakeWorld) -> None:
    records = acts(60, 4)
    w = world({0: records}, input={"records": "list", "tombstones": "skip"})
    async with w.serving():
        await w.until(lambda: is_through(w))
    places = {place[1] for place, *_ in (*said_of(w), *letters_of(w))}
    assert places == {r.offset for r in records if r.value is not None}
    assert 'streamrnn_tombstones_total{policy="skip"}' in w.metrics.text().decode()


async def test_batches_grow_smaller_where_records_hold_many_ticks(world: MakeWorld) -> None:
    values = [{"time": NOW + n, "x": 1.0} for n in range(50)]
    records = [Record(0, n, 1_000 + n, b"s", json.dumps(values).encode()) for n in range(40)]
    w = world({0: records}, poll=10, input={"records": "list", "max_poll_records": 100})
    sizes: list[int] = []
    step = w.engine.step
    w.engine.step = lambda ticks, **how: (sizes.append(len(ticks)), step(ticks, **how))[1]  # type: ignore[method-assign]
    async with w.serving():
        await w.until(lambda: is_through(w))
    assert (sizes[0], max(sizes[1:])) == (500, 100)
