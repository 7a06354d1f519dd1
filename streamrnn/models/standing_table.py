"""How far workers are, in the terminal: once, or anew again and again. What they report is shown, never obeyed."""

import json
import time
from collections.abc import Callable

import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from streamrnn.errors import BundleError
from streamrnn.models.standing import GroupStanding, PartitionRow
from streamrnn.process.terminal import moment, plain

STYLES = {"ready": "green", "failing": "red"}
MINUTE_S, HOUR_S = 60, 3_600
WORKER_WIDTH = 24


def print_standing(standing: GroupStanding) -> None:
    """A table of partitions, below it what was refused or could not be read."""
    Console(highlight=False).print(_shown(standing), soft_wrap=True)


def print_standing_json(standing: GroupStanding) -> None:
    """One line of JSON in ASCII: nothing in it is obeyed by a terminal."""
    print(json.dumps(msgspec.to_builtins(standing)), flush=True)


def watch_standing(look: Callable[[], GroupStanding], pause_s: float, as_json: bool) -> None:
    """Show it anew after each pause, for ever: in its place on a terminal, else one after the other.

    A registry that is away is said, and asked again.
    """
    console = Console(highlight=False)
    if as_json:
        while True:
            print_standing_json(look())
            time.sleep(pause_s)
    with Live(console=console, auto_refresh=False) if console.is_terminal else _Repeated(console) as live:
        while True:
            try:
                shown: RenderableType = _shown(look())
            except BundleError as error:
                shown = Text(plain(error))
            live.update(shown, refresh=True)
            time.sleep(pause_s)


class _Repeated:
    """In the place of a live view where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> "_Repeated":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to take down."""

    def update(self, shown: RenderableType, refresh: bool) -> None:
        self._console.print(shown, soft_wrap=True)


def _shown(standing: GroupStanding) -> Group:
    """The summary comes first: of a table that is longer than the terminal, the end is cut off."""
    head = (Text(plain(_wanted(standing))), Text(plain(standing.summary), "bold"))
    said = [f"{each.worker} refused {each.label}: {each.why}" for each in standing.refusals]
    shown = {row.worker for row in standing.partitions}
    said += [f"{who}: silent for {duration(age_s)}" for who, age_s in standing.silent.items() if who not in shown]
    lines = [Text(plain(line)) for line in (*said, *standing.problems)]
    return Group(*head, *([_table(standing)] if standing.partitions else ()), *lines)


def _wanted(standing: GroupStanding) -> str:
    champion = standing.champion or f"{standing.name} has no champion"
    if standing.challenger is None or standing.staged_ms is None:
        return champion
    return f"{champion} and beside it {standing.challenger}, staged {moment(standing.staged_ms)[:16]} UTC"


def _table(standing: GroupStanding) -> Table:
    """One row for each partition; its worker stands in the first of the worker's rows."""
    table = Table()
    table.add_column("worker", overflow="ellipsis", no_wrap=True, max_width=WORKER_WIDTH)
    table.add_column("partition", justify="right")
    table.add_column("speaks")
    table.add_column("beside", overflow="fold")
    said: tuple[str, ...] = ()
    for row in standing.partitions:
        who = (row.group, row.topic, row.worker)
        worker = plain(row.worker) if who != said else ""
        table.add_row(
            Text(worker),
            str(row.partition),
            Text(_version(row.speaker, standing.name)),
            _beside(row, standing.name),
        )
        said = who
    return table


def _beside(row: PartitionRow, name: str) -> Text:
    """The version of the line beside, and how far that is: 8 hydrating, 1,200 to go, 95 s left."""
    if row.silent_s is not None:
        return Text(f"silent for {duration(row.silent_s)}", "red")
    if row.state is None or row.beside is None:
        return Text("")
    lag = f" by {row.lag:,}" if row.state == "lagging" else f", {row.lag:,} to go" if row.lag else ""
    left = "" if row.left_s is None else f", {duration(row.left_s)} left"
    reason = f": {plain(row.reason)}" if row.reason else ""
    return Text(f"{_version(row.beside, name)} {row.state}{lag}{left}{reason}", STYLES.get(row.state, ""))


def _version(label: str, name: str) -> str:
    """A label without the name that all share."""
    return plain(label.removeprefix(f"{name}@"))


def duration(seconds: float) -> str:
    """Seconds in the largest unit that leaves two figures."""
    seconds = max(0.0, seconds)
    if seconds < 2 * MINUTE_S:
        return f"{seconds:.0f} s"
    return f"{seconds / MINUTE_S:.0f} min" if seconds < 2 * HOUR_S else f"{seconds / HOUR_S:,.0f} h"
