"""One stream's row in words. Knows rows, not where they lie."""

import math
from dataclasses import dataclass

from streamrnn.engine.rows.slab import Rows
from streamrnn.engine.step.score import Scorer
from streamrnn.nn.model import Model


@dataclass(frozen=True, slots=True)
class StreamView:
    """What the engine holds of one stream; predictions and errors by target, floats in raw units."""

    stream: bytes
    partition: int
    steps: int
    last_offset: int
    last_time_ms: int
    last_values: dict[str, float]
    last_prediction: dict[str, list[float]]
    mse: dict[str, float]
    persistence_mse: dict[str, float]
    state: dict[str, list[float]]


def view_of(stream: bytes, partition: int, rows: Rows, model: Model, scorer: Scorer) -> StreamView:
    """The view of the one row in `rows`."""
    spec, steps = model.spec, int(rows["steps"])
    prediction = scorer.last_prediction(rows["pending"], max(steps, 1)).T.tolist()
    rolling = rows["rolling"][0].tolist()
    return StreamView(
        stream=stream,
        partition=partition,
        steps=steps,
        last_offset=int(rows["last_offset"]),
        last_time_ms=int(rows["last_time"]),
        last_values=_known(spec.features, rows["last"][0].tolist()),
        last_prediction=dict(zip(spec.targets, prediction, strict=True)),
        mse=_known(spec.targets, rolling[: len(spec.targets)]),
        persistence_mse=_known(spec.targets, rolling[len(spec.targets) :]),
        state={name: rows[name][0].tolist() for name in model.stack.state_names},
    )


def _known(names: tuple[str, ...], values: list[float]) -> dict[str, float]:
    return {name: value for name, value in zip(names, values, strict=True) if not math.isnan(value)}
