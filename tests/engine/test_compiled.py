"""The compiled step beside its slow twin in torch, over every cell, transform and head; and its arithmetic."""

import dataclasses
from itertools import pairwise
from typing import get_args

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamrnn.codecs import Decoder
from streamrnn.config.input import Codec
from streamrnn.engine.engine import Engine
from streamrnn.engine.step import compiled
from streamrnn.engine.step.score import misses_of, sum_errors
from streamrnn.engine.step.tile import add_errors
from streamrnn.nn.kernels.compiled_cells import sigmoid, tanh
from streamrnn.nn.kernels.matmul import add_product, pack, padded, set_product
from streamrnn.nn.kernels.transforms import transforms_of
from streamrnn.nn.model import POSITIVE, Model
from streamrnn.nn.spec import CellKind, Channel, ModelSpec, Predicts
from streamrnn.nn.truths import truths_of
from streamrnn.ticks import Errors, PredictionBatch, Record, TickBatch

from .test_engine import cut, make_engine, ticks

CHANNELS = st.lists(
    st.builds(Channel, st.sampled_from("ab"), st.sampled_from(["level", "difference", "log_return"])),
    min_size=1,
    max_size=4,
)
TIMES = st.lists(st.sampled_from(["hour", "weekday", "log_gap"]), unique=True, max_size=3)


@st.composite
def specs(draw: st.DrawFn) -> ModelSpec:
    return ModelSpec(
        name="t",
        features=("a", "b"),
        targets=draw(st.sampled_from([("a",), ("b",), ("b", "a")])),
        channels=tuple(draw(CHANNELS)),
        time_features=tuple(draw(TIMES)),
        missing=draw(st.sampled_from(["carry", "mask"])),
        cell=draw(st.sampled_from(get_args(CellKind))),
        hidden=draw(st.integers(1, 40)),
        layers=draw(st.integers(1, 3)),
        horizons=draw(st.sampled_from([(1,), (1, 3), (2, 5), tuple(range(1, 11))])),
        quantiles=draw(st.sampled_from([(), (0.5,), (0.1, 0.5, 0.9)])),
        predicts=draw(st.sampled_from(["change", "level", "log_change"])),
        lags=draw(st.sampled_from([0, 0, 1, 5, 20])),
        bound=draw(st.sampled_from([None, 1.25, 3.0])),
        precision=draw(st.sampled_from(["float32", "float64"])),
    )


def make_model(spec: ModelSpec, seed: int) -> Model:
    """Weights that keep the state tame, so that rounding stays rounding; statistics that are not 0 and 1."""
    torch.manual_seed(seed)
    model = Model(spec)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=min(0.2, 0.8 / spec.hidden**0.5))  # a gain above 1 would be chaos
    for name, buffer in model.named_buffers():
        buffer.copy_(torch.rand(buffer.shape) + (0.5 if name.endswith(POSITIVE) else 0.0))
    return model


def both(spec: ModelSpec, seed: int, batch: TickBatch, *cuts: int) -> list[tuple[Engine, list[PredictionBatch]]]:
    edges = [0, *cuts, len(batch)]
    engines = [make_engine(make_model(spec, seed), executor) for executor in ("compiled", "blocks")]
    parts = [cut(batch, start, stop) for start, stop in pairwise(edges)]
    return [(engine, [engine.step(part) for part in parts]) for engine in engines]


@given(specs(), st.integers(0, 999))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_model_says_what_its_twin_in_torch_says_and_keeps_the_same_rows(spec: ModelSpec, seed: int) -> None:
    batch = ticks(90, 7, seed)
    batch = dataclasses.replace(batch, values=np.abs(batch.values) + np.float32(0.1))
    (fast, said), (slow, expected) = both(spec, seed, batch, 40)
    for ours, theirs in zip(said, expected, strict=True):
        np.testing.assert_allclose(ours.values, theirs.values, rtol=2e-4, atol=2e-4)
        np.testing.assert_allclose(ours.residual, theirs.residual, rtol=2e-4, atol=2e-4)
        assert ours.steps.tolist() == theirs.steps.tolist()
        assert ours.ok.tolist() == theirs.ok.tolist()
        for field in dataclasses.fields(ours.errors):
            mine, its = getattr(ours.errors, field.name), getattr(theirs.errors, field.name)
            np.testing.assert_allclose(mine, its, rtol=1e-3, atol=1e-3)
    rows, twins = fast._slab.rows, slow._slab.rows
    for name in rows.names():
        mine, its = rows[name][1:], twins[name][1:]
        assert mine.dtype == its.dtype
        if mine.dtype == torch.int64:
            assert mine.tolist() == its.tolist(), name
        else:
            torch.testing.assert_close(mine, its, rtol=1e-3, atol=1e-3, equal_nan=True, msg=name)


