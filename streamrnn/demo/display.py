"""The demo in a terminal: a live table, or plain lines for a pipe, and the summary. Knows no Kafka.

Curves are drawn in eighths of a character's height.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from streamrnn.demo.scoreboard import Scoreboard, Stream
from streamrnn.process.terminal import counted

BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Glance:
    """The service at a moment: ticks played of all, its own counts, latencies in seconds (NaN before the first)."""

    played: int
    of: int
    seconds: float
    ticks_per_s: float
    p50_s: float
    p99_s: float
    dead_letters: int


class LiveDisplay:
    """Shows glances; `with` it. A terminal gets a table that changes in place, all else a line a second."""

    def __init__(self, console: Console, is_live: bool, units: dict[str, str], url: str) -> None:
        self._console, self._units, self._url = console, units, url
        self._live = Live(console=console, auto_refresh=False) if is_live else None

    def __enter__(self) -> "LiveDisplay":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.update("", refresh=True)
            self._live.stop()

    @property
    def pause_s(self) -> float:
        """How long to wait between glances."""
        return 0.25 if self._live is not None else 1.0

    def show(self, glance: Glance, tally: Scoreboard) -> None:
        """The state of things now."""
        if self._live is None:
            self._console.print(f"{_words(glance)}; {counted(len(tally.streams), 'stream')}", soft_wrap=True)
        else:
            self._live.update(self._table(glance, tally), refresh=True)

    def _table(self, glance: Glance, tally: Scoreboard) -> RenderableType:
        """Without lines and with short words, so that a terminal of 80 columns shows every number whole."""
        caption = Text(f"ratio: MSE / that of persistence; {self._url}")
        table = Table(title=Text(_words(glance)), title_style="bold", caption=caption, box=None)
        _add_columns(table, "stream", "", "ticks", "actual", "predicted", "next", "lately", "ratio")
        for name, stream in tally.streams.items():
            numbers = [_number(v) for v in (stream.actual, stream.expected, stream.predicted)]
            lately = (curve(stream.curve), _verdict(stream))
            table.add_row(name, self._units.get(name, ""), f"{stream.ticks:,}", *numbers, *lately)
        return table

    def summary(self, glance: Glance, tally: Scoreboard, verdict: str) -> None:
        """What came of it, stream by stream."""
        table = Table(title="error one tick ahead, against persistence (the last value again)", title_style="bold")
        _add_columns(table, "stream", "", "ticks", "RMSE", "persistence", "MSE / persistence")
        for name, stream in tally.streams.items():
            errors = (_number(stream.rmse), _number(stream.persistence_rmse))
            table.add_row(name, self._units.get(name, ""), f"{stream.ticks:,}", *errors, _verdict(stream))
        self._console.print(Group(table, Text(_words(glance)), Text(verdict)), soft_wrap=True)


def _add_columns(table: Table, *names: str) -> None:
    for name in names:
        table.add_column(name, justify="left" if name in ("stream", "", "lately") else "right", no_wrap=True)


def _words(glance: Glance) -> str:
    p50_ms, p99_ms = glance.p50_s * 1e3, glance.p99_s * 1e3
    late = "" if math.isnan(p50_ms) else f", latency p50 {p50_ms:.1f} p99 {p99_ms:.1f} ms"
    dead = f", {glance.dead_letters} dead letters" if glance.dead_letters else ""
    done = f"{glance.played:,} of {glance.of:,} ticks in {glance.seconds:.0f} s"
    return f"{done}, {glance.ticks_per_s:,.0f} ticks/s{late}{dead}"


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _verdict(stream: Stream) -> Text:
    """The ratio, green where the model is better by more than a percent and red where it is worse by as much."""
    if math.isnan(stream.ratio):
        return Text("")
    style = "green" if stream.ratio < 0.99 else "red" if stream.ratio > 1.01 else ""
    return Text(f"{stream.ratio:.3f}", style)


def curve(values: Iterable[float]) -> str:
    """The values as a row of bars, from the least to the greatest; known values only."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return ""
    low, high = min(known), max(known)
    if low == high:
        return BARS[3] * len(known)
    return "".join(BARS[min(len(BARS) - 1, int((v - low) / (high - low) * len(BARS)))] for v in known)
