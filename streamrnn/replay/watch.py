"""What a replay shows while it runs: a bar on a terminal, a line now and then in a pipe, nothing if so asked."""

import time

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

LINE_S = 5.0


class Watch:
    """Progress for a pipe: a line every few seconds. Also counts what was acknowledged."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began_s = self._said_s = time.monotonic()
        self.sent = 0

    def __enter__(self) -> "Watch":
        self._began_s = self._said_s = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to take down."""

    def count(self, ticks: int, time_ms: int, share: float) -> None:
        """So many more are acknowledged, the last of this time."""
        self.sent += ticks
        moment = np.datetime64(time_ms // 1000, "s")
        self._show(share, f"{self.rate()}, at {moment}, {share:.0%}{self._left(share)}")

    def rate(self) -> str:
        """Ticks and ticks a second."""
        return f"{self.sent:,} ticks, {self.sent / max(self.seconds(), 1e-9):,.0f} ticks/s"

    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._began_s

    def say(self, text: str) -> None:
        """A line of its own."""
        self._console.print(text, markup=False, soft_wrap=True)

    def _left(self, share: float) -> str:
        return f", {self.seconds() * (1 - share) / share:,.0f} s left" if 0 < share < 1 else ""

    def _show(self, share: float, text: str) -> None:
        if time.monotonic() - self._said_s >= LINE_S:
            self._said_s = time.monotonic()
            self.say(text)


class Bar(Watch):
    """Progress for a terminal."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._bar = Progress(BarColumn(), TextColumn("{task.description}", markup=False), console=console)
        self._task = self._bar.add_task("", total=1.0)

    def __enter__(self) -> "Bar":
        self._bar.start()
        super().__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _show(self, share: float, text: str) -> None:
        self._bar.update(self._task, completed=share, description=text)


class Quiet(Watch):
    """No progress; what needs saying is said."""

    def _show(self, share: float, text: str) -> None:
        """Not shown."""


def make_watch(has_progress: bool) -> Watch:
    console = Console(stderr=True, highlight=False)
    if not has_progress:
        return Quiet(console)
    return Bar(console) if console.is_terminal else Watch(console)
