"""What a verification shows: progress on a terminal or in lines, then the report. Keys and values are shown, never
obeyed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from streamrnn.process.terminal import plain
from streamrnn.verifying.partition_check import VerifyProgress, Watch
from streamrnn.verifying.report import KINDS, Fault, PartitionReport, VerifyReport

LINE_S = 5.0
COLUMNS = {
    "records": "ticks",
    "checked": "checked",
    "letters": "letters",
    "not_recomputed": "older",
    "ahead": "ahead",
}
"""What is counted of a partition, and what it is called above the numbers."""


@contextmanager
def progress(console: Console) -> Iterator[Watch]:
    """A bar on a terminal, else a line every few seconds."""
    if not console.is_terminal:
        yield _Lines(console).show
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(20), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda at: bar.update(task, description=_where(at), completed=at.done, total=max(1, at.total))


class _Lines:
    """Progress for a pipe."""

    def __init__(self, console: Console) -> None:
        self._console, self._said_s = console, time.monotonic()

    def show(self, at: VerifyProgress) -> None:
        if time.monotonic() - self._said_s >= LINE_S:
            self._said_s = time.monotonic()
            _say(self._console, f"{_where(at)}: {at.done:,} of {at.total:,} offsets")


def _where(at: VerifyProgress) -> str:
    return plain(f"partition {at.partition}, {at.doing}")


def print_report(report: VerifyReport, console: Console) -> None:
    """Numbers by partition, what could not be checked, faults with examples, and the verdict."""
    console.print(_table(report))
    for one in report.partitions:
        for note in one.notes:
            _say(console, f"partition {one.partition}: {note}")
        if one.unchecked:
            _say(console, f"partition {one.partition}: NOT RECOMPUTED: {one.unchecked}")
    for kind, count in report.counts.items():
        _say(console, f"{KINDS[kind]}: {count:,}{'' if kind in report.faults else ' (no fault: at least once)'}")
        for one in report.partitions:
            for fault in one.examples:
                if fault.kind == kind:
                    _say(console, f"  {_example(fault)}")
    _say(console, _verdict(report))


def _table(report: VerifyReport) -> Table:
    """Ten columns that fit 80 characters."""
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("part", "since", "from", "committed", *COLUMNS.values(), "faults"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in report.partitions:
        table.add_row(*map(str, _cells(one, report)))
    if len(report.partitions) > 1:
        totals = [f"{report.total(name):,}" for name in COLUMNS]
        table.add_row("all", "", "", "", *totals, f"{sum(report.faults.values()):,}")
    return table


def _cells(one: PartitionReport, report: VerifyReport) -> list[str]:
    faults = sum(count for kind, count in one.counts.items() if kind in report.faults)
    numbers = [f"{getattr(one, name):,}" for name in COLUMNS]
    return [str(n) for n in (one.partition, one.since, one.served_from, one.committed)] + [*numbers, f"{faults:,}"]


def _example(fault: Fault) -> str:
    place = f"partition {fault.partition}"
    place += "" if fault.source_offset is None else f", source offset {fault.source_offset}"
    place += "" if fault.index is None else f", tick {fault.index} of its list"
    place += "" if fault.output_offset is None else f", found at offset {fault.output_offset}"
    place += f", stream {fault.stream}" if fault.stream else ""
    return f"{place}: expected {fault.expected}; found {fault.found}"


def _verdict(report: VerifyReport) -> str:
    ticks = report.total("ticks")
    rate = f"{ticks:,} ticks in {report.seconds:,.1f} s, {ticks / max(report.seconds, 1e-9):,.0f} ticks/s"
    terms = f"{report.model}, {report.guarantee}"
    if report.is_clean:
        return f"clean: {report.total('checked'):,} predictions are as recomputed ({terms}; {rate})"
    faults = sum(report.faults.values())
    blind = [str(one.partition) for one in report.partitions if one.unchecked]
    rest = f"; not recomputed: partition {', '.join(blind)}" if blind else ""
    return f"NOT CLEAN: {faults:,} faults{rest} ({terms}; {rate})"


def _say(console: Console, text: str) -> None:
    console.print(Text(plain(text)), soft_wrap=True)
