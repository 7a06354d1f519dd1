"""What the demo shows: lines for a pipe, a table for a terminal, and bars."""

import io
import math
from contextlib import suppress
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from streamrnn.demo.display import BARS, Glance, LiveDisplay, curve
from streamrnn.demo.scoreboard import Scoreboard, Stream

GLANCE = Glance(
    played=12_345, of=33_467, seconds=3.4, ticks_per_s=11_165.4, p50_s=0.0179, p99_s=0.0338, dead_letters=0
)
URL = "http://127.0.0.1:8000"


def make_tally() -> Scoreboard:
    """A stream better than persistence, one worse, one as good, one with nothing yet."""
    tally = Scoreboard("value")
    for name, squared in (("blood glucose", 60.0), ("FB", 105.0), ("GOOG", 100.5)):
        stream = tally.streams[name] = Stream(ticks=20_913, scored=100, squared=squared, persistence_squared=100.0)
        stream.actual, stream.expected, stream.predicted = 1234.5678, 0.04542, 5.0
        stream.curve.extend([1.0, 2.0, 3.0] * 8)
    tally.streams["sea surface"] = Stream(ticks=1)
    return tally


def make_console(width: int, is_terminal: bool) -> Console:
    system: Literal["standard"] | None = "standard" if is_terminal else None
    file = io.StringIO()
    return Console(file=file, width=width, force_terminal=is_terminal, color_system=system, _environ={})


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def shown(glance: Glance = GLANCE, is_live: bool = False, width: int = 80) -> tuple[str, str]:
    """What stands there at a glance, and what the summary adds."""
    console = make_console(width, is_live)
    with LiveDisplay(console, is_live, {"blood glucose": "mg/dL", "FB": "$"}, URL) as screen:
        screen.show(glance, make_tally())
        line = written(console)
    before = len(written(console))
    screen.summary(glance, make_tally(), "every tick has its prediction")
    return line, written(console)[before:]


def test_a_pipe_gets_one_plain_line_a_glance() -> None:
    line, _ = shown(width=20)
    assert line == "12,345 of 33,467 ticks in 3 s, 11,165 ticks/s, latency p50 17.9 p99 33.8 ms; 4 streams\n"


def test_latencies_come_with_the_first_and_dead_letters_when_there_are_some() -> None:
    line, _ = shown(replace(GLANCE, p50_s=math.nan, p99_s=math.nan, dead_letters=3))
    assert line == "12,345 of 33,467 ticks in 3 s, 11,165 ticks/s, 3 dead letters; 4 streams\n"


def test_a_terminal_of_80_columns_gets_a_table_with_every_number_whole() -> None:
    table, _ = shown(is_live=True)
    for text in (
        "blood glucose",
        "mg/dL",
        "FB",
        "GOOG",
        "sea surface",
        "20,913",
        "1,235",
        "0.04542",
        "▁▅█▁▅█",
        URL,
    ):
        assert text in table
    assert "12,345 of 33,467 ticks" in table
    assert "…" not in table


def test_the_summary_names_every_stream_in_a_terminal_of_80_columns() -> None:
    _, summary = shown()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in summary.splitlines() if "│" in line]
    assert {name: cells for name, *cells in rows} == {
        "blood glucose": ["mg/dL", "20,913", "0.7746", "1", "0.600"],
        "FB": ["$", "20,913", "1.025", "1", "1.050"],
        "GOOG": ["", "20,913", "1.002", "1", "1.005"],
        "sea surface": ["", "1", "", "", ""],
    }
    assert max(map(len, summary.splitlines())) <= 80
    assert summary.endswith("every tick has its prediction\n")


@pytest.mark.parametrize(("ratio", "colour"), [("0.600", "32"), ("1.050", "31"), ("1.005", None)])
def test_better_than_persistence_is_green_and_worse_is_red(ratio: str, colour: str | None) -> None:
    _, summary = shown(is_live=True)
    [line] = [line for line in summary.splitlines() if ratio in line]
    assert ("\x1b[" in line) == (colour is not None)
    assert colour is None or f"\x1b[{colour}m" in line


def test_the_live_table_leaves_nothing_behind() -> None:
    console = make_console(100, is_terminal=True)
    with suppress(KeyboardInterrupt), LiveDisplay(console, True, {}, URL) as screen:
        screen.show(GLANCE, make_tally())
        raise KeyboardInterrupt
    table, cleared = written(console).split(URL)
    rows = table[table.index("12,345") :].count("\n")
    assert cleared.count("\x1b[1A\x1b[2K") == rows
    assert cleared.endswith("\x1b[?25h")


@given(st.lists(st.floats(width=32), max_size=30))
def test_a_curve_has_a_bar_for_every_known_value_and_a_higher_one_for_a_higher_value(values: list[float]) -> None:
    known = [value for value in values if math.isfinite(value)]
    bars = curve(values)
    assert len(bars) == len(known)
    assert sorted(zip(known, bars, strict=True)) == sorted(zip(sorted(known), sorted(bars), strict=True))
    if len(set(known)) > 1:
        assert (min(bars), max(bars)) == (BARS[0], BARS[-1])


@pytest.mark.parametrize(
    ("values", "bars"),
    [([], ""), ([5, 5], "▄▄"), ([0, 1, 2, 3, 4, 5, 6, 7], BARS), ([1e-9, math.nan, -1e-9], "█▁")],
)
def test_a_curve_goes_from_the_least_to_the_greatest(values: list[float], bars: str) -> None:
    assert curve(values) == bars
