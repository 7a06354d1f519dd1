"""`input.outliers` in retrain, and at a glitch tick itself."""

import json
import math

import numpy as np
import pytest

from streamrnn.codecs import Decoder
from streamrnn.engine.engine import Engine
from streamrnn.ticks import Record

from .conftest import Retrain
from .test_files import Write, waves, write
from .test_hard_inputs import STEP_MS, Values, made, rmse, temperature, with_glitches

__all__ = ["write"]
GLITCHED = (7, 60, 150, 190)
"""In the training, validation and test parts of 200."""


def weights(retrain: Retrain, version: int) -> bytes:
    return (retrain.root / "stocks" / str(version) / "model.safetensors").read_bytes()


def test_a_glitch_under_missing_is_to_retrain_as_an_empty_cell(retrain: Retrain, write: Write) -> None:
    empty, spoilt = waves(200), waves(200)
    empty[list(GLITCHED)], spoilt[list(GLITCHED)] = math.nan, [[-9999.0], [65535.0], [1e20], [-999.0]]
    retrain(write("empty.csv", ("x",), empty), "--input.outliers=missing", "--promote=never")
    said = retrain(write("spoilt.csv", ("x",), spoilt), "--input.outliers=missing", "--promote=never")
    one, two = retrain.report(1), retrain.report(2)
    assert one.spec.ranges == two.spec.ranges
    train = np.delete(waves(200)[:140, 0], GLITCHED[:2]).astype(np.float32).astype(float)
    margin = 10 * (train.max() - train.min())
    assert two.spec.ranges == ((train.min() - margin, train.max() + margin),)
    assert weights(retrain, 1) == weights(retrain, 2)
    assert one.scores[0].overall == two.scores[0].overall
    assert "x: 4 values outside" in said.out
    retrain(write("spoilt.csv", ("x",), spoilt), "--promote=never")
    assert weights(retrain, 3) != weights(retrain, 1)


@pytest.mark.parametrize("bounds", [(), ("--input.ranges=x=-5:5",)])
def test_ticks_that_the_service_would_refuse_as_outliers_are_left_out(
    bounds: tuple[str, ...], retrain: Retrain, write: Write
) -> None:
    values = waves(200)
    values[list(GLITCHED)] = -9999
    retrain(write("x.csv", ("x",), values), "--input.outliers=dead-letter", *bounds)
    report = retrain.report(1)
    assert (sum(part.ticks for part in report.parts), report.dead_letters) == (196, {"outlier": 4})


def test_outliers_are_counted_and_said_by_default_too(retrain: Retrain, write: Write) -> None:
    values = waves(200, 2)
    values[list(GLITCHED), 1] = -9999
    said = retrain(write("x.csv", ("x", "y"), values), "--input.ranges=y=-5:")
    assert "y: 4 values outside -5 to inf (input.outliers = process)" in said.out
    assert retrain.report(1).spec.features == ("x", "y")


def test_the_next_model_has_ranges_of_its_own(retrain: Retrain, write: Write) -> None:
    retrain(write("x.csv", ("x",), waves(200)), "--promote=always")
    retrain(write("x.csv", ("x",), 100 + 100 * waves(200)), "--promote=always")
    one, two = (retrain.report(version).spec.ranges for version in (1, 2))
    assert [len(found or ()) for found in (one, two)] == [1, 1]
    [(_, first)], [(_, second)] = one, two  # type: ignore[misc]
    assert second > 10 * first


def test_bounds_of_no_feature_are_refused(retrain: Retrain, write: Write) -> None:
    said = retrain(write("x.csv", ("x",), waves(200)), "--input.ranges=y=0:1", code=2)
    assert "input.ranges: stocks@1 has no feature 'y'; it has x" in said.err
    assert retrain.left() == []


def forecasts(values: Values, model, policy: str) -> Values:
    """Of the service's decoder and engine at each tick."""
    start = 19_600 * 86_400_000
    decoder = Decoder(model.spec, outliers=policy, ranges="v=10:30")  # type: ignore[arg-type]
    records = [
        Record(0, n, 0, b"s", json.dumps({"time": start + STEP_MS * n, "v": value}).encode())
        for n, value in enumerate(values.tolist())
    ]
    ticks, dead = decoder.decode(records)
    assert dead == []
    return Engine(model, max_streams=1, device="cpu").step(ticks).values[:, 0, 0, 0]


def test_with_outliers_missing_no_forecast_is_bad_not_even_the_one_made_at_a_glitch() -> None:
    clean = temperature()
    spoilt, is_glitch = with_glitches(clean, 4)
    model = made(clean)
    naive = rmse(np.diff(clean))
    at = np.flatnonzero(is_glitch[:-1])
    assert len(at) > 20
    error = {p: np.abs(forecasts(spoilt, model, p)[:-1] - clean[1:]) for p in ("process", "missing")}
    assert error["process"][at].min() > 10, "with the default a forecast starts from the glitch"
    assert error["missing"].max() < 6 * naive
    rest = np.abs(forecasts(clean, model, "process")[:-1] - clean[1:])
    assert rmse(error["missing"]) < 1.05 * rmse(rest)
