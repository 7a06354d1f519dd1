"""What the judge takes for the model's forecasts, against the service's engine stepping each stream alone."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from streamrnn.engine.engine import Engine
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.retraining.forecaster import Served
from streamrnn.ticks import TickBatch
from streamrnn.train.history import History, split_by_time, split_each
from streamrnn.train.windows import Windows, windows_of
from tests.train.histories import history_of, shaky_streams

HISTORY = history_of(("a", "b", "c"), shaky_streams(3, (40, 1, 75, 12, 2, 33), 3))
POINT = ModelSpec(
    name="point",
    features=("c", "a"),
    targets=("a",),
    channels=(Channel("a", "difference"), Channel("c")),
    time_features=("hour", "log_gap"),
    hidden=7,
    horizons=(1, 2, 5),
    lags=4,
)
BANDS = ModelSpec(
    name="bands",
    features=("a", "b", "c"),
    targets=("c", "b"),
    channels=(Channel("a"), Channel("b")),
    missing="mask",
    cell="lstm",
    hidden=5,
    layers=2,
    horizons=(1, 2, 5, 9),
    quantiles=(0.1, 0.5, 0.9),
    predicts="level",
)


def model_of(spec: ModelSpec) -> Model:
    torch.manual_seed(2)
    model = Model(spec)
    torch.nn.init.normal_(model.head.weight, std=0.5)
    return model.eval()


def alone(model: Model, history: History, origin: int) -> NDArray[np.float32]:
    """(K, O, Q) published at a tick of a stream that an engine of its own has stepped from its first."""
    stream = int(np.searchsorted(history.starts, origin, side="right")) - 1
    columns = [history.features.index(feature) for feature in model.spec.features]
    engine, said = Engine(model, max_streams=1), np.empty((0, 0, 0), np.float32)
    for at in range(int(history.starts[stream]), origin + 1):
        time_ms, values = history.time_ms[at : at + 1], history.values[at : at + 1, columns]
        tick = TickBatch(np.zeros(1, np.int32), np.array([at]), time_ms, time_ms, [b"s"], values, time_ms)
        said = engine.step(tick).values[0]
    return said


def groups(history: History, spec: ModelSpec, horizons: tuple[int, ...], most: int = 25) -> list[Windows]:
    part = split_each(history, (0.3, 0.3, 0.4)).test
    return list(windows_of(history, part, spec.targets, horizons, most))


@pytest.mark.parametrize("ticks_at_once", [1, 7, 1 << 16])
@pytest.mark.parametrize("spec", [POINT, BANDS], ids=["point", "bands"])
def test_it_says_what_an_engine_says_that_steps_each_stream_alone_tick_by_tick(
    spec: ModelSpec, ticks_at_once: int
) -> None:
    """To the bit, whatever is stepped beside it, of the model's horizons those that are asked for."""
    horizons = (1, 5)
    kept = [spec.horizons.index(horizon) for horizon in horizons]
    found, model = groups(HISTORY, spec, horizons), model_of(spec)
    assert [len(group.extents) for group in found].count(1) > 1
    found += groups(HISTORY, spec, horizons, 1000)
    assert len(found[-1].extents) == 4
    served = Served("new", "model", model, horizons, ticks_at_once=ticks_at_once)
    for windows in found:
        said = served.forecast(HISTORY, windows)
        right = [alone(model, HISTORY, origin)[kept] for origin in windows.origins.tolist()]
        assert np.isfinite(said).all()
        assert said.tobytes() == np.stack(right).tobytes()


def test_a_long_stream_in_parts_is_stepped_once_and_says_what_it_says_in_one() -> None:
    model, test = model_of(POINT), split_by_time(HISTORY, (0.1, 0.1, 0.8)).test
    longest = max(test, key=lambda extent: extent.length)
    [whole] = windows_of(HISTORY, [longest], POINT.targets, (1, 5), 1000)
    parts = list(windows_of(HISTORY, [longest], POINT.targets, (1, 5), 7))
    assert len(parts) > 3
    at_once, in_parts = Served("", "", model, (1, 5)), Served("", "", model, (1, 5))
    right = at_once.forecast(HISTORY, whole)
    said = [in_parts.forecast(HISTORY, part) for part in parts]
    assert np.concatenate(said).tobytes() == right.tobytes()
    again = in_parts.forecast(HISTORY, parts[2])  # not what comes next: from the stream's beginning
    assert again.tobytes() == said[2].tobytes()


def test_streams_that_begin_and_end_within_the_part_are_stepped_from_their_beginning_too() -> None:
    test = split_by_time(HISTORY, (0.1, 0.1, 0.8)).test
    assert {extent.start == extent.stream_start for extent in test} == {True, False}
    model = model_of(POINT)
    [windows] = windows_of(HISTORY, test, POINT.targets, (1,), 1000)
    said = Served("new", "model", model, (1,)).forecast(HISTORY, windows)
    right = [alone(model, HISTORY, origin)[:1] for origin in windows.origins.tolist()]
    assert said.tobytes() == np.stack(right).tobytes()


def test_it_does_not_look_ahead() -> None:
    """Other values and times after a tick change what is said after it and nothing before."""
    model = model_of(POINT)
    [windows] = windows_of(HISTORY, split_each(HISTORY, (0.0, 0.0, 1.0)).test, POINT.targets, (1, 5), 1000)
    cut = int(HISTORY.starts[2]) + 30
    values, time_ms = HISTORY.values.copy(), HISTORY.time_ms.copy()
    values[cut + 1 :] += 100
    time_ms[cut + 1 :] += 123_456
    other = History(HISTORY.features, HISTORY.streams, HISTORY.starts, time_ms, values, HISTORY.carried)
    before, after = (Served("new", "model", model, (1, 5)).forecast(h, windows) for h in (HISTORY, other))
    is_before = windows.origins <= cut
    assert before[is_before].tobytes() == after[is_before].tobytes()
    assert 0 < is_before.sum() < len(is_before)
    assert (before[~is_before] != after[~is_before]).any()
