"""The fit of a job: one, resumed where it broke off, shared by a team, or the best of a search. Judges nothing."""

from dataclasses import replace
from typing import NamedTuple

from streamrnn.errors import ConfigError
from streamrnn.nn.heads import head_of
from streamrnn.nn.spec import ModelSpec
from streamrnn.retraining.request import LEAST_WIDE, MOST_WIDE, TICKS_A_PIECE, USUAL_RECIPE, Effort
from streamrnn.retraining.screen import Screen
from streamrnn.retraining.shrinking import CALMEST
from streamrnn.train.fit import Fitted, fit
from streamrnn.train.history import Extent, History, Split
from streamrnn.train.recipe import Recipe
from streamrnn.train.search import Trial, search
from streamrnn.train.team import Team


class Made(NamedTuple):
    """The model with the spec and recipe that made it, and the trials it was chosen from; usual: the recipe of a
    job that asks for nothing."""

    spec: ModelSpec
    recipe: Recipe
    usual: Recipe
    fitted: Fitted
    trials: list[Trial]


def make(spec: ModelSpec, history: History, split: Split, effort: Effort, team: Team, screen: Screen) -> Made:
    """Fit, or search; ConfigError for what does not go together."""
    usual = usual_recipe(spec, split.train, len(history.streams))
    recipe = replace(usual, **effort.recipe)
    if effort.resume and effort.checkpoint is None:
        raise ConfigError("--resume goes on from the folder that --checkpoint names")
    if not effort.trials:
        with screen.fitting(recipe.epochs) as watch:
            places = {"checkpoint": effort.checkpoint, "resume": effort.resume}
            fitted = fit(spec, history, split, recipe, watch, team=team, **places)  # type: ignore[arg-type]
        return Made(spec, recipe, usual, fitted, [])
    if team.size > 1 or effort.checkpoint is not None:
        raise ConfigError("--search goes with neither --checkpoint nor torchrun")
    found = search(spec, recipe, history, split, effort.trials, effort.search_s, recipe.seed, screen.trial)
    return Made(found.spec, found.recipe, usual, found.fitted, found.trials)


def usual_recipe(spec: ModelSpec, train: list[Extent], streams: int) -> Recipe:
    """The usual recipe for this model and history."""
    ticks = sum(extent.length for extent in train)
    return replace(
        USUAL_RECIPE,
        loss=head_of(spec).usual_loss,
        by_stream=streams > 1,
        calmest=CALMEST,
        width=min(MOST_WIDE, max(LEAST_WIDE, round(ticks / TICKS_A_PIECE))),
    )
