"""Versions in the terminal. What files say is shown, never obeyed.

The error shown is the mean standardised squared error on the test part; network is cell, hidden x layers.
"""

import json

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamrnn.models.entry import Detail, Entry, Summary
from streamrnn.process.terminal import plain


def print_json(found: list[Entry] | Detail) -> None:
    """One line of JSON in ASCII: nothing in it is obeyed by a terminal."""
    print(json.dumps(msgspec.to_builtins(found)))


def print_list(found: list[Entry]) -> None:
    """A table of versions; what is wrong with some stands below it."""
    console = Console(highlight=False)
    if not found:
        console.print("no models")
        return
    table = Table("model", "role", "created (UTC)", "network", "error", "verdict")
    for entry in found:
        table.add_row(*(Text(plain(cell)) for cell in _cells(entry)))
    console.print(table)
    for entry in found:
        if entry.problem:
            _say(console, f"{entry.name}@{entry.version}: {entry.problem}")


def _cells(entry: Entry) -> tuple[str, ...]:
    label, mark = f"{entry.name}@{entry.version}", _role(entry)
    if entry.created is None:
        return label, mark, "", "", "", "damaged"
    network = f"{entry.cell} {entry.hidden} x {entry.layers}"
    verdict = {None: "", True: "promoted", False: "kept back"}[entry.promoted]
    return label, mark, entry.created[:16], network, _number(entry.test_error), verdict


def _role(found: Entry | Detail) -> str:
    return "champion" if found.champion else "challenger" if found.challenger else ""


def print_detail(found: Detail) -> None:
    """One version: what it is, how large, how good."""
    console = Console(highlight=False)
    mark = f", the {_role(found)}" if _role(found) else ""
    _say(console, f"{found.name}@{found.version}{mark}, created {found.created} by streamrnn {found.streamrnn}")
    _say(console, found.place)
    files = ", ".join(f"{name} {size:,}" for name, size in found.files.items())
    _say(console, f"{found.parameters:,} parameters; {sum(found.files.values()):,} bytes: {files}")
    table = Table("spec", "")
    for key, value in found.spec.items():
        table.add_row(key, Text(plain(msgspec.json.encode(value).decode())))
    console.print(table)
    if found.report is not None:
        _print_report(console, found.report)
    if found.problem:
        _say(console, found.problem)


def _print_report(console: Console, report: Summary) -> None:
    table = Table("contender", "kind", "error")
    for score in report.scores:
        table.add_row(Text(plain(score.name)), Text(plain(score.kind)), _number(score.overall))
    console.print(table)
    took = "" if report.seconds is None else f", trained in {report.seconds:,.0f} s"
    _say(console, f"from {report.source}{took}" if report.source else "")
    verdict = "promoted" if report.verdict.promoted else "kept back"
    _say(console, f"{verdict} (policy {report.verdict.policy}): {report.verdict.reason}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _say(console: Console, text: str) -> None:
    """A line that no width breaks; an empty one is left out."""
    if text:
        console.print(Text(plain(text)), soft_wrap=True)
