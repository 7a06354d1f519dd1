"""The engine against each stream stepped alone, whatever executor moves the rows."""

import dataclasses
import math
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamrnn.engine.engine import Engine
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.ticks import TickBatch
from streamrnn.ticks.byte_spans import Spans

SPEC = ModelSpec(
    name="t",
    features=("a", "b"),
    targets=("b",),
    channels=(Channel("a"), Channel("b", "difference")),
    time_features=("hour", "weekday", "log_gap"),
    hidden=24,
    horizons=(1, 3),
    lags=4,
)


def make_model(spec: ModelSpec = SPEC) -> Model:
    torch.manual_seed(7)
    model = Model(spec)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def ticks(n: int, streams: int, seed: int = 0, missing: float = 0.1) -> TickBatch:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 2)).astype(np.float32).cumsum(0)
    values[rng.random(values.shape) < missing] = np.nan
    keys = [b"s%d" % k for k in rng.integers(0, streams, n)]
    time = 1_700_000_000_000 + np.arange(n) * 60_000
    return TickBatch(np.zeros(n, np.int32), np.arange(n), time, time, keys, values, time)


def cut(batch: TickBatch, start: int, stop: int) -> TickBatch:
    return batch.take(slice(start, stop))


@pytest.fixture(params=["compiled", "blocks"])
def executor(request):
    return request.param


def make_engine(model: Model, executor: str, max_streams: int = 100, block: int = 16, **more: Any) -> Engine:
    given = {"max_parked": 0, "device": "cpu", "executor": executor} | more
    return Engine(model, max_streams=max_streams, block=block, **given)


def step_alone(model: Model, batch: TickBatch, stream: bytes, executor: str) -> np.ndarray:
    """The oracle: an engine that holds nothing but this stream, one tick at a time."""
    engine = make_engine(model, executor, block=32)
    mine = [i for i, s in enumerate(batch.streams) if s == stream]
    return np.concatenate([engine.step(cut(batch, i, i + 1)).values for i in mine])


def scan_one_stream(model: Model, batch: TickBatch, stream: bytes, block: int) -> np.ndarray:
    """The slow twin: torch's own operations on one stream alone, in the execution shape of `blocks`."""
    state = model.state(block)
    said = []
    with torch.inference_mode():
        for i in [i for i, s in enumerate(batch.streams) if s == stream]:
            values = torch.zeros(block, batch.values.shape[1])
            values[0] = torch.from_numpy(batch.values[i])
            time = torch.full((block,), int(batch.time_ms[i]))
            step = model.step(values, time, state)
            state = step.state
            said.append(step.values[0].numpy())
    return np.stack(said)


CELLS = ("elman", "gated", "gru", "lstm", "mingru")


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("missing", ["carry", "mask"])
def test_every_prediction_equals_its_stream_stepped_alone_to_the_bit(cell, missing, executor):
    model = make_model(msgspec.structs.replace(SPEC, cell=cell, missing=missing, layers=2))
    batch = ticks(500, 37)
    predictions = make_engine(model, executor, block=32).step(batch)
    for stream in set(batch.streams):
        mine = [i for i, s in enumerate(batch.streams) if s == stream]
        assert predictions.values[mine].tobytes() == step_alone(model, batch, stream, executor).tobytes()
        assert predictions.steps[mine].tolist() == list(range(1, len(mine) + 1))
        alone = scan_one_stream(model, batch, stream, 32)
        if executor == "blocks":
            assert predictions.values[mine].tobytes() == alone.tobytes()
        else:
            np.testing.assert_allclose(predictions.values[mine][:4], alone[:4], rtol=1e-4, atol=1e-4)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.integers(0, 2**31), st.integers(1, 60), st.integers(1, 30), st.lists(st.integers(1, 90), max_size=8))
def test_bits_do_not_depend_on_how_ticks_were_polled_even_when_streams_are_evicted(
    executor, seed, streams, cap, cuts
):
    model, batch = make_model(), ticks(240, streams, seed)
    whole = make_engine(model, executor, cap).step(batch)
    engine, at, said, residual = make_engine(model, executor, cap), 0, [], []
    for size in [*cuts, len(batch)]:
        part = engine.step(cut(batch, at, at + size))
        said.append(part.values)
        residual.append(part.residual)
        at += size
    assert np.concatenate(said).tobytes() == whole.values.tobytes()
    assert np.concatenate(residual).tobytes() == whole.residual.tobytes()


