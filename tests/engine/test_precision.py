"""A meter at 987,654,324: its steps of 3 to 6 units are below float32's spacing, and float64 models see them."""

import msgspec
import numpy as np
import pytest
import torch

from streamrnn.engine.rows.slab import Slab
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec, Precision
from streamrnn.ticks import PredictionBatch, TickBatch

from .test_engine import executor, make_engine  # noqa: F401

SPEC = ModelSpec(
    name="t",
    features=("wh",),
    targets=("wh",),
    channels=(Channel("wh", "difference"),),
    hidden=4,
    lags=3,
    horizons=(1, 2),
    bound=30.0,
    precision="float64",
)
FIRST = 987_654_324.0
STEPS = np.random.default_rng(0).integers(3, 7, 40).astype(np.float64)


def make_model(precision: Precision = "float64", skip: tuple[float, ...] = (0.0, 0.0, -1.0)) -> Model:
    """Whose head says nothing but that the last change comes again, at both horizons."""
    torch.manual_seed(1)
    model = Model(msgspec.structs.replace(SPEC, precision=precision))
    with torch.no_grad():
        model.head.weight.zero_()
        model.skip.copy_(torch.tensor(skip).expand(1, 2, 3))
    model.set_stats(target_std=[[5.0], [5.0]], lag_std=[5.0], channel_std=[5.0])
    return model


def batch_of(values: np.ndarray) -> TickBatch:
    n = len(values)
    at = np.arange(n)
    return TickBatch(np.zeros(n, np.int32), at, at, at, [b"m"] * n, values[:, None], at)


def served(values: np.ndarray, name: str, precision: Precision = "float64") -> PredictionBatch:
    return make_engine(make_model(precision), name).step(batch_of(values))


def meter() -> np.ndarray:
    return FIRST + np.concatenate(([0.0], STEPS.cumsum()))


def test_steps_below_float32s_spacing_are_seen_and_said_again(executor: str) -> None:  # noqa: F811
    values = meter()
    said = served(values, executor)
    assert said.values.dtype == said.residual.dtype == np.float64
    np.testing.assert_allclose(said.values[1:, 0, 0, 0], values[1:] + STEPS, atol=1e-5)
    np.testing.assert_allclose(said.residual[2:, 0], np.diff(STEPS), atol=1e-5)
    due = np.square(np.diff(STEPS)).sum()
    assert said.errors.squared[0, 0] == pytest.approx(due + STEPS[0] ** 2, rel=1e-6)
    assert said.errors.persistence_squared[0, 0] == pytest.approx(np.square(STEPS).sum(), rel=1e-9)


def test_a_float32_model_does_not_see_them(executor: str) -> None:  # noqa: F811
    """Else the test above would show nothing; and its predictions stay float32."""
    said = served(meter(), executor, "float32")
    assert said.values.dtype == np.float32
    assert np.abs(said.residual[2:, 0] - np.diff(STEPS)).max() > 5


def test_a_float32_models_row_lies_as_it_always_did() -> None:
    model = Model(msgspec.structs.replace(SPEC, precision="float32", bound=None))
    engine, double = make_engine(model, "blocks"), make_engine(make_model(), "blocks")
    assert '["last","float32",0,1]' in engine.layout.text()
    assert "float64" not in engine.layout.text()
    assert '["last","float64",0,1]' in double.layout.text()
    values = 1 + 3 + 2 * 2 + 2  # last, lags, pending, past
    assert double.row_bytes == engine.row_bytes + 4 * values


def test_bits_do_not_depend_on_how_ticks_are_batched_or_whether_they_came_as_float32(executor: str) -> None:  # noqa: F811
    values = 7.5 * np.arange(41.0)
    whole = served(values, executor).values
    engine = make_engine(make_model(), executor)
    parts = [engine.step(batch_of(values[a : a + 7].astype(np.float32))).values for a in range(0, 41, 7)]
    # Each part's offsets begin at 0, which changes nothing: no order is enforced.
    assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_rows_survive_a_snapshot(executor: str) -> None:  # noqa: F811
    values = meter()
    engine, heir = (make_engine(make_model(), executor) for _ in range(2))
    engine.step(batch_of(values[:20]))
    engine.settle(1)
    capture = engine.capture(0, True)
    rows = capture.take(10)
    assert rows is not None
    heir.load(0, rows)
    ours, theirs = (one.step(batch_of(values[20:])).values for one in (engine, heir))
    assert ours.tobytes() == theirs.tobytes()


def test_a_double_column_is_written_through_its_view() -> None:
    fresh = {"a": torch.zeros(1, 2), "b": torch.full((1, 3), 0.1, dtype=torch.float64), "n": torch.zeros(1).long()}
    slab = Slab(fresh, torch.device("cpu"))
    slab.grow(4)
    slab.rows["b"][2, 1] = 987_654_321.123
    slab.rows["n"][2] = 7
    assert (slab.fresh.floats.shape[1], slab.fresh.integers.shape[1]) == (2, 4)
    assert slab.gather(torch.tensor([2]))["b"].tolist() == [[0.1, 987_654_321.123, 0.1]]
    assert slab.rows["n"].tolist()[2] == 7
