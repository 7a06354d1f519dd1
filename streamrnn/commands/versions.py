"""`streamrnn models`: its options. Imports what it does only when run."""

import argparse
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from streamrnn.commands.arguments import count
from streamrnn.commands.challenging import add_challenge_actions, add_waiting, parted, versioned, wait_for
from streamrnn.config import load_settings
from streamrnn.errors import ConfigError, StreamrnnError
from streamrnn.process.terminal import plain

if TYPE_CHECKING:
    from streamrnn.registry import Registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `streamrnn models`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = _action(actions, "list", "every version, or those of one model", _list)
    listing.add_argument("name", nargs="?", metavar="NAME", help="only this model")
    showing = _action(actions, "show", "one version: spec, sizes, report", _show)
    showing.add_argument("label", metavar="NAME[@VERSION]", help="the champion without a version")
    promoting = _action(actions, "promote", "make a version the champion", _promote)
    promoting.add_argument("label", metavar="NAME@VERSION", help="checked before it is pointed at")
    back = _action(actions, "rollback", "return to the champion before this one", _rollback)
    back.add_argument("name", metavar="NAME")
    for moving in (promoting, back):
        add_waiting(moving, "cut over")
    add_challenge_actions(partial(_action, actions))
    pruning = _action(actions, "prune", "delete old versions", _prune)
    pruning.add_argument("name", metavar="NAME")
    pruning.add_argument("--keep", type=count, required=True, metavar="N", help="newest versions that stay")
    pruning.add_argument(
        "--min-age-h", type=_hours, default=1.0, metavar="H", help="what is younger stays (default: %(default)s)"
    )
    for shown in (listing, showing):
        shown.add_argument("--json", action="store_true", help="print JSON")


def _action(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    help: str,
    act: Callable[["Registry", argparse.Namespace], None],
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=help, allow_abbrev=False)
    shown = "folder or URL (default: model.registry of the settings)"
    parser.add_argument("--model.registry", "--registry", dest="registry", metavar="PLACE", help=shown)
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file of settings")
    parser.set_defaults(act=act)
    return parser


def _hours(text: str) -> float:
    with suppress(ValueError):
        if 0 <= float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of hours")


def run_models(args: argparse.Namespace) -> int:
    """Do the action on the registry that the options or settings name.

    What files say in errors is made harmless for the terminal.
    """
    from streamrnn.registry import Registry

    try:
        given = {} if args.registry is None else {"model.registry": args.registry}
        root = load_settings(args.config, given).model.registry
        if not root:
            raise ConfigError("no registry: give --model.registry, or set model.registry")
        registry = Registry(root)
        registry.check_is_there()
        args.act(registry, args)
    except StreamrnnError as error:
        raise type(error)(plain(error)) from error
    return 0


def _list(registry: "Registry", args: argparse.Namespace) -> None:
    from streamrnn.models.entry import entries
    from streamrnn.models.printing import print_json, print_list

    found = entries(registry, args.name)
    if args.json:
        print_json(found)
    else:
        print_list(found)


def _show(registry: "Registry", args: argparse.Namespace) -> None:
    from streamrnn.models.entry import detail
    from streamrnn.models.printing import print_detail, print_json

    name, version = parted(args.label)
    if version is not None:
        registry.check_has(name, version)
    found = detail(registry, name, registry.champion(name) if version is None else version)
    if args.json:
        print_json(found)
    else:
        print_detail(found)


def _promote(registry: "Registry", args: argparse.Namespace) -> None:
    name, version = versioned(args.label)
    registry.verify(name, version)
    _say_moved(name, registry.set_champion(name, version), version)
    _wait_for_champion(registry, args, f"{name}@{version}")


def _rollback(registry: "Registry", args: argparse.Namespace) -> None:
    before = registry.champion(args.name)
    registry.verify(args.name, registry.before_champion(args.name))
    version = registry.rollback(args.name)
    _say_moved(args.name, before, version)
    _wait_for_champion(registry, args, f"{args.name}@{version}")


def _wait_for_champion(registry: "Registry", args: argparse.Namespace, label: str) -> None:
    from streamrnn.models.waiting import is_cut_over

    wait_for(is_cut_over, registry, args, label)


def _say_moved(name: str, before: int | None, now: int) -> None:
    if before == now:
        print(plain(f"{name}: {now} is the champion already"))
    else:
        print(plain(f"{name}: champion {'none' if before is None else before} -> {now}"))
    if before not in (None, now):
        print(plain(f"daemons that serve {name} will cut each partition over to {now} once {now} is ready there"))


def _prune(registry: "Registry", args: argparse.Namespace) -> None:
    from streamrnn.models.pruning import prune

    deleted = 0
    for what in prune(registry, args.name, args.keep, args.min_age_h * 3600):
        print(plain(f"deleted {what}"))
        deleted += 1
    left = registry.versions(args.name)
    print(plain(f"{args.name}: {deleted} deleted, versions now: {left}"))
    if len(left) > args.keep:
        print(
            f"the champion, the one before it, the challenger, and what is younger than {args.min_age_h:g} h stay"
        )
