"""What a retrain job shows: where it is, the loss of each epoch, the scores and the verdict. Knows no model."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.box import HEAVY_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from streamrnn.process.terminal import plain
from streamrnn.train.fit import Epoch, Watch
from streamrnn.train.retrain_report import RetrainReport, Score
from streamrnn.train.search import Trial

MOST_TARGETS = 20
EXPLODED, VANISHED = 100.0, 1e-6
"""A norm so many times what it is clipped to; a mean norm below which nothing is learned."""


class Screen:
    """Lines for a pipe, a bar and tables with frames for a terminal."""

    def __init__(self, console: Console, has_bar: bool) -> None:
        self._console, self._has_bar = console, has_bar and console.is_terminal

    def say(self, text: str) -> None:
        """A line; nothing in it is obeyed."""
        self._console.print(Text(plain(text)), soft_wrap=True)

    @contextmanager
    def fitting(self, epochs: int) -> Iterator[Watch]:
        """A watch for the fit."""
        if not self._has_bar:
            yield lambda epoch: self.say(f"epoch {epoch.number}/{epochs}: {_losses(epoch)}")
            return
        columns = (TextColumn("{task.description}"), BarColumn(20), TextColumn("{task.fields[loss]}"))
        with Progress(*columns, TimeRemainingColumn(), console=self._console) as bar:
            task = bar.add_task("training", total=epochs, loss="")
            yield lambda epoch: bar.update(task, completed=epoch.number, loss=_short(epoch))

    def gradients(self, epochs: list[Epoch], clip: float) -> None:
        """Say where gradients exploded or vanished; nothing where they did neither."""
        exploded = [epoch.number for epoch in epochs if epoch.largest_gradient_norm > EXPLODED * clip]
        vanished = [epoch.number for epoch in epochs if epoch.gradient_norm < VANISHED]
        if exploded:
            worst = max(epoch.largest_gradient_norm for epoch in epochs)
            where = f"gradients exploded in epochs {_ranges(exploded)}"
            self.say(f"{where}: norm up to {worst:.3g}, clipped to {clip:g}")
        if vanished:
            self.say(f"gradients vanished in epochs {_ranges(vanished)}: mean norm below {VANISHED:g}")

    def trial(self, trial: Trial) -> None:
        """A fit of a search has ended."""
        shown = f"{trial.cell} {trial.hidden} x {trial.layers}, {trial.lags} lags, chunk {trial.chunk}"
        shown += f", dropout {trial.dropout}, learning rate {trial.learning_rate:.2g}"
        loss = "" if trial.validation_loss is None else f", validation {trial.validation_loss:.4g}"
        self.say(f"trial {trial.number}: {shown}: {trial.outcome}{loss} {trial.reason}".rstrip())

    def scores(self, report: RetrainReport) -> None:
        """Everybody's errors on the test part."""
        table = self._table("test part, standardised by the training part's deviation")
        for name in ("", "MSE", "RMSE", "MAE", "MSE / persistence"):
            table.add_column(name, justify="left" if not name else "right")
        persistence = next(score for score in report.scores if score.kind == "persistence")
        for score in report.scores:
            numbers = [score.overall, score.overall**0.5, score.overall_mae]
            if persistence.overall:
                numbers.append(score.overall / persistence.overall)
            table.add_row(Text(plain(score.name)), *(f"{number:.4g}" for number in numbers))
        self._console.print(table)
        if len(report.spec.targets) > 1:
            table = self._table("MSE by target, over all horizons")
            _fill_by_target(table, report.scores, report.spec.targets)
            self._console.print(table)

    def _table(self, title: str) -> Table:
        """Without a frame in a pipe: there its lines are read one by one, as by `GET /retrain`."""
        return Table(title=title, title_justify="left", box=HEAVY_HEAD if self._console.is_terminal else None)


def _fill_by_target(table: Table, scores: list[Score], targets: tuple[str, ...]) -> None:
    """A row for each target, a column for each forecaster by its kind: names are longer than numbers."""
    table.add_column("")
    for score in scores:
        table.add_column(score.kind, justify="right")
    columns = [list(zip(*score.std_mse, strict=True)) for score in scores]
    for number, target in enumerate(targets[:MOST_TARGETS]):
        cells = [[cell for cell in column[number] if cell is not None] for column in columns]
        table.add_row(Text(plain(target)), *(f"{sum(c) / len(c):.4g}" if c else "" for c in cells))
    if len(targets) > MOST_TARGETS:
        table.add_row(f"and {len(targets) - MOST_TARGETS} more")


def _ranges(numbers: list[int]) -> str:
    """1, 2, 3, 7 as 1-3, 7."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def _short(epoch: Epoch) -> str:
    return f"loss {epoch.train_loss:.3g}, validation {epoch.validation_loss:.3g}"


def _losses(epoch: Epoch) -> str:
    losses = f"loss {epoch.train_loss:.4g}, validation {epoch.validation_loss:.4g}"
    return f"{losses}, gradient norm {epoch.gradient_norm:.3g} (largest {epoch.largest_gradient_norm:.3g})"
