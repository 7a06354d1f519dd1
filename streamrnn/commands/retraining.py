"""`streamrnn retrain`: its options. Imports what it does only when run."""

import argparse
from pathlib import Path

from streamrnn.commands.arguments import (
    FILE_KINDS,
    add_table_arguments,
    columns_of,
    count,
    counts,
    moment,
    names,
    not_negative,
    numbers,
    positive,
    share,
)
from streamrnn.config import Settings
from streamrnn.errors import ConfigError

SHARES = (0.7, 0.15, 0.15)
MARGIN = 0.01
MAX_WORSE_STREAMS = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `streamrnn retrain`."""
    _add_history(parser.add_argument_group("history: files, else the input topic"))
    add_table_arguments(parser.add_argument_group("columns of the files"))  # type: ignore[arg-type]
    _add_model(parser.add_argument_group("the model: what is not given is the champion's, else a default"))
    _add_fit(parser.add_argument_group("the fit"))
    _add_publishing(parser.add_argument_group("judging and publishing"))


def _add_history(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add("files", nargs="*", type=Path, metavar="FILE", help=FILE_KINDS)
    add("--since", type=moment, metavar="TIME", help="from this time on: event time in files, write time in topics")
    add("--until", type=moment, metavar="TIME", help="and before this one (default: all there is at the start)")
    add("--offsets", type=_offsets, action="append", default=[], metavar="PARTITION:FROM-TO", help="only these")
    add("--split", type=_shares, default=SHARES, metavar="A,B,C", help="shares of train, validation, test in time")
    add("--split-each", action="store_true", help="split each stream at its own times, not all at the same")


def _add_model(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add("--name", help="the model's name in the registry (default: model.name)")
    add("--targets", type=names, metavar="A,B", help="features to predict (default: all)")
    add("--channels", type=names, metavar="A,B", help="of each feature: level, difference, log_return")
    add("--time-features", type=_some_names, metavar="A,B", help="hour, weekday, log_gap; none for none")
    add("--on-missing", choices=("carry", "mask", "reject"), help="what a missing feature means")
    add("--cell", choices=("elman", "gated", "gru", "lstm", "mingru"))
    add("--hidden", type=count, metavar="N")
    add("--layers", type=count, metavar="N")
    add("--lags", type=_lags, metavar="N", help="last values that go straight to the output; 0 for none")
    add("--bound", type=_bound, metavar="N", help="deviations, above 1, beyond which an input is unknown; 0: none")
    add("--horizons", type=counts, metavar="1,24", help="ticks ahead; 1-96 for all of them")
    add("--quantiles", type=_quantiles, metavar="0.1,0.5,0.9", help="a head of quantiles; none for a point")
    add("--predicts", choices=("change", "level", "log_change"))


def _add_fit(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    for name, kind, text in (
        ("epochs", count, "passes over the training part at most"),
        ("learning-rate", positive, "of AdamW at its highest"),
        ("weight-decay", not_negative, "of AdamW, on matrices"),
        ("clip", positive, "largest norm of the gradients"),
        ("chunk", count, "ticks that are back-propagated through"),
        ("width", count, "pieces of streams side by side"),
        ("burn-in", count, "ticks that only warm a piece's state up"),
        ("dropout", share, "on what each layer gives"),
        ("average", share, "how much of the mean of the weights each step keeps"),
        ("patience", count, "epochs without a better validation loss before the end"),
        ("seed", count, "of everything random"),
        ("budget-s", positive, "wall time after which no epoch begins"),
        ("threads", count, "of the CPU"),
    ):
        add(f"--{name}", type=kind, metavar="N", help=text)
    add("--loss", choices=("mse", "mae", "huber", "pinball"), help="default huber, pinball for quantiles")
    add("--checkpoint", type=Path, metavar="DIR", help="keep every epoch here, to go on from after a kill")
    add("--resume", action="store_true", help="go on from --checkpoint, to the same weights as without the kill")
    add("--search", type=count, metavar="N", help="choose the best of so many fits (extra: search)")
    add("--search-s", type=positive, metavar="N", help="seconds after which the search begins no other")
    text = "divide each stream's errors by its own liveliness (default: where there are several)"
    add("--by-stream", action=argparse.BooleanOptionalAction, default=None, help=text)


def _add_publishing(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add("--promote", choices=("never", "if-better", "always"), default="if-better", help="default: %(default)s")
    add("--margin", type=share, default=MARGIN, help="share by which the test MSE must fall (default: %(default)s)")
    text = "share of streams that may be worse than persistence, unless as many are now (default: %(default)s)"
    add("--max-worse-streams", type=_part, default=MAX_WORSE_STREAMS, metavar="SHARE", help=text)
    add("--season", type=count, metavar="TICKS", help="of the seasonal baseline (default: a day by the median gap)")
    add("--ridge-lags", type=count, default=96, metavar="N", help="of the ridge baseline (default: %(default)s)")
    add("--bundle", type=Path, metavar="DIR", help="write the model to this folder instead of a registry")
    add("--no-live", action="store_true", help="plain lines instead of a progress bar, as in a pipe")


def _offsets(text: str) -> tuple[int, int | None, int | None]:
    """PARTITION:FROM-TO, either end may be left out."""
    partition, colon, span = text.partition(":")
    first, dash, last = span.partition("-")
    parts = (partition, first or "0", last or "0")
    if not (colon and dash and all(part.isdecimal() for part in parts)):
        raise argparse.ArgumentTypeError(f"{text!r} is not like 3:1000-2000")
    return int(partition), int(first) if first else None, int(last) if last else None


def _shares(text: str) -> tuple[float, ...]:
    found = numbers(text)
    if len(found) != 3:
        raise argparse.ArgumentTypeError(f"{text!r}: three shares, not {len(found)}")
    if min(found) < 0 or 0 in (found[0], found[2]) or abs(sum(found) - 1) > 1e-6:
        raise argparse.ArgumentTypeError(f"{text!r}: shares sum to 1, only that of validation may be 0")
    return found


def _part(text: str) -> float:
    """A share that may be all."""
    return 1.0 if text in ("1", "1.0") else share(text)


def _quantiles(text: str) -> tuple[float, ...]:
    return () if text == "none" else numbers(text)


def _lags(text: str) -> int:
    return 0 if text == "0" else count(text)


def _bound(text: str) -> float:
    return 0.0 if text == "0" else positive(text)


def _some_names(text: str) -> tuple[str, ...]:
    return () if text == "none" else names(text)


def _bounds(args: argparse.Namespace) -> dict[int, tuple[int | None, int | None]]:
    """What --offsets said, by partition."""
    if args.files and args.offsets:
        raise ConfigError("--offsets are a topic's: for files there are --since and --until")
    found = {partition: (first, last) for partition, first, last in args.offsets}
    if len(found) < len(args.offsets):
        raise ConfigError("--offsets names a partition twice")
    return found


RECIPE_OPTIONS = (
    "epochs",
    "learning_rate",
    "weight_decay",
    "clip",
    "chunk",
    "width",
    "burn_in",
    "dropout",
    "average",
    "patience",
    "seed",
    "budget_s",
    "threads",
    "loss",
    "by_stream",
)


def run_retrain(args: argparse.Namespace, settings: Settings) -> int:
    """Collect, fit, judge, publish, promote."""
    from streamrnn.retraining.fitting import Effort
    from streamrnn.retraining.job import retrain
    from streamrnn.retraining.request import Job
    from streamrnn.retraining.spec import Wanted

    wanted = Wanted(
        name=args.name or settings.model.name or "model",
        features=None if args.wide else args.features,
        targets=args.targets,
        channels=args.channels,
        time_features=args.time_features,
        missing=args.on_missing,
        cell=args.cell,
        hidden=args.hidden,
        layers=args.layers,
        horizons=args.horizons,
        quantiles=args.quantiles,
        predicts=args.predicts,
        lags=args.lags,
        bound=args.bound,
    )
    job = Job(
        wanted=wanted,
        files=tuple(args.files),
        columns=columns_of(args),
        since_ms=args.since,
        until_ms=args.until,
        offsets=_bounds(args),
        shares=args.split,
        split_each=args.split_each,
        effort=Effort(
            recipe={name: value for name in RECIPE_OPTIONS if (value := getattr(args, name)) is not None},
            checkpoint=args.checkpoint,
            resume=args.resume,
            trials=args.search or 0,
            search_s=args.search_s,
        ),
        policy=args.promote,
        margin=args.margin,
        max_worse_streams=args.max_worse_streams,
        season=args.season,
        ridge_lags=args.ridge_lags,
        bundle=args.bundle,
        has_bar=not args.no_live,
    )
    return retrain(settings, job)
