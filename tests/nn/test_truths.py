"""Which truths count, one number at a time, in numpy and as both executors see it."""

import math
from typing import get_args

import numpy as np
import pytest
import torch

from streamrnn.nn.kernels.compiled_heads import counts
from streamrnn.nn.kernels.transforms import transforms_of
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec, Predicts
from streamrnn.nn.truths import truths_of

VALUES = [-9999.0, -1.0, 0.0, 0.5, 1.0, 2.0, 2.5, 30.0, 1.2e19, math.nan]
MEAN, STD, BOUND = 0.25, 0.5, 4.0


def make_model(predicts: Predicts, bound: float | None = BOUND) -> Model:
    spec = ModelSpec(
        name="t",
        features=("a",),
        targets=("a",),
        channels=(Channel("a"),),
        horizons=(1, 3),
        predicts=predicts,
        bound=bound,
    )
    model = Model(spec)
    model.set_stats(target_mean=[[0], [MEAN]], target_std=[[1], [STD]])
    return model


def is_beyond(predicts: Predicts, truth: float, base: float) -> bool:
    if math.isnan(truth) or math.isnan(base):
        return False
    if predicts == "level":
        return max(abs(truth - MEAN), abs(base - MEAN)) > BOUND * STD
    if predicts == "change":
        return abs(truth - base - MEAN) > BOUND * STD
    return truth <= 0 or base <= 0 or abs(math.log(truth / base) - MEAN) > BOUND * STD


@pytest.mark.parametrize("predicts", get_args(Predicts))
def test_a_truth_counts_if_neither_it_nor_its_base_is_absurd(predicts: Predicts) -> None:
    model = make_model(predicts)
    grid = [(truth, base) for truth in VALUES for base in VALUES]
    expected = [is_beyond(predicts, *pair) for pair in grid]
    assert 0 < sum(expected) < len(expected)
    truth, base = (np.array(column, np.float32)[:, None, None] for column in zip(*grid, strict=True))
    beyond = truths_of(model, (3,)).beyond(truth, base)
    assert beyond.ravel().tolist() == expected
    known = [not any(map(math.isnan, pair)) for pair in grid]
    torch_counts = model.counts(1, torch.from_numpy(truth[:, 0]), torch.from_numpy(base[:, 0]))
    transforms = transforms_of(model)
    compiled = [counts(transforms, 1, 0, np.float32(t), np.float32(b)) for t, b in grid]
    right = [not beyond for beyond, is_known in zip(expected, known, strict=True) if is_known]
    for ours in (torch_counts.ravel().tolist(), compiled):
        assert [one for one, is_known in zip(ours, known, strict=True) if is_known] == right


@pytest.mark.parametrize("predicts", get_args(Predicts))
def test_without_a_bound_all_count(predicts: Predicts) -> None:
    model = make_model(predicts, None)
    truth = np.array([[[-9999.0]], [[1.2e19]], [[0.0]]], np.float32)
    assert not truths_of(model, (1, 3)).beyond(truth, np.ones((3, 2, 1), np.float32)).any()
    assert model.counts(0, torch.from_numpy(truth[:, 0]), torch.ones(3, 1)).all()
    assert all(counts(transforms_of(model), 0, 0, t, np.float32(1)) for t in truth.ravel())