def test_a_price_at_or_below_zero_has_no_log_return_in_either() -> None:
    spec = ModelSpec(
        name="t", features=("a", "b"), targets=("a",), channels=(Channel("a", "log_return"),), hidden=8
    )
    batch = ticks(40, 2, missing=0.0)
    batch.values[::3, 0] = [0.0, -1.0] * 7
    (_, [said]), (_, [expected]) = both(spec, 1, batch)
    np.testing.assert_allclose(said.values, expected.values, rtol=1e-5, atol=1e-5)
    assert said.ok.all()


@pytest.mark.parametrize("executor", ["compiled", "blocks"])
def test_a_prediction_that_overflows_is_not_ok_and_the_state_stays(executor: str) -> None:
    spec = ModelSpec(
        name="t", features=("a", "b"), targets=("a",), channels=(Channel("a"),), hidden=4, predicts="log_change"
    )
    model = make_model(spec, 1)
    with torch.no_grad():
        model.head.weight.fill_(0)
        model.head.bias.fill_(200)
        model.target_std.fill_(1)
    engine = make_engine(model, executor)
    batch = ticks(10, 1, missing=0.0)
    assert not engine.step(batch).ok.any()
    view = engine.inspect(0, b"s0")
    assert view is not None
    assert (view.steps, view.state["cell.0.h"]) == (0, [0.0] * 4)


@pytest.mark.parametrize("executor", ["compiled", "blocks"])
def test_a_change_beyond_float32_in_the_lags_is_not_ok_and_the_stream_goes_on(executor: str) -> None:
    spec = ModelSpec(
        name="t", features=("a", "b"), targets=("a",), channels=(Channel("b"),), hidden=4, lags=2, horizons=(2,)
    )
    model = make_model(spec, 1)
    with torch.no_grad():
        model.skip.fill_(0.001)
        model.lag_std.fill_(1)
    batch = ticks(4, 1, missing=0.0)
    batch.values[:, 0] = [-3e38, 3e38, -3e38, -2e38]
    assert make_engine(model, executor).step(batch).ok.tolist() == [True, False, True, True]


def ratios_and_none(rng: np.random.Generator, n: int, targets: int) -> np.ndarray:
    """Numbers of all sizes, some absurd, some not above 0, some unknown."""
    numbers = np.exp(rng.normal(size=(n, 1, targets), scale=rng.choice([0.1, 3]))).astype(np.float32)
    numbers[rng.random(numbers.shape) < 0.2] = np.nan
    numbers[rng.random(numbers.shape) < 0.1] *= -1
    return numbers


