"""The first example of deploy/RETRAINING.md: a sine, an Elman network of 32 and a dense layer, 100 epochs."""

import math
import shlex
import time
from pathlib import Path

import msgspec

from streamrnn.cli import main
from streamrnn.train.retrain_report import RetrainReport

DOCUMENT = Path(__file__).parents[2] / "deploy" / "RETRAINING.md"


def test_the_documented_sine_is_learned_to_within_two_hundredths_in_twenty_seconds(tmp_path: Path) -> None:
    [command] = [
        line for line in DOCUMENT.read_text().splitlines() if line.startswith("streamrnn retrain sine.csv")
    ]
    rows = [f"{1_700_000_000 + i},{math.sin(i / 10):.6f}" for i in range(1000)]
    (tmp_path / "sine.csv").write_text("\n".join(["time,value", *rows]))
    words = [str(tmp_path / word) if word in ("sine.csv", "sine") else word for word in shlex.split(command)[1:]]
    began = time.monotonic()
    assert main(words) == 0
    assert time.monotonic() - began < 20
    report = msgspec.json.decode((tmp_path / "sine" / "report.json").read_bytes(), type=RetrainReport)
    assert (report.spec.cell, report.spec.hidden, report.recipe.loss) == ("elman", 32, "mse")
    [[mse]] = report.scores[0].mse
    assert mse is not None
    assert math.sqrt(mse) < 0.02
