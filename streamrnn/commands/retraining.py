"""`streamrnn retrain`: its options, which are the fields of what a job is asked for. Imports the work when run."""

import argparse
from pathlib import Path

from streamrnn.commands.arguments import FILE_KINDS, add_table_arguments, columns_of
from streamrnn.commands.flags import add_flags, given
from streamrnn.config import Settings
from streamrnn.retraining.request import USUAL_RECIPE, WORKED_OUT, Effort, Excerpt, Judging, RetrainRequest
from streamrnn.retraining.wanted import USUAL, WantedModel
from streamrnn.train.recipe import Recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `streamrnn retrain`."""
    group = parser.add_argument_group
    history = group("history: files, else the input topic")
    history.add_argument("files", nargs="*", type=Path, metavar="FILE", help=FILE_KINDS)
    add_flags(history, Excerpt, worked_out=WORKED_OUT)
    add_table_arguments(group("columns of the files"))
    add_flags(
        group("the model: what is not given is the champion's, else the default"), WantedModel, USUAL, WORKED_OUT
    )
    fit = group("the fit")
    add_flags(fit, Recipe, USUAL_RECIPE, WORKED_OUT)
    add_flags(fit, Effort)
    add_flags(group("judging and publishing"), Judging, worked_out=WORKED_OUT)


def run_retrain(args: argparse.Namespace, settings: Settings) -> int:
    """Collect history, fit a model, judge it, publish it, and promote it if it is better."""
    from streamrnn.retraining.retrain_job import retrain

    wanted = given(args, WantedModel)
    job = RetrainRequest(
        files=tuple(args.files),
        columns=columns_of(args),
        excerpt=Excerpt(**given(args, Excerpt)),
        wanted=WantedModel(
            **wanted | {"name": wanted.get("name") or settings.model.name or "model"},
            features=None if args.wide else args.features,
        ),
        effort=Effort(recipe=given(args, Recipe), **given(args, Effort)),
        judging=Judging(**given(args, Judging)),
    )
    job.check()
    return retrain(settings, job)
