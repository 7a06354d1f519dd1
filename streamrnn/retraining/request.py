"""What a retrain job is asked for, as values; a field with a description is an option of `streamrnn retrain`.

Knows nothing of how it is done, and loads no torch: the command line is built of it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

from streamrnn.errors import ConfigError
from streamrnn.retraining.wanted import WantedModel
from streamrnn.tables.description import TableColumns
from streamrnn.train.recipe import Positive, Recipe, Whole

Policy = Literal["never", "if-better", "always"]
Moment = Annotated[int, Meta(title="TIME")]
Offsets = tuple[int, int | None, int | None]
"""A partition, its first offset and the one after its last."""
LEAST_WIDE, MOST_WIDE, TICKS_A_PIECE = 4, 256, 540
"""Pieces of streams side by side, so many that each has about this many ticks."""
USUAL_RECIPE = Recipe(loss="huber", dropout=0.5, weight_decay=0.01)
"""Defaults that hold their own on sensors and prices alike, chosen on validation parts."""
WORKED_OUT = {
    "name": "model.name",
    "targets": "all",
    "loss": "huber, pinball for quantiles",
    "width": f"one for each {TICKS_A_PIECE} ticks of training, {LEAST_WIDE} to {MOST_WIDE}",
    "by_stream": "where there are several",
    "season": "a day by the median gap",
    "offsets": "all",
    "until_ms": "all there is at the start",
}
"""Defaults that are only known when a job runs, in words."""


class Excerpt(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of the history is used, and how it is split; offsets are a topic's."""

    since_ms: Annotated[
        Moment | None, Meta(description="from this time on: event time in files, write time in topics")
    ] = field(default=None, name="since")
    until_ms: Annotated[Moment | None, Meta(description="and before this one")] = field(default=None, name="until")
    offsets: Annotated[tuple[Offsets, ...], Meta(title="PARTITION:FROM-TO", description="only these")] = ()
    shares: Annotated[
        tuple[float, float, float], Meta(title="A,B,C", description="shares of train, validation, test in time")
    ] = field(default=(0.7, 0.15, 0.15), name="split")
    split_each: Annotated[bool, Meta(description="split each stream at its own times, not all at the same")] = False

    def bounds(self) -> dict[int, tuple[int | None, int | None]]:
        """The offsets by partition."""
        return {partition: (first, last) for partition, first, last in self.offsets}


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """How the fit is to go about. recipe: what of the Recipe is not its default."""

    recipe: Mapping[str, Any]
    checkpoint: Annotated[Path | None, Meta(description="keep every epoch here, to go on from after a kill")] = None
    resume: Annotated[
        bool, Meta(description="go on from --checkpoint, to the same weights as without the kill")
    ] = False
    trials: Annotated[Whole | None, Meta(description="choose the best of so many fits (extra: search)")] = field(
        default=None, name="search"
    )
    search_s: Annotated[Positive | None, Meta(description="seconds after which the search begins no other")] = None


class Judging(msgspec.Struct, frozen=True, kw_only=True):
    """By what the model is judged, and where it goes. bundle: a folder to write to instead of the registry."""

    policy: Annotated[Policy, Meta(description="whether it becomes the champion")] = field(
        default="if-better", name="promote"
    )
    margin: Annotated[
        float, Meta(ge=0, lt=1, title="SHARE", description="share by which the test MSE must fall")
    ] = 0.01
    max_worse_streams: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            title="SHARE",
            description="share of streams that may be worse than persistence, unless as many are now",
        ),
    ] = 0.1
    season: Annotated[Whole | None, Meta(title="TICKS", description="of the seasonal baseline")] = None
    ridge_lags: Annotated[Whole, Meta(description="of the ridge baseline")] = 96
    bundle: Annotated[Path | None, Meta(description="write the model to this folder instead of a registry")] = None
    no_live: Annotated[bool, Meta(description="plain lines instead of a progress bar, as in a pipe")] = False


class RetrainRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for. files: the history, the input topic if empty."""

    files: tuple[Path, ...]
    columns: TableColumns
    excerpt: Excerpt
    wanted: WantedModel
    effort: Effort
    judging: Judging

    def check(self) -> None:
        """ConfigError for what does not go together."""
        if self.files and self.excerpt.offsets:
            raise ConfigError("--offsets are a topic's: for files there are --since and --until")
        if len(self.excerpt.bounds()) < len(self.excerpt.offsets):
            raise ConfigError("--offsets names a partition twice")
