"""What an executor yields for a batch, in arrival order, and the predictions in it. Owns no device."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.engine.step.score import misses_of, sum_errors
from streamrnn.engine.step.waves import Plan
from streamrnn.nn.spec import ModelSpec
from streamrnn.nn.truths import Truths
from streamrnn.ticks import Errors, PredictionBatch, TickBatch


class Outcome(NamedTuple):
    """said (n, K, O, Q) raw units; forecast and persistence (n, K', O), NaN where nothing waited for this
    tick or it was refused; steps (n,) the stream's ticks so far; status (n,) codes of STATUS, all but ok leave the
    stream's state as it was."""

    said: NDArray[np.floating]
    forecast: NDArray[np.floating]
    persistence: NDArray[np.floating]
    steps: NDArray[np.int64]
    status: NDArray[np.uint8]


def predictions_of(
    ticks: TickBatch,
    plan: Plan,
    outcome: Outcome,
    origin: NDArray[np.uint8],
    targets: list[int],
    truths: Truths,
    has_misses: bool,
) -> PredictionBatch:
    """What the outcome means; `targets` are their places among the features, `truths` tells which count.

    has_misses: whether each tick's errors are told beside their sums.
    """
    truth = ticks.values[:, None, targets]
    return PredictionBatch(
        ticks=ticks,
        values=outcome.said,
        residual=(truth - outcome.forecast)[:, 0],
        steps=outcome.steps,
        origin=origin,
        status=outcome.status,
        errors=sum_errors(truth, outcome.forecast, outcome.persistence, truths),
        wave_sizes=plan.sizes.tolist(),
        misses=misses_of(truth, outcome.forecast, outcome.persistence, truths) if has_misses else None,
    )


def no_predictions(ticks: TickBatch, spec: ModelSpec) -> PredictionBatch:
    """Of a batch without ticks."""
    horizons, targets = len(spec.horizons), len(spec.targets)
    scored = len(spec.scored_horizons)
    return PredictionBatch(
        ticks=ticks,
        values=np.empty((0, horizons, targets, spec.levels), dtype=spec.precision),
        residual=np.empty((0, targets), dtype=spec.precision),
        steps=np.empty(0, dtype=np.int64),
        origin=np.empty(0, dtype=np.uint8),
        status=np.empty(0, dtype=np.uint8),
        errors=Errors(*(np.zeros((scored, targets)) for _ in range(6))),
        misses=np.empty((0, scored, targets)),
    )
