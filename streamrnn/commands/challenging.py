"""`streamrnn models` where a version takes over from a running one: its options. Imports what it does when run."""

import argparse
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from streamrnn.commands.arguments import positive
from streamrnn.errors import DataError
from streamrnn.process.terminal import plain

if TYPE_CHECKING:
    from streamrnn.models.standing import GroupStanding
    from streamrnn.registry import Registry

Act = Callable[["Registry", argparse.Namespace], None]
AddAction = Callable[[str, str, Act], argparse.ArgumentParser]
"""Adds an action by its name, help and what does it."""
TIMEOUT_S, PAUSE_S = 600.0, 2.0


def add_challenge_actions(add: AddAction) -> None:
    """Add the actions on a challenger, and those that look at who runs."""
    for name in ("stage", "challenge"):
        said = "run a version beside the champion" if name == "stage" else "the same as stage"
        staging = add(name, said, _stage)
        staging.add_argument("label", metavar="NAME@VERSION", help="checked before it is pointed at")
        add_waiting(staging, "ready")
    unstaging = add("unstage", "let no version run beside the champion", _unstage)
    unstaging.add_argument("name", metavar="NAME")
    status = add("status", "how far each partition of each running worker is", _status)
    status.add_argument("--watch", action="store_true", help="show it anew until Ctrl-C")
    status.add_argument(
        "--every", type=positive, default=PAUSE_S, metavar="S", help="pause of --watch (default: %(default)s)"
    )
    comparing = add("compare", "the live errors of champion and challenger", _compare)
    for shown in (status, comparing):
        shown.add_argument("name", metavar="NAME")
        shown.add_argument("--json", action="store_true", help="print JSON; with --watch a line each time")
        _add_group(shown)


def add_waiting(parser: argparse.ArgumentParser, until: str) -> None:
    """Add the options that have a command wait for the workers."""
    parser.add_argument("--wait", action="store_true", help=f"until every partition of the workers is {until}")
    parser.add_argument(
        "--timeout", type=positive, default=TIMEOUT_S, metavar="S", help="of --wait (default: %(default)s)"
    )
    _add_group(parser)


def _add_group(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--group", metavar="GROUP", help="only workers of this consumer group")


def parted(label: str) -> tuple[str, int | None]:
    """A label's name, and its version or None."""
    name, at, version = label.rpartition("@")
    if at and version.isascii() and version.isdigit() and len(version) < 19:
        return name, int(version)
    return label, None


def versioned(label: str) -> tuple[str, int]:
    """A label's name and version; DataError where it has none."""
    name, version = parted(label)
    if version is None:
        raise DataError(f"{label}: name a version: {label}@VERSION")
    return name, version


def _stage(registry: "Registry", args: argparse.Namespace) -> None:
    from streamrnn.models.waiting import is_ready

    name, version = versioned(args.label)
    registry.verify(name, version)
    before = registry.stage(name, version)
    if before == version:
        print(plain(f"{name}: {version} is the challenger already"))
    else:
        print(plain(f"{name}: challenger {'none' if before is None else before} -> {version}"))
    print(plain(f"daemons that serve {name} will load it beside their champion within model.poll_s"))
    wait_for(is_ready, registry, args, f"{name}@{version}")


def wait_for(
    is_done: Callable[["GroupStanding", str], bool], registry: "Registry", args: argparse.Namespace, label: str
) -> None:
    """Wait for the workers where the options say so."""
    from streamrnn.models.standing import standing_of
    from streamrnn.models.waiting import wait_until

    if args.wait:
        look = partial(standing_of, registry, parted(label)[0], args.group)
        wait_until(is_done, label, look, lambda text: print(plain(text), flush=True), args.timeout)


def _unstage(registry: "Registry", args: argparse.Namespace) -> None:
    registry.unstage(args.name)
    print(plain(f"{args.name}: no version runs beside the champion"))


def _status(registry: "Registry", args: argparse.Namespace) -> None:
    from streamrnn.models.standing import standing_of
    from streamrnn.models.standing_table import print_standing, print_standing_json, watch_standing

    look = partial(standing_of, registry, args.name, args.group)
    if not args.watch:
        (print_standing_json if args.json else print_standing)(look())
        return
    with suppress(KeyboardInterrupt):  # the way to end it
        watch_standing(look, args.every, args.json)


def _compare(registry: "Registry", args: argparse.Namespace) -> None:
    from streamrnn.models.comparison import comparisons
    from streamrnn.models.comparison_table import print_comparisons, print_comparisons_json

    found = comparisons(registry, args.name, args.group)
    if args.json:
        print_comparisons_json(found)
    else:
        print_comparisons(found, args.name)
