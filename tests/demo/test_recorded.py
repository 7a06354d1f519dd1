"""The demo's data as it is packaged, against the standard library's csv; the feed against what a feed must be."""

import csv
import gzip
import importlib.util
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.demo.recorded import FEATURE, Playlist, Recorded, cut, load_recorded
from streamrnn.errors import ConfigError


def packaged() -> Path:
    found = importlib.util.find_spec("bokeh_sampledata")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "_data"


def rows_of(name: str) -> list[dict[str, str]]:
    with gzip.open(packaged() / name, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def ms(text: str) -> int:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def in_order(rows: list[dict[str, str]], time: str, value: str) -> list[tuple[int, np.float32]]:
    return sorted(((ms(row[time]), np.float32(row[value])) for row in rows), key=lambda tick: tick[0])


@pytest.fixture(scope="module")
def recorded() -> dict[str, Recorded]:
    return {one.stream: one for one in load_recorded()}


def test_seven_streams_hold_every_row_of_the_files_in_event_time_order(recorded: dict[str, Recorded]) -> None:
    stocks = rows_of("stocks.csv.gz")
    expected = {
        "sea surface": in_order(rows_of("sea_surface_temperature.csv.gz"), "time (UTC)", "temperature (celsius)"),
        "blood glucose": in_order(rows_of("CGM.csv.gz"), "datetime", "glucose"),
    }
    for ticker in {row["Ticker"] for row in stocks}:
        expected[ticker] = in_order([row for row in stocks if row["Ticker"] == ticker], "Date", "Adj Close")
    assert len(expected) == 7
    assert {name: len(one.values) for name, one in recorded.items()} == {n: len(e) for n, e in expected.items()}
    for name, ticks in expected.items():
        assert recorded[name].time_ms.tolist() == [time_ms for time_ms, _ in ticks], name
        np.testing.assert_array_equal(recorded[name].values, [value for _, value in ticks], name)


def test_every_value_is_one_that_a_log_can_be_taken_of(recorded: dict[str, Recorded]) -> None:
    """The demo's model sees returns: a value of 0 or below, or a missing one, would teach it nothing."""
    assert FEATURE
    for one in recorded.values():
        assert (one.values > 0).all(), one.stream
        assert one.unit


def test_without_the_package_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'streamrnn\[demo\]'"):
        load_recorded()


def made(lengths: list[int]) -> list[Recorded]:
    """Streams whose ticks are numbered, at paces of their own."""
    return [
        Recorded(f"s{n}", "", 10**n * np.arange(length), (1000 * n + np.arange(length)).astype(np.float32))
        for n, length in enumerate(lengths)
    ]


def of_stream(feed: Playlist, stream: str) -> list[tuple[int, float]]:
    rows = zip(feed.streams, feed.time_ms.tolist(), feed.values[:, 0].tolist(), strict=True)
    return [(time_ms, value) for name, time_ms, value in rows if name == stream]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.floats(0, 1))
def test_a_cut_loses_nothing_and_keeps_every_streams_order(lengths: list[int], share: float) -> None:
    streams = made(lengths)
    past, rest = cut(streams, share)
    assert len(past) + len(rest) == sum(lengths)
    for one, length in zip(streams, lengths, strict=True):
        ticks = list(zip(one.time_ms.tolist(), one.values.tolist(), strict=True))
        assert of_stream(past, one.stream) + of_stream(rest, one.stream) == ticks
        assert len(of_stream(past, one.stream)) == int(share * length)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6))
def test_wherever_a_feed_is_stopped_each_stream_has_come_as_far_as_all(lengths: list[int]) -> None:
    """To within a tick of its own and one for each of the others."""
    _, feed = cut(made(lengths), 0.0)
    count, come = Counter[str](), 0
    for name in feed.streams:
        count[name], come = count[name] + 1, come + 1
        for n, length in enumerate(lengths):
            expected = length * come / sum(lengths)
            assert abs(count[f"s{n}"] - expected) <= 1 + len(lengths) * length / sum(lengths)


def test_the_real_streams_begin_and_end_together(recorded: dict[str, Recorded]) -> None:
    past, rest = cut(list(recorded.values()), 0.6)
    for feed in (past, rest):
        first = {name: feed.streams.index(name) / len(feed) for name in recorded}
        last = {name: 1 - feed.streams[::-1].index(name) / len(feed) for name in recorded}
        assert max(first.values()) < 0.01
        assert min(last.values()) > 0.99
