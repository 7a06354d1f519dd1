"""`streamrnn replay`: its options. Imports what it does only when run."""

import argparse
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from streamrnn.config import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `streamrnn replay`."""
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help="a .csv, .csv.gz or .parquet file")
    add("--speed", type=_speed, default=1.0, help="multiple of recorded time; 0 or max: no waiting (default: 1)")
    add("--stream-column", metavar="NAME", help="column that names the stream (default: one, named as the file)")
    add("--time-column", metavar="NAME", help="column of event time (default: time, timestamp, date, datetime, ts)")
    add("--time-format", metavar="FORM", help="s, ms, us, ns or such as %%m/%%d/%%Y, where it is not ISO 8601")
    add("--every", type=_positive, metavar="SECONDS", help="time between rows of a file without a time column")
    add("--start", type=_moment, default=0, metavar="TIME", help="time of the first of these (default: 1970-01-01)")
    add("--features", type=_names, metavar="A,B", help="columns to send (default: all numeric ones)")
    add("--wide", action="store_true", help="every column is a stream of its own, its feature is called value")
    add("--missing", action="append", default=[], metavar="TEXT", help="also means no value, besides NA, NaN, null")
    add("--limit", type=_count, metavar="ROWS", help="send only the first rows")
    add("--max-gap", type=_positive, metavar="SECONDS", help="longest wait between two ticks (default: none)")
    add("--create-topic", type=_count, metavar="PARTITIONS", help="create the input topic where it is absent")
    add("--no-progress", action="store_true", help="say only what was read and what was sent")


def _positive(text: str) -> float:
    with suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")


def _count(text: str) -> int:
    with suppress(ValueError):
        if int(text) > 0:
            return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")


def _speed(text: str) -> float:
    return 0.0 if text in ("max", "0") else _positive(text)


def _moment(text: str) -> int:
    """ISO 8601, UTC if it names no zone, to ms since the epoch."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def run_replay(args: argparse.Namespace, settings: Settings) -> int:
    """Read the file as the options say, and play it."""
    from streamrnn.replay.playback import Playback, replay
    from streamrnn.train.tables import Columns

    columns = Columns(
        stream=args.stream_column,
        time=args.time_column,
        features=args.features,
        wide=args.wide,
        missing=tuple(args.missing),
        time_format=args.time_format,
        every_ms=None if args.every is None else round(args.every * 1000),
        start_ms=args.start,
    )
    playback = Playback(
        path=args.file,
        columns=columns,
        speed=args.speed,
        limit=args.limit,
        max_gap_s=args.max_gap,
        create_partitions=args.create_topic,
        has_progress=not args.no_progress,
    )
    return replay(settings, playback)
