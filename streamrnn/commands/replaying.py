"""`streamrnn replay`: its options. Imports what it does only when run."""

import argparse
from pathlib import Path

from streamrnn.commands.arguments import FILE_KINDS, add_table_arguments, columns_of, count, positive
from streamrnn.config import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `streamrnn replay`."""
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help=FILE_KINDS)
    add("--speed", type=_speed, default=1.0, help="multiple of recorded time; 0 or max: no waiting (default: 1)")
    add_table_arguments(parser)
    add("--limit", type=count, metavar="ROWS", help="send only the first rows")
    add("--max-gap", type=positive, metavar="SECONDS", help="longest wait between two ticks (default: none)")
    add("--create-topic", type=count, metavar="PARTITIONS", help="create the input topic where it is absent")
    add("--no-progress", action="store_true", help="say only what was read and what was sent")


def _speed(text: str) -> float:
    return 0.0 if text in ("max", "0") else positive(text)


def run_replay(args: argparse.Namespace, settings: Settings) -> int:
    """Read the files as the options say, and play them."""
    from streamrnn.replay.playback import Playback, replay

    playback = Playback(
        paths=tuple(args.files),
        columns=columns_of(args),
        speed=args.speed,
        limit=args.limit,
        max_gap_s=args.max_gap,
        create_partitions=args.create_topic,
        has_progress=not args.no_progress,
    )
    return replay(settings, playback)
