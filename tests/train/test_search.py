"""A search: what it may try and may see, what it makes of trials that go wrong, and that it finds what is there."""

import math
import sys
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from streamrnn.errors import ConfigError, DataError
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.train.fit import Recipe, fit
from streamrnn.train.history import History, Split, split_each
from streamrnn.train.search import Sought, Space, Trial, search

from .histories import history_of, ticks_of

SPEC = ModelSpec(name="t", features=("x",), targets=("x",), channels=(Channel("x"),), hidden=3, predicts="level")
RECIPE = Recipe(epochs=6, chunk=24, width=8, burn_in=8, warm_up=0, learning_rate=0.02)
SPACE = Space(
    cells=("gru", "mingru"), hidden=(2, 4, 8), layers=(1, 2), lags=(0, 4), chunk=(16, 32), dropout=(0.0, 0.2)
)


@pytest.fixture(autouse=True)
def _optuna() -> None:
    pytest.importorskip("optuna", reason="the extra `search` is not installed")


def waves(after: float = 0.0) -> History:
    """Two streams; in their last tenths `after` is added."""
    rng, streams = np.random.default_rng(2), {}
    for n in range(2):
        values = 3 * np.sin(np.arange(200) * (0.7 + n)) + 0.1 * rng.normal(size=200)
        values[180:] += after
        streams[f"s{n}"] = ticks_of(values)
    return history_of(("x",), streams)


def parts(history: History) -> Split:
    return split_each(history, (0.7, 0.2, 0.1))


def run(trials: int = 6, history: History | None = None, recipe: Recipe = RECIPE, **options: Any) -> Sought:
    history = history or waves()
    return search(SPEC, recipe, history, parts(history), trials, **{"space": SPACE, **options})


def table(found: Sought) -> list[Trial]:
    return [msgspec.structs.replace(trial, seconds=0.0) for trial in found.trials]


def test_the_first_trial_is_what_the_search_began_with_and_the_best_is_no_worse() -> None:
    """And the best is what its spec and recipe give by themselves."""
    watched = list[Trial]()
    found, base = run(8, watch=watched.append), fit(SPEC, waves(), parts(waves()), RECIPE)
    first, losses = (
        found.trials[0],
        [t.validation_loss or math.inf for t in found.trials if t.outcome == "finished"],
    )
    assert watched == found.trials
    assert [trial.number for trial in watched] == list(range(8))
    assert (first.cell, first.hidden, first.layers, first.lags) == ("gru", 3, 1, 0)
    assert (first.chunk, first.dropout, first.learning_rate, first.outcome) == (24, 0.0, 0.02, "finished")
    assert first.validation_loss == base.epochs[base.best - 1].validation_loss
    assert found.best.validation_loss == min(losses) < 0.7 * losses[0]
    again = fit(found.spec, waves(), parts(waves()), found.recipe)
    assert again.epochs[again.best - 1].validation_loss == min(losses)
    assert found.fitted.model.spec == found.spec
    assert (found.spec.hidden, found.recipe.chunk) == (found.best.hidden, found.best.chunk)


def test_what_is_tried_lies_in_the_space_or_is_the_beginning() -> None:
    found = run(6, recipe=replace(RECIPE, epochs=1))
    for trial in found.trials:
        assert trial.cell in SPACE.cells
        assert trial.hidden in (*SPACE.hidden, 3)
        assert trial.layers in SPACE.layers
        assert trial.lags in SPACE.lags
        assert trial.chunk in (*SPACE.chunk, 24)
        assert trial.dropout in SPACE.dropout
        assert 3e-4 <= trial.learning_rate <= 3e-2
    assert len({trial.hidden for trial in found.trials}) > 1
    wide = run(1, recipe=replace(RECIPE, epochs=1, learning_rate=0.5, dropout=0.05)).trials
    assert (wide[0].learning_rate, wide[0].dropout) == (0.5, 0.05)


def test_the_same_seed_gives_the_same_trials_whatever_the_test_part_holds() -> None:
    one, blind, other = (table(run(4, **more)) for more in ({}, {"history": waves(after=1e6)}, {"seed": 2}))
    assert one == blind != other


def test_a_trial_worse_than_the_median_of_the_earlier_ones_is_given_up() -> None:
    found = run(10, recipe=replace(RECIPE, epochs=8, patience=99))
    pruned = [trial for trial in found.trials if trial.outcome == "pruned"]
    assert pruned
    for trial in pruned:
        assert trial.number >= 3
        assert 3 <= trial.epochs < 8
        assert trial.validation_loss is not None


def failing(monkeypatch: pytest.MonkeyPatch, numbers: set[int]) -> None:
    """The fits of these trials lose their finite numbers."""
    calls = list[int]()

    def fitting(*given: Any) -> Any:
        calls.append(len(calls))
        if calls[-1] in numbers:
            raise DataError("the loss of epoch 1 is not finite")
        return fit(*given)

    monkeypatch.setattr("streamrnn.train.search.fit", fitting)


def test_trials_that_fail_are_counted_and_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, {0, 2})
    found = run(4)
    assert [trial.outcome == "failed" for trial in found.trials] == [True, False, True, False]
    assert (found.trials[0].validation_loss, found.trials[0].epochs) == (None, 0)
    assert found.trials[2].reason == "the loss of epoch 1 is not finite"
    assert found.best.outcome == "finished"


def test_a_rate_far_too_high_fails_for_real_and_the_search_goes_on() -> None:
    found = run(5, recipe=replace(RECIPE, learning_rate=1e30, clip=math.inf), space=replace(SPACE, lags=(0,)))
    assert found.trials[0].outcome == "failed"
    assert "is not finite" in found.trials[0].reason
    assert math.isfinite(found.best.validation_loss or math.nan)


def test_when_every_trial_fails_the_first_one_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, {0, 1, 2})
    with pytest.raises(DataError, match="none of 3 trials gave a model; the first: the loss of epoch 1 is not"):
        run(3)


def test_no_trial_begins_once_the_time_is_up_and_the_first_always_does() -> None:
    one = run(50, budget_s=0.0)
    assert [(trial.outcome, trial.epochs) for trial in one.trials] == [("finished", 1)]
    some = run(1000, budget_s=1.0)
    assert 1 < len(some.trials) < 1000
    assert sum(trial.seconds for trial in some.trials) < 3
    assert some.recipe.budget_s is None


def test_a_watch_that_raises_ends_the_search() -> None:
    def stop(trial: Trial) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(watch=stop)


def test_optunas_own_lines_are_not_printed_and_its_level_is_as_before(capfd: pytest.CaptureFixture[str]) -> None:
    import optuna

    before, seen = optuna.logging.get_verbosity(), list[int]()
    run(2, watch=lambda trial: seen.append(optuna.logging.get_verbosity()))
    assert seen == [optuna.logging.WARNING] * 2
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"a search needs Optuna: pip install 'streamrnn\[search\]'"):
        run()


def test_a_trial_is_a_line_of_a_report() -> None:
    [trial] = run(1).trials
    assert msgspec.json.decode(msgspec.json.encode(trial), type=Trial) == trial
