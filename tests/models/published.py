"""A model and a report to publish."""

from collections.abc import Callable
from typing import Any

import msgspec

from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.train.fit import Epoch, Recipe
from streamrnn.train.retrain_report import RetrainReport, Score, SplitPart, Verdict

Run = Callable[..., str]
"""Runs `streamrnn models` with arguments, expects an exit code, gives what was said."""
SPEC = ModelSpec(name="oil", features=("a",), targets=("a",), channels=(Channel("a"),), hidden=3)


def model(name: str = "oil") -> Model:
    return Model(msgspec.structs.replace(SPEC, name=name))


def score(name: str, *errors: float | None) -> Score:
    row = [list(errors)]
    return Score(name=name, kind="champion", mse=row, mae=row, std_mse=row, std_mae=row)


REPORT = RetrainReport(
    spec=SPEC,
    created_ms=0,
    source="history.csv",
    parts=[SplitPart(name="test", ticks=1, streams=1, from_ms=0, until_ms=1)],
    dead_letters={},
    recipe=Recipe(),
    epochs=[Epoch(1, 0.1, 0.1, 1, 1, 0.1, 1)],
    best_epoch=1,
    truths=[[1]],
    scale=[1.0],
    scores=[score("oil", 0.25, 0.5, None), score("persistence", 0.75)],
    samples=[],
    verdict=Verdict(promoted=True, policy="if-better", reason="better by 10 %", margin=0.1),
    seconds=65.0,
    versions={},
)


def report(**fields: Any) -> dict[str, bytes]:
    return {"report.json": msgspec.json.encode(msgspec.structs.replace(REPORT, **fields))}
