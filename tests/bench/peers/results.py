"""What the rounds measured, and the table of it. Knows no process and no broker."""

from dataclasses import dataclass, field
from statistics import median

from rich.table import Table

from streamrnn.bench.job import Measured
from tests.bench.peers.checking import Compared
from tests.bench.peers.field import FIELD, Contestant

MOST_OFF = 1e-5
OURS = FIELD[0].name


@dataclass(slots=True)
class Results:
    """Rounds by contestant, and their comparisons; who was skipped or failed, and why."""

    runs: dict[str, list[Measured]] = field(default_factory=dict)
    compared: dict[str, list[Compared]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def ratio(self, name: str) -> float:
        """Ours by this one's ticks/s, the median of each round's."""
        pairs = zip(self.runs[OURS], self.runs[name], strict=True)
        return median(ours.ticks_per_s / theirs.ticks_per_s for ours, theirs in pairs)

    def cost(self, name: str) -> float:
        """Microseconds of processor time a tick, the median of the rounds."""
        return median(run.cpu_us_per_tick for run in self.runs[name])

    def is_right(self) -> bool:
        """Whether nobody failed, and everybody said the same of every tick that was answered, once each."""
        found = [compared for of in self.compared.values() for compared in of]
        return not self.failed and all(of.ticks and of.worst <= MOST_OFF and not of.again for of in found)


def table(results: Results) -> Table:
    """Medians over the rounds. Speed: ours by theirs in ticks/s; CPU: theirs by ours in processor time a tick."""
    made = Table(title="the same GRU-64, the same ticks, in turns")
    for number, name in enumerate(("", "ticks/s", "CPU us/tick", "speed", "CPU", "off at most", "how")):
        made.add_column(name, justify="right" if 0 < number < 6 else "left", overflow="fold")
    for contestant in FIELD:
        name = contestant.name
        if name in results.failed or name in results.skipped:
            why = results.skipped.get(name) or results.failed[name]
            made.add_row(name, *[""] * 5, f"{'skipped' if name in results.skipped else 'failed'}: {why}")
        elif name in results.runs:
            made.add_row(*_row(contestant, results))
    return made


def _row(contestant: Contestant, results: Results) -> list[str]:
    name = contestant.name
    cells = [name, f"{median(run.ticks_per_s for run in results.runs[name]):,.0f}", f"{results.cost(name):.2f}"]
    ratios = ["", ""]
    if OURS in results.runs:
        ratios = [f"{results.ratio(name):.2f} x", f"{results.cost(name) / results.cost(OURS):.2f} x"]
    worst = max((compared.worst for compared in results.compared.get(name, ())), default=None)
    return [*cells, *ratios, "" if worst is None else f"{worst:.0e}", contestant.chosen]