def test_scores_equal_a_plain_sum_over_each_streams_history(executor):
    batch = ticks(400, 9, missing=0.2)
    predictions = make_engine(make_model(), executor).step(batch)
    for k, horizon in enumerate(SPEC.horizons):
        squared = naive = count = 0.0
        for stream in set(batch.streams):
            mine = [i for i, s in enumerate(batch.streams) if s == stream]
            seen = math.nan
            filled = []
            for i in mine:
                seen = batch.values[i, 1] if not np.isnan(batch.values[i, 1]) else seen
                filled.append(0.0 if np.isnan(seen) else float(seen))
            for then, now in zip(mine, mine[horizon:], strict=False):
                truth = float(batch.values[now, 1])
                if not math.isnan(truth):
                    count += 1
                    squared += (truth - float(predictions.values[then, k, 0, 0])) ** 2
                    naive += (truth - filled[mine.index(then)]) ** 2
        assert predictions.errors.count[k, 0] == count
        assert predictions.errors.squared[k, 0] == pytest.approx(squared)
        assert predictions.errors.persistence_squared[k, 0] == pytest.approx(naive)


def test_a_poisoned_stream_is_rolled_back_and_its_neighbours_keep_their_bits(executor):
    batch = ticks(60, 6, missing=0.0)
    clean = make_engine(make_model(), executor)
    sick = make_engine(make_model(), executor)
    clean.step(batch)
    sick.step(batch)
    bad = ticks(6, 6, seed=1, missing=0.0)
    bad = dataclasses.replace(bad, streams=[b"s%d" % i for i in range(6)], offset=bad.offset + 60)
    poison = bad.values.copy()
    poison[2] = np.inf
    clean_before = clean.inspect(0, b"s2")
    good, rolled = clean.step(bad), sick.step(dataclasses.replace(bad, values=poison))
    assert rolled.ok.tolist() == [True, True, False, True, True, True]
    others = [0, 1, 3, 4, 5]
    assert rolled.values[others].tobytes() == good.values[others].tobytes()
    assert sick.inspect(0, b"s2").last_offset == 62
    assert sick.inspect(0, b"s2").last_values == clean_before.last_values
    assert np.isnan(rolled.residual[2]).all()
    assert all(map(math.isfinite, sick.inspect(0, b"s2").state["cell.0.h"]))


def test_inspect_tells_what_is_held_of_a_stream_and_none_for_a_stranger(executor):
    batch = ticks(50, 4, missing=0.0)
    engine = make_engine(make_model(), executor)
    predictions = engine.step(batch)
    view = engine.inspect(None, b"s1")
    last = max(i for i, s in enumerate(batch.streams) if s == b"s1")
    assert (view.partition, view.steps, view.last_offset) == (0, batch.streams.count(b"s1"), last)
    assert view.last_values == {n: float(v) for n, v in zip("ab", batch.values[last], strict=True)}
    assert view.last_prediction == {"b": [float(v) for v in predictions.values[last, :, 0, 0]]}
    assert view.mse["b"] > 0
    assert engine.inspect(None, b"nobody") is None


def test_origin_says_new_then_carried_and_warmed_for_the_first_live_tick_after_a_warm_up(executor):
    engine, batch = make_engine(make_model(), executor), ticks(3, 1)
    assert engine.step(cut(batch, 0, 1), warm=True).origin.tolist() == [0]
    assert engine.step(cut(batch, 1, 3)).origin.tolist() == [3, 1]
    engine.drop(0)
    assert engine.step(batch).origin.tolist() == [0, 1, 1]


def test_no_ticks_give_no_predictions(executor):
    assert make_engine(make_model(), executor).step(ticks(0, 1)).values.shape == (0, 2, 1, 1)


@pytest.mark.parametrize("max_streams", [2, 100])
def test_streams_that_lie_in_a_buffer_are_those_of_a_list(executor, max_streams):
    model, batch = make_model(), ticks(60, 5)
    spans = dataclasses.replace(batch, streams=Spans.of(batch.streams))
    said = [make_engine(model, executor, max_streams).step(given) for given in (batch, spans)]
    assert said[0].steps.tolist() == said[1].steps.tolist()
    assert said[0].origin.tolist() == said[1].origin.tolist()
    assert said[0].values.tobytes() == said[1].values.tobytes()
    assert ((said[0].steps == 1).sum() > 5) == (max_streams == 2), "some are forgotten and come back"
