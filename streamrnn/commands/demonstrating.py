"""`streamrnn demo`: its options and its three acts: data, training, play."""

import argparse
import asyncio
import logging
import sys

from rich.console import Console

from streamrnn.errors import DataError
from streamrnn.process.terminal import counted

TRAIN_SHARE = 0.6
SECONDS = 20.0
ALL_BUT = 0.98
"""Without --speed the feed takes this part of --seconds, so that time does not cut its end off."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `streamrnn demo`."""
    add = parser.add_argument
    add("--seconds", type=float, default=SECONDS, help="longest play (default: %(default)s)")
    add(
        "--speed",
        metavar="TICKS_PER_S",
        help="ticks a second, all streams together; max: no waiting (default: all that is recorded in --seconds)",
    )
    add("--no-live", action="store_true", help="plain lines instead of a live table, as in a pipe")


def run_demo(args: argparse.Namespace) -> int:
    """Run the demo; 0 when every tick had its prediction, 130 after Ctrl-C."""
    speed = _speed(args.speed)
    if not 0 < args.seconds < float("inf"):
        raise DataError(f"--seconds {args.seconds:g}: must be a number above 0")
    console = Console(highlight=False)
    is_live = console.is_terminal and not args.no_live
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    return _run(console, is_live, args.seconds, speed)


def _speed(text: str | None) -> float | None:
    """Read --speed as ticks a second. 0 stands for `max`, None for an option that is not given."""
    if text in (None, "max"):
        return None if text is None else 0.0
    try:
        speed = float(str(text))
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise DataError(f"--speed {text}: a number of ticks a second, or max")
    return speed


def _run(console: Console, is_live: bool, seconds: float, speed: float | None) -> int:
    from streamrnn.demo.display import LiveDisplay
    from streamrnn.demo.first_model import train
    from streamrnn.demo.recorded import cut, load_recorded
    from streamrnn.demo.session import DemoPlan, play
    from streamrnn.nn.bundle import save_bundle
    from streamrnn.process.interpreter import new_event_loop
    from streamrnn.process.scratch import ScratchFolder

    recorded = load_recorded()
    past, rest = cut(recorded, TRAIN_SHARE)
    units = {one.stream: one.unit for one in recorded}
    console.print(
        f"{counted(len(recorded), 'stream')} of real data: {len(past):,} ticks to train on, {len(rest):,} to play"
    )
    with ScratchFolder("streamrnn-demo-") as folder:
        bundle = folder / "model"
        save_bundle(train(past, console, is_live), bundle)
        plan = DemoPlan(rest, bundle, len(rest) / (ALL_BUT * seconds) if speed is None else speed, seconds)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(play(plan, lambda url: LiveDisplay(console, is_live, units, url)))
