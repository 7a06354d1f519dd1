"""Looks for a better spec and recipe by fitting many; the validation part judges, the test part is never read.

Owns Optuna, an extra that is imported when a search begins. Knows neither files nor Kafka.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import torch

from streamrnn.errors import ConfigError, DataError
from streamrnn.nn.spec import CellKind, ModelSpec
from streamrnn.train.fit import Fitted, Watch, fit
from streamrnn.train.history import History, Split
from streamrnn.train.recipe import Epoch, Recipe

if TYPE_CHECKING:
    import optuna

Outcome = Literal["finished", "pruned", "failed"]
STARTUP_TRIALS = 10
"""At most so many are drawn at random before the sampler learns from them; of few trials, a third."""
JUDGED_TRIALS = 3
"""Finished before another may be pruned, after the epochs of its warm-up and two more."""


@dataclass(frozen=True, slots=True)
class Space:
    """What is tried; what the search begins with is tried too, wherever it lies. learning_rate: from, to."""

    cells: tuple[CellKind, ...] = ("gru", "lstm", "mingru")
    hidden: tuple[int, ...] = (16, 24, 32, 48, 64, 96, 128, 192, 256)
    layers: tuple[int, ...] = (1, 2, 3)
    lags: tuple[int, ...] = (0, 4, 8, 16, 32, 64, 128)
    chunk: tuple[int, ...] = (16, 32, 64, 128, 256)
    dropout: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.5)
    learning_rate: tuple[float, float] = (3e-4, 3e-2)


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One fit of a search. validation_loss: its best, None before the first epoch ended; reason: why it failed."""

    number: int
    cell: CellKind
    hidden: int
    layers: int
    lags: int
    chunk: int
    dropout: float
    learning_rate: float
    outcome: Outcome
    validation_loss: float | None
    epochs: int
    seconds: float
    reason: str = ""


class Sought(NamedTuple):
    """The best trial's spec, recipe and fit, and all trials in order."""

    spec: ModelSpec
    recipe: Recipe
    fitted: Fitted
    trials: list[Trial]

    @property
    def best(self) -> Trial:
        """The one whose fit it is."""
        finished = [trial for trial in self.trials if trial.outcome == "finished"]
        return min(finished, key=_loss)


class _Pruned(Exception):
    """Inside only: this trial is not worth its other epochs."""


def search(
    spec: ModelSpec,
    recipe: Recipe,
    history: History,
    split: Split,
    trials: int,
    budget_s: float | None = None,
    seed: int = 1,
    watch: Callable[[Trial], None] | None = None,
    space: Space | None = None,
) -> Sought:
    """The best of so many fits, of which the first is of `spec` and `recipe` themselves.

    budget_s: wall time after which no trial and no epoch begins. The sampler is the tree-structured
    Parzen estimator (Bergstra et al. 2011); a trial worse than the median of the earlier ones at the same epoch
    is given up (Golovin et al. 2017). watch: told of each trial that ended. One that fails counts and is passed
    over; DataError when all do. ConfigError when Optuna is not installed.
    """
    axes = _Axes(spec, recipe, space or Space())
    under_way = _Search(axes, history, split, budget_s)
    with _quiet(_optuna()) as optuna_:
        study = _make_study(optuna_, axes, trials, seed)
        for number in range(max(1, trials)):
            if number and under_way.is_late():
                break
            asked = study.ask()
            trial = under_way.attempt(number, asked)
            study.tell(asked, _loss(trial) if trial.outcome == "finished" else None, _state(optuna_, trial))
            if watch:
                watch(trial)
    return under_way.found()


def _optuna() -> ModuleType:
    try:
        import optuna
    except ImportError as error:
        raise ConfigError("a search needs Optuna: pip install 'streamrnn[search]'") from error
    return optuna


@contextmanager
def _quiet(optuna_: Any) -> Iterator[Any]:
    """Optuna's own lines about each trial are not printed."""
    before = optuna_.logging.get_verbosity()
    optuna_.logging.set_verbosity(optuna_.logging.WARNING)
    try:
        yield optuna_
    finally:
        optuna_.logging.set_verbosity(before)