@given(st.sampled_from(["change", "level", "log_change"]), st.sampled_from([None, 1.25]), st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_the_sums_of_errors_are_those_of_their_twin_in_numpy_and_so_is_each_miss(
    predicts: Predicts, bound: float | None, seed: int
) -> None:
    targets = ("b", "a")
    spec = ModelSpec(
        name="t", features=("a", "b"), targets=targets, channels=(Channel("a"),), hidden=2, predicts=predicts,
        bound=bound, horizons=(1, 4),
    )  # fmt: skip
    model, rng = make_model(spec, seed), np.random.default_rng(seed)
    truth, due, naive = (ratios_and_none(rng, 50, 2) for _ in range(3))
    due, naive = np.repeat(due, 2, 1), np.repeat(naive, 2, 1)
    known, truths, sums = transforms_of(model), truths_of(model, (1, 4)), np.zeros((6, 2, 2))
    misses = np.full((50, 2, 2), np.nan)
    for i, k, o in np.ndindex(50, 2, 2):
        numbers = truth[i, 0, o], due[i, k, o], naive[i, k, o]
        misses[i, k, o] = add_errors.py_func(known, k, o, *numbers, sums[:, k, o])
    for name, mine in zip((field.name for field in dataclasses.fields(Errors)), sums, strict=True):
        its = getattr(sum_errors(truth, due, naive, truths), name)
        np.testing.assert_allclose(mine, its, rtol=1e-12, err_msg=name)
    np.testing.assert_array_equal(misses, misses_of(truth, due, naive, truths))


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 50), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_a_product_is_the_exact_one_rounded_and_each_rows_bits_are_its_own(
    rows: int, k: int, outputs: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    wide = padded(outputs)
    a, weight = rng.normal(size=(rows, k)).astype(np.float32), np.zeros((wide, k), np.float32)
    weight[:outputs] = rng.normal(size=(outputs, k))
    bias = rng.normal(size=wide).astype(np.float32)
    c = np.zeros((rows, wide), np.float32)
    set_product(a, rows, k, pack(weight).ravel(), bias, c, 0, wide)
    exact = a.astype(np.float64) @ weight.T.astype(np.float64) + bias
    np.testing.assert_allclose(c, exact, atol=1e-6 * (k + 8))
    for row in range(rows):
        alone = np.zeros((1, wide), np.float32)
        set_product(a[row : row + 1].copy(), 1, k, pack(weight).ravel(), bias, alone, 0, wide)
        assert alone[0].tobytes() == c[row].tobytes()


@given(st.integers(1, 40), st.integers(1, 30), st.integers(1, 30), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_a_product_added_to_another_goes_on_with_its_chains(rows: int, k: int, more: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(rows, k + more)).astype(np.float32)
    weight = rng.normal(size=(32, k + more)).astype(np.float32)
    bias, whole, parts = rng.normal(size=32).astype(np.float32), *np.zeros((2, rows, 40), np.float32)
    set_product(a, rows, k + more, pack(weight).ravel(), bias, whole, 8, 32)
    set_product(a[:, :k].copy(), rows, k, pack(weight[:, :k].copy()).ravel(), bias, parts, 8, 32)
    add_product(a[:, k:].copy(), rows, more, pack(weight[:, k:].copy()).ravel(), parts, 8, 32)
    assert whole.tobytes() == parts.tobytes()
    assert whole[:, 8:].any()
    assert not whole[:, :8].any()


def test_tanh_and_sigmoid_are_within_their_stated_errors_of_the_exact_ones_and_keep_nan() -> None:
    xs = np.concatenate((np.linspace(-12, 12, 20_001), [1e-30, -1e-30, 1e30, -1e30])).astype(np.float32)
    exact = xs.astype(np.float64)
    assert max(abs(float(tanh(x)) - t) for x, t in zip(xs, np.tanh(exact), strict=True)) < 2.8e-7
    logistic = 0.5 + 0.5 * np.tanh(exact / 2)
    assert max(abs(float(sigmoid(x)) - s) for x, s in zip(xs, logistic, strict=True)) < 1.6e-7
    assert np.isnan(tanh(np.float32(np.nan)))
    assert np.isnan(sigmoid(np.float32(np.nan)))


@pytest.mark.parametrize("codec", ["json", "msgpack", "float32"])
def test_no_codecs_columns_make_the_step_compile_anew(codec: Codec) -> None:
    """A compilation takes seconds, on the thread that steps."""
    spec = ModelSpec(name="t", features=("a", "b"), targets=("a",), channels=(Channel("a"),), hidden=4)
    values = {
        "json": msgspec.json.encode({"a": 1.5, "b": 2.5}),
        "msgpack": msgspec.msgpack.encode({"a": 1.5, "b": 2.5}),
        "float32": np.array([1.5, 2.5], "<f4").tobytes(),
    }
    bad = Record(0, 9, 0, b"s", b"")
    good = [Record(0, n, 1_700_000_000_000 + n, b"s%d" % n, values[codec]) for n in range(3)]
    engine = make_engine(make_model(spec, 1), "compiled")
    compiled_for = len(compiled.advance.signatures)
    for records in (good, [*good, bad]):
        ticks, dead = Decoder(spec, codec=codec).decode(records)
        assert (engine.step(ticks).ok.all(), len(dead)) == (True, len(records) - 3)
    assert len(compiled.advance.signatures) == compiled_for
