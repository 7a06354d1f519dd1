"""Champion and challenger side by side in the terminal. What workers report is shown, never obeyed."""

import json

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamrnn.models.comparison import LiveComparison
from streamrnn.process.terminal import counted, moment, plain
from streamrnn.registry import Compared

SURE = 0.05
"""Chance below which a difference is coloured."""
LEAST_SHOWN = 0.001


def print_comparisons_json(found: list[LiveComparison]) -> None:
    """One line of JSON in ASCII: nothing in it is obeyed by a terminal."""
    print(json.dumps(msgspec.to_builtins(found)))


def print_comparisons(found: list[LiveComparison], name: str) -> None:
    """A table for each pair: the live error of both by target and horizon, and their difference with its error."""
    console = Console(highlight=False)
    if not found:
        console.print(
            Text(plain(f"no worker compares two models of {name} now; see streamrnn models status {name}"))
        )
    for pair in found:
        console.print(_table(pair))
        for line in _words(pair):
            console.print(Text(plain(line)), soft_wrap=True)


def _table(pair: LiveComparison) -> Table:
    table = Table("target")
    for name in ("ahead", "truths", plain(pair.champion), plain(pair.challenger), "difference", "p"):
        table.add_column(Text(name), justify="right")
    for each in pair.targets:
        table.add_row(Text(plain(each.target)), *_cells(each))
    return table


def _cells(each: Compared) -> tuple[Text, ...]:
    figures = (_figure(each.champion_mse), _figure(each.challenger_mse))
    chance = "" if each.p is None else "< 0.001" if each.p < LEAST_SHOWN else f"{each.p:.3f}"
    return (
        Text(str(each.horizon)),
        Text(f"{each.truths:,}"),
        *(Text(figure) for figure in figures),
        Text(_difference(each), _style(each.p)),
        Text(chance),
    )


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _difference(each: Compared) -> str:
    if each.difference is None:
        return ""
    return f"{each.difference:+.2g}" + ("" if each.error is None else f" ± {each.error:.1g}")


def _style(p: float | None) -> str:
    """Green where the challenger is better by more than chance, red where the champion is."""
    if p is None:
        return ""
    return "green" if p < SURE else "red" if p > 1 - SURE else ""


def _words(pair: LiveComparison) -> tuple[str, str]:
    share = "" if pair.share_better is None else f", better on {100 * pair.share_better:.0f} % of the streams"
    since = f"since {moment(pair.since_ms)[:16]} UTC on {counted(pair.workers, 'worker')}"
    return (
        f"{pair.challenger} beside {pair.champion} {since}{share}",
        f"mean squared errors; the difference is below 0 where {pair.challenger} is better; p: that by chance",
    )
