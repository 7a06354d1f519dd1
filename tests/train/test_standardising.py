"""Statistics against plain lists of what each tick of the training part says, and from nothing else."""

import math
from typing import Any, NamedTuple, get_args

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamrnn.errors import DataError
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec, Predicts
from streamrnn.train import standardising
from streamrnn.train.history import Extent, History, split_each
from streamrnn.train.standardising import Moments, set_statistics, stream_scales

from .histories import Streams, history_of, numbers, shaky_streams, ticks_of

PREDICTS: tuple[Predicts, ...] = get_args(Predicts)
LENGTHS = (50, 1, 34, 3)


def make_spec(predicts: Predicts = "change") -> ModelSpec:
    return ModelSpec(
        name="t",
        features=("a", "b"),
        targets=("b", "a"),
        channels=(Channel("a"), Channel("b", "difference"), Channel("a", "log_return"), Channel("b", "level")),
        hidden=3,
        horizons=(1, 5),
        predicts=predicts,
    )


class Said(NamedTuple):
    """What each column has seen, tick by tick, in float64."""

    channels: list[list[float]]
    features: list[list[float]]
    gaps: list[float]
    targets: dict[tuple[int, int], list[float]]


def channel_value(channel: Channel, now: float, before: float) -> float:
    before = now if math.isnan(before) else before
    if channel.kind == "level":
        return now
    if channel.kind == "difference":
        return float(np.float32(now) - np.float32(before))
    return math.log(now / before) if now > 0 and before > 0 else 0.0


def to_head(predicts: Predicts, truth: float, base: float) -> float:
    if predicts == "level" or math.isnan(truth) or math.isnan(base):
        return truth + 0 * base
    if predicts == "change":
        return truth - base
    return math.log(truth / base) if truth > 0 and base > 0 else math.nan


def seen(spec: ModelSpec, history: History, part: list[Extent]) -> Said:
    """One tick after the other."""
    said = Said([[] for _ in spec.channels], [[] for _ in spec.features], [], {})
    for extent in part:
        for at in range(extent.start, extent.stop):
            values, carried = history.values[at].tolist(), history.carried[at].tolist()
            is_first = at == extent.stream_start
            before = [math.nan] * len(values) if is_first else history.carried[at - 1].tolist()
            for feature, value in enumerate(values):
                said.features[feature].append(value)
            for column, channel in enumerate(spec.channels):
                f = spec.features.index(channel.feature)
                if not math.isnan(carried[f]):
                    said.channels[column].append(channel_value(channel, carried[f], before[f]))
            if not is_first:
                said.gaps.append(math.log1p(max(0, history.time_ms[at] - history.time_ms[at - 1]) / 1000))
            for k, horizon in enumerate(spec.horizons):
                for o, target in enumerate(spec.targets):
                    if at + horizon < extent.stop:
                        f = spec.features.index(target)
                        truth = float(history.values[at + horizon, f])
                        said.targets.setdefault((k, o), []).append(to_head(spec.predicts, truth, carried[f]))
    return said