def _make_study(optuna_: Any, axes: "_Axes", trials: int, seed: int) -> "optuna.Study":
    startup = max(1, min(STARTUP_TRIALS, trials // 3))
    sampler = optuna_.samplers.TPESampler(seed=seed, n_startup_trials=startup)
    pruner = optuna_.pruners.MedianPruner(n_startup_trials=JUDGED_TRIALS, n_warmup_steps=axes.recipe.warm_up + 2)
    study: optuna.Study = optuna_.create_study(sampler=sampler, pruner=pruner)
    study.enqueue_trial(axes.base())
    return study


def _state(optuna_: Any, trial: Trial) -> "optuna.trial.TrialState":
    states = optuna_.trial.TrialState
    state: optuna.trial.TrialState = {
        "finished": states.COMPLETE,
        "pruned": states.PRUNED,
        "failed": states.FAIL,
    }[trial.outcome]
    return state


def _loss(trial: Trial) -> float:
    return math.inf if trial.validation_loss is None else trial.validation_loss


class _Axes:
    """A space with what the search begins with in it. Numbers are sampled by their places: near is alike."""

    def __init__(self, spec: ModelSpec, recipe: Recipe, space: Space) -> None:
        self.spec, self.recipe = spec, recipe
        self._cells = list(dict.fromkeys((*space.cells, spec.cell)))
        self._numbers: dict[str, list[int] | list[float]] = {
            "hidden": sorted({*space.hidden, spec.hidden}),
            "layers": sorted({*space.layers, spec.layers}),
            "lags": sorted({*space.lags, spec.lags}),
            "chunk": sorted({*space.chunk, recipe.chunk}),
            "dropout": sorted({*space.dropout, recipe.dropout}),
        }
        rates = (*space.learning_rate, recipe.learning_rate)
        self._rates = min(rates), max(rates)

    def base(self) -> dict[str, Any]:
        """What the search begins with, as Optuna's parameters."""
        places = {name: line.index(self._own(name)) for name, line in self._numbers.items()}
        return {"cell": self.spec.cell, "learning_rate": self.recipe.learning_rate, **places}

    def propose(self, asked: "optuna.Trial") -> tuple[ModelSpec, Recipe]:
        """The spec and recipe of a trial."""
        cell: Any = asked.suggest_categorical("cell", self._cells)
        rate = asked.suggest_float("learning_rate", *self._rates, log=True)
        drawn: dict[str, Any] = {
            name: line[asked.suggest_int(name, 0, len(line) - 1)] for name, line in self._numbers.items()
        }
        in_recipe = {name: drawn.pop(name) for name in ("chunk", "dropout")}
        spec = msgspec.structs.replace(self.spec, cell=cell, **drawn)
        return spec, replace(self.recipe, learning_rate=rate, **in_recipe)

    def _own(self, name: str) -> Any:
        return getattr(self.spec if hasattr(self.spec, name) else self.recipe, name)


class _Search:
    """Trials one after the other, and the best so far."""

    def __init__(self, axes: _Axes, history: History, split: Split, budget_s: float | None) -> None:
        self._axes, self._history, self._split, self._budget_s = axes, history, split, budget_s
        self._began = time.perf_counter()
        self._trials: list[Trial] = []
        self._best: tuple[ModelSpec, Recipe, Fitted] | None = None
        self._best_loss = math.inf

    def is_late(self) -> bool:
        """Whether the time is up."""
        return self._left_s() <= 0

    def _left_s(self) -> float:
        spent = time.perf_counter() - self._began
        return math.inf if self._budget_s is None else self._budget_s - spent

    def attempt(self, number: int, asked: "optuna.Trial") -> Trial:
        """One fit, kept if it is the best."""
        spec, recipe = self._axes.propose(asked)
        began, losses = time.perf_counter(), list[float]()

        def watch(epoch: Epoch) -> None:
            losses.append(epoch.validation_loss)
            asked.report(epoch.validation_loss, epoch.number - 1)  # steps are from 0
            if asked.should_prune():
                raise _Pruned

        outcome, reason = self._fit(spec, recipe, watch)
        trial = Trial(
            number=number,
            cell=spec.cell,
            hidden=spec.hidden,
            layers=spec.layers,
            lags=spec.lags,
            chunk=recipe.chunk,
            dropout=recipe.dropout,
            learning_rate=recipe.learning_rate,
            outcome=outcome,
            validation_loss=min(losses, default=None),
            epochs=len(losses),
            seconds=time.perf_counter() - began,
            reason=reason,
        )
        self._trials.append(trial)
        return trial

    def _fit(self, spec: ModelSpec, recipe: Recipe, watch: Watch) -> tuple[Outcome, str]:
        """How it ended, and why if badly."""
        left_s = min(self._left_s(), math.inf if recipe.budget_s is None else recipe.budget_s)
        timed = replace(recipe, budget_s=left_s if math.isfinite(left_s) else None)
        try:
            fitted = fit(spec, self._history, self._split, timed, watch)
        except _Pruned:
            return "pruned", ""
        except (DataError, torch.OutOfMemoryError) as error:
            return "failed", str(error)
        loss = min((epoch.validation_loss for epoch in fitted.epochs), default=math.inf)
        if loss < self._best_loss:
            self._best, self._best_loss = (spec, recipe, fitted), loss
        return "finished", ""

    def found(self) -> Sought:
        """DataError when no trial gave a model."""
        if self._best is None:
            first = self._trials[0].reason
            raise DataError(f"none of {len(self._trials)} trials gave a model; the first: {first}")
        return Sought(*self._best, self._trials)
