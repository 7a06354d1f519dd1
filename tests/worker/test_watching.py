"""What is said of features that most ticks miss, and of event times far from their records'; shares by hand."""

import json
import logging

import numpy as np
import pytest

from streamrnn.codecs.formats.known import OBJECT_FORMATS
from streamrnn.codecs.second_look import names_in, resembling
from streamrnn.config.input import InputSettings
from streamrnn.ticks import Record, TickBatch, far_times, tallied
from streamrnn.worker.watching import InputWatch

from .conftest import MakeWorld, ticks

DAY_MS = 86_400_000


def batch(n: int, missing: int, time_ms: int = 0, arrival_ms: int = 0) -> tuple[TickBatch, list[Record]]:
    """n ticks of which the last `missing` lack temp and have Temp."""
    values = np.ones((n, 2), np.float32)
    values[n - missing :, 0] = np.nan
    offset, times, arrivals = np.arange(n), np.full(n, time_ms), np.full(n, arrival_ms)
    made = TickBatch(np.zeros(n, np.int32), offset, times, arrivals, [b"s"] * n, values, times)
    value = json.dumps({"load": 1.0, "Temp": 2.0}).encode()
    return tallied(made), [Record(0, i, arrival_ms, b"s", value) for i in range(n)]


def test_a_feature_that_most_ticks_miss_is_said_once_a_minute_with_what_it_resembles(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [0.0]
    given = InputSettings(topic="in")
    watch = InputWatch(("temp", "load"), given, lambda record, index: record, lambda: now[0])
    caplog.set_level(logging.INFO)
    watch.note(*batch(19, 19))
    assert (caplog.messages, watch.status()) == ([], {}), "too few to judge"
    watch.note(*batch(19, 0))
    assert caplog.messages == [], "19 of 38 are half, not more"
    watch.note(*batch(12, 11))
    said = "temp is missing in 60 % of the newest 50 ticks; records have Temp"
    assert caplog.messages == [said]
    assert watch.status() == {"temp": {"share": 0.6, "resembles": "Temp"}}
    watch.note(*batch(50, 30))
    assert caplog.messages == [said], "not again within a minute"
    now[0] = 60.0
    watch.note(*batch(100, 60))
    assert caplog.messages[1:] == ["temp is missing in 60 % of the newest 200 ticks; records have Temp"]
    watch.note(*batch(1000, 0))
    assert caplog.messages[2:] == ["temp is no longer missing in most ticks"]
    assert watch.status() == {}


def test_a_share_that_swings_about_a_half_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    watch = InputWatch(("temp", "load"), InputSettings(topic="in"), lambda record, index: record, lambda: 0.0)
    caplog.set_level(logging.INFO)
    for missing in (60, 30, 70, 20, 80):  # of 100 each: 60, 45, 53, 45 and 52 % of all so far
        watch.note(*batch(100, missing))
        assert len(caplog.messages) == 1
        assert list(watch.status()) == ["temp"]


def test_times_a_day_from_the_records_are_far_and_said_once_an_hour(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    watch = InputWatch(("temp", "load"), InputSettings(topic="in"), lambda record, index: record, lambda: now[0])
    for time_ms, arrival_ms, wanted in (
        (DAY_MS, 0, False),
        (DAY_MS + 1, 0, True),
        (0, DAY_MS, False),
        (0, DAY_MS + 1, True),
        (5 * DAY_MS, -1, False),
    ):
        found = batch(2, 0, time_ms, arrival_ms)
        assert far_times(found[0]).tolist() == [wanted] * 2
        watch.note(*found)
    assert len(caplog.messages) == 1
    assert "partition 0 offset 1: 86400001 ms, its record's 0 ms" in caplog.messages[0]
    now[0] = 3600.0
    watch.note(*batch(1, 0, 0, 2 * DAY_MS))
    assert len(caplog.messages) == 2


@pytest.mark.parametrize(("unit", "level"), [("auto", logging.WARNING), ("ms", logging.INFO)])
def test_far_times_of_a_unit_that_was_named_are_no_warning(
    caplog: pytest.LogCaptureFixture, unit: str, level: int
) -> None:
    caplog.set_level(logging.INFO)
    given = InputSettings(topic="in", time_unit=unit)  # type: ignore[arg-type]
    watch = InputWatch(("temp", "load"), given, lambda record, index: record, lambda: 0.0)
    watch.note(*batch(1, 0, 0, 2 * DAY_MS))
    assert [record.levelno for record in caplog.records] == [level]


@pytest.mark.parametrize(
    ("name", "names", "meant"),
    [
        ("temp", ["load", "Temp"], "Temp"),
        ("air_temp", ["airTemp"], "airTemp"),
        ("temp", ["fields.temp"], "fields.temp"),
        ("temperature", ["temprature", "load"], "temprature"),
        ("temp", ["pressure"], None),
        ("temp", [], None),
    ],
)
def test_a_name_resembles_another_but_for_case_punctuation_place_or_a_slip(
    name: str, names: list[str], meant: str | None
) -> None:
    assert resembling(name, names) == meant


def test_the_names_of_a_record_are_dotted_where_deeper_and_none_of_a_broken_one() -> None:
    assert names_in(b'{"a":1,"b":{"c":2}}', OBJECT_FORMATS["json"]) == ["a", "b.c"]
    assert names_in(b'{"a":1,"b":{"c":2}}', OBJECT_FORMATS["json"], ("b",)) == ["c"]
    assert names_in(b'{"a":', OBJECT_FORMATS["json"]) == []


async def test_a_worker_counts_says_and_shows_what_ticks_miss(
    world: MakeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """One tick in ten has x, and a time of 2023 in a record of 1970; the others have the record's time."""
    records = [r if n % 10 == 0 else r._replace(value=b'{"X":1,"x":null}') for n, r in enumerate(ticks(0, 40))]
    w = world({0: records})
    w.metrics.model(w.engine.spec, "cpu")
    with caplog.at_level(logging.WARNING):
        async with w.serving():
            await w.until(lambda: w.source.offsets == {0: 40})
    assert b'streamrnn_features_missing_total{feature="x"} 36.0' in w.metrics.text()
    assert b"streamrnn_times_far_total 4.0" in w.metrics.text()
    assert w.worker.lineup.main().watch.status()["x"] == {"share": 0.9, "resembles": "X"}
    assert sum("x is missing in" in m and "records have X" in m for m in caplog.messages) == 1
