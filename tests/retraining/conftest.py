"""`streamrnn retrain` on real data: daily prices of five stocks."""

import re
from collections.abc import Callable
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from bokeh_sampledata import __file__ as sample_data

from streamrnn.cli import main
from streamrnn.registry import Registry
from streamrnn.train.retrain_report import RetrainReport, Score

STOCKS = Path(sample_data).parent / "_data" / "stocks.csv.gz"
SMALL = (
    "--no-live", "--epochs=1", "--hidden=4", "--lags=3", "--ridge-lags=4", "--width=64", "--burn-in=16",
)  # fmt: skip
"""Made in a moment: what it says is no matter."""
COLUMNS = ("--stream-column=Ticker", "--features=Close,Volume", "--targets=Close", "--since=2011-06-01")


class Said(NamedTuple):
    """How the command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def scores(self) -> dict[str, list[str]]:
        """The numbers of the first table by contender."""
        head, *table = dropwhile(lambda line: "MSE / persistence" not in line, self.out.splitlines())
        columns = len(_cells(head))
        rows = takewhile(lambda cells: len(cells) > 1 and cells[-1][0].isdigit(), map(_cells, table))
        return {name: numbers + [""] * (columns - len(numbers)) for name, *numbers in rows}


def _cells(line: str) -> list[str]:
    """Of a row of a table without a frame."""
    return re.split(" {2,}", line.strip())


class Retrain(NamedTuple):
    """The command with a registry of its own, as `stocks` unless it is told otherwise."""

    registry: Registry
    root: Path
    run: Callable[..., Said]

    def __call__(self, *options: str | Path, code: int = 0) -> Said:
        """Run it and expect an exit code; errors are one line and nothing else."""
        said = self.run("retrain", *map(str, options), *SMALL, f"--model.registry={self.root}", "--name=stocks")
        assert said.code == code, said.err
        assert said.err.count("\n") == (code != 0), said.err
        return said

    def stocks(self, *options: str | Path, code: int = 0) -> Said:
        """On the stocks' closing prices."""
        return self(STOCKS, *COLUMNS, *options, code=code)

    def report(self, version: int) -> RetrainReport:
        """What was published with a version."""
        raw = self.registry.report("stocks", version)
        assert raw is not None
        return msgspec.json.decode(raw, type=RetrainReport)

    def pointer(self) -> int | None:
        """The champion's version."""
        champion = self.registry.pointer("stocks")
        return None if champion is None else champion.version

    def left(self) -> list[str]:
        """Every file in the registry."""
        return sorted(str(p.relative_to(self.root)) for p in self.root.rglob("*") if p.is_file())


def score(report: RetrainReport, kind: str) -> Score:
    """The one of a kind."""
    [found] = [one for one in report.scores if one.kind == kind]
    return found


@pytest.fixture
def retrain(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Retrain:
    """A registry without models, and the command."""
    monkeypatch.setenv("COLUMNS", "200")
    root = tmp_path / "registry"

    def run(*arguments: str) -> Said:
        code = main(arguments)
        out, err = capsys.readouterr()
        assert not re.search(r"[^\x20-\x7e\n\u2500-\u257f]", out + err)
        return Said(code, out, err)

    return Retrain(Registry(root), root, run)