def known(values: list[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def statistics_of(
    spec: ModelSpec, history: History, part: list[Extent], part_numbers: int = 1 << 22
) -> dict[str, NDArray[np.floating]]:
    model = Model(spec)
    set_statistics(model, history, part, part_numbers)
    return {name: rows.double().numpy() for name, rows in model.named_buffers()}


@pytest.mark.parametrize("part_numbers", [1, 9, 1 << 22])
@pytest.mark.parametrize("predicts", PREDICTS)
def test_statistics_are_those_of_plain_lists_of_the_training_part(predicts: Predicts, part_numbers: int) -> None:
    spec, history = make_spec(predicts), history_of(("a", "b"), shaky_streams(4, LENGTHS, 2))
    train = split_each(history, (0.7, 0.2, 0.1)).train
    said, ours = seen(spec, history, train), statistics_of(spec, history, train, part_numbers)
    targets = [[known(said.targets[k, o]) for o in range(2)] for k in range(2)]
    expected: dict[str, Any] = {
        "feature_mean": [np.mean(known(column)) for column in said.features],
        "channel_mean": [np.mean(column) for column in said.channels],
        "channel_std": [np.std(column) for column in said.channels],
        "gap_mean": [np.mean(said.gaps)],
        "gap_std": [np.std(said.gaps)],
        "target_mean": [[np.mean(column) for column in row] for row in targets],
        "target_std": [[np.std(column) for column in row] for row in targets],
    }
    assert set(expected) == set(ours)
    for name, values in expected.items():
        np.testing.assert_allclose(ours[name], values, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("predicts", PREDICTS)
def test_nothing_of_validation_and_test_enters(predicts: Predicts) -> None:
    streams, spec = shaky_streams(4, LENGTHS, 2), make_spec(predicts)
    history = history_of(("a", "b"), streams)
    train = split_each(history, (0.7, 0.2, 0.1)).train
    for (name, ticks), start in zip(streams.items(), history.starts.tolist(), strict=False):
        cut = sum(extent.length for extent in train if extent.stream_start == start)
        streams[name] = ticks[:cut] + [(7 * time_ms, (1e30, -1e30)) for time_ms, _ in ticks[cut:]]
    other = history_of(("a", "b"), streams)
    ours, theirs = statistics_of(spec, history, train), statistics_of(spec, other, train)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert not np.array_equal(history.carried, other.carried)


def test_the_scale_of_the_skip_is_the_deviation_of_changes_over_half_its_lags() -> None:
    history = history_of(("a", "b"), shaky_streams(4, LENGTHS, 2))
    spec = msgspec.structs.replace(make_spec("change"), lags=6)
    train = split_each(history, (0.7, 0.2, 0.1)).train
    changes: list[list[float]] = [[] for _ in spec.targets]
    for extent in train:
        for at in range(extent.stream_start + 3, extent.stop):
            for o, target in enumerate(spec.targets):
                feature = spec.features.index(target)
                changes[o].append(float(history.carried[at - 3, feature]) - float(history.carried[at, feature]))
    expected = [np.std(known(column)) for column in changes]
    np.testing.assert_allclose(statistics_of(spec, history, train)["lag_std"], expected, rtol=1e-5)


@given(st.lists(st.lists(st.tuples(numbers, numbers), max_size=10), max_size=6))
@settings(max_examples=200, deadline=None)
def test_moments_of_parts_are_those_of_the_whole(parts: list[list[tuple[float, float]]]) -> None:
    moments = Moments((2,))
    for part in parts:
        moments.add(np.array(part, np.float32).reshape(-1, 2))
    for column in range(2):
        values = known([row[column] for part in parts for row in part])
        assert moments.count[column] == len(values)
        mean, deviation = (float(np.mean(values)), float(np.std(values))) if values else (0.0, 0.0)
        np.testing.assert_allclose(moments.mean()[column], mean, rtol=1e-9, atol=1e-6)
        varies = deviation > standardising.SMALLEST_DEVIATION * abs(mean)
        expected = deviation if varies else 1
        np.testing.assert_allclose(moments.deviation()[column], expected, rtol=1e-6)


def test_small_changes_of_large_numbers_are_not_lost() -> None:
    moments = Moments(())
    for part in np.split(1e8 + np.tile([0.0, 1000.0], 5000), 10):
        moments.add(part)
    assert moments.deviation() == pytest.approx(500, rel=1e-9)


def test_constant_columns_are_centred_only_and_a_feature_never_seen_is_0() -> None:
    walk = np.random.default_rng(1).normal(size=40).cumsum()
    flat = [np.full(40, 0.1), np.full(40, math.nan), walk]
    history = history_of(("flat", "never", "walk"), {"s": ticks_of(np.stack(flat, 1))})
    channels = (Channel("flat"), Channel("never"), Channel("flat", "difference"), Channel("never", "log_return"))
    spec = ModelSpec(name="t", features=history.features, targets=("walk", "flat"), channels=channels)
    ours = statistics_of(spec, history, [Extent(0, 40, 0)])
    np.testing.assert_allclose(ours["channel_mean"], [0.1, 0, 0, 0], atol=1e-6)
    assert ours["channel_std"].tolist() == [1, 1, 1, 1]
    assert ours["feature_mean"][1] == 0
    assert ours["target_mean"][0, 1] == 0
    assert ours["target_std"][0, 1] == 1


def test_streams_of_one_tick_have_values_but_neither_gaps_nor_changes() -> None:
    history = history_of(("a", "b"), {f"s{n}": ticks_of(np.array([[n, 2 * n]])) for n in range(4)})
    ours = statistics_of(make_spec(), history, [Extent(n, n + 1, n) for n in range(4)])
    assert ours["feature_mean"].tolist() == [1.5, 3]
    assert (ours["gap_mean"].tolist(), ours["gap_std"].tolist()) == ([0], [1])
    assert not ours["target_mean"].any()
    assert (ours["target_std"] == 1).all()


def test_a_target_that_the_training_part_never_observes_is_named() -> None:
    values = np.array([[1, math.nan]] * 10 + [[1, 2]] * 5)
    history = history_of(("a", "b"), {"s": ticks_of(values)})
    with pytest.raises(DataError, match=r"training part holds no value of \['b'\]"):
        set_statistics(Model(make_spec()), history, [Extent(0, 10, 0)])


@pytest.mark.parametrize("part_numbers", [1, 1 << 22])
@pytest.mark.parametrize("predicts", PREDICTS)
def test_a_streams_scale_is_the_root_mean_square_of_its_standardised_targets(
    predicts: Predicts, part_numbers: int
) -> None:
    history = history_of(("a", "b"), shaky_streams(4, LENGTHS, 2))
    train, model = split_each(history, (0.7, 0.2, 0.1)).train, Model(make_spec(predicts))
    set_statistics(model, history, train, part_numbers)
    mean, deviation = model.target_mean.double().numpy(), model.target_std.double().numpy()
    scales = stream_scales(model, history, train, part_numbers)
    assert scales.shape == (4, 2)
    for stream, start in enumerate(history.starts[:-1].tolist()):
        targets = seen(model.spec, history, [e for e in train if e.stream_start == start]).targets
        for o in range(2):
            all_said = [
                (v - mean[k, o]) / deviation[k, o] for k in range(2) for v in known(targets.get((k, o), []))
            ]
            expected = math.sqrt(np.mean(np.square(all_said))) if all_said else 1
            assert scales[stream, o] == pytest.approx(expected, rel=1e-5)


def test_streams_that_never_change_or_are_not_in_the_training_part_have_scale_1() -> None:
    rng = np.random.default_rng(1)
    walks = [rng.normal(size=(30, 2)).cumsum(0), np.ones((30, 2)), 5 * rng.normal(size=(30, 2)).cumsum(0)]
    streams: Streams = {f"s{n}": ticks_of(walk) for n, walk in enumerate(walks)}
    history, model = history_of(("a", "b"), streams), Model(make_spec())
    model.set_stats(target_std=torch.ones(2, 2).numpy())
    scales = stream_scales(model, history, [Extent(0, 20, 0), Extent(30, 50, 30)])
    assert scales[1].tolist() == scales[2].tolist() == [1, 1]
    assert (scales[0] != 1).all()


def fleet(sizes: list[float], length: int = 400) -> Streams:
    """Random walks of unlike size, of two features."""
    rng = np.random.default_rng(3)
    walks = [size * (200 + rng.normal(size=(length, 2)).cumsum(0)) for size in sizes]
    return {f"s{n}": ticks_of(walk) for n, walk in enumerate(walks)}


def bounded(predicts: Predicts = "change") -> ModelSpec:
    return msgspec.structs.replace(make_spec(predicts), bound=20.0, lags=6)


@pytest.mark.parametrize("predicts", PREDICTS)
def test_glitches_in_the_training_part_move_no_statistic(predicts: Predicts) -> None:
    streams = fleet([1.0, 1.0], 2000)
    history, rng = history_of(("a", "b"), streams), np.random.default_rng(5)
    train = split_each(history, (0.7, 0.2, 0.1)).train
    clean = statistics_of(bounded(predicts), history, train)
    for ticks in streams.values():
        for at in rng.choice(2000, 20, replace=False).tolist():
            ticks[at] = ticks[at][0], (-9e6, 1.2e19)
    ours = statistics_of(bounded(predicts), history_of(("a", "b"), streams), train)
    for name in clean:
        np.testing.assert_allclose(ours[name], clean[name], rtol=0.1, atol=0.1, err_msg=name)


def test_without_absurd_numbers_a_bound_changes_no_other_statistic() -> None:
    history = history_of(("a", "b"), fleet([1.0, 3.0]))
    train = split_each(history, (0.7, 0.2, 0.1)).train
    ours = statistics_of(bounded(), history, train)
    plain = statistics_of(msgspec.structs.replace(bounded(), bound=None), history, train)
    assert set(ours) - set(plain) == {"channel_bound", "target_bound", "lag_bound", "lag_least"}
    for name, expected in plain.items():
        np.testing.assert_allclose(ours[name], expected, rtol=1e-6, err_msg=name)


def test_streams_of_one_size_have_the_specs_bound() -> None:
    history = history_of(("a", "b"), fleet([1.0]))
    ours = statistics_of(bounded(), history, split_each(history, (0.7, 0.2, 0.1)).train)
    for name in ("channel_bound", "target_bound", "lag_bound", "lag_least"):
        np.testing.assert_allclose(ours[name], 20.0, rtol=1e-5)


def test_one_large_stream_among_a_thousand_small_keeps_its_inputs_and_its_truths() -> None:
    history = history_of(("a", "b"), fleet([1.0] * 999 + [1000.0], 60))
    train, spec = split_each(history, (0.7, 0.2, 0.1)).train, bounded()
    model = Model(spec)
    set_statistics(model, history, train)
    large = history.carried[train[-1].start : train[-1].stop]
    values, before = torch.from_numpy(large[1:].copy()), torch.from_numpy(large[:-1].copy())
    inputs = (model.channels(values, before) - model.channel_mean) / model.channel_std
    assert float(inputs.abs().max()) > spec.bound  # type: ignore[operator]
    assert (inputs.abs() <= model.channel_bound).all()
    assert (model.lag_least < model.lag_bound / 100).all()


def test_a_small_stream_loses_what_is_absurd_in_its_lags_and_a_large_one_nothing() -> None:
    """Of walks of size 1 and 1000 the deviation of all is that of the large ones."""
    model = Model(bounded())
    model.set_stats(lag_std=[700.0, 700.0], lag_bound=[30.0, 30.0], lag_least=[0.03, 0.03])
    small = torch.tensor([[[20.0, 1.0], [21.0, 1.0], [-9999.0, 1.0], [20.5, 1.0], [20.0, 1.0], [19.0, 1.0]]])
    ours = model.relative(small, torch.tensor([[20.2, 1.0]]))[0, 0]
    assert ours[2] == 0
    np.testing.assert_allclose(ours[[0, 1, 3, 4, 5]], np.array([-0.2, 0.8, 0.3, -0.2, -1.2]) / 700, rtol=1e-4)
    large = model.relative(1000 * small.clamp_min(0), torch.tensor([[20200.0, 1.0]]))[0, 0]
    np.testing.assert_allclose(large, np.array([-0.2, 0.8, -20.2, 0.3, -0.2, -1.2]) / 0.7, rtol=1e-4)
