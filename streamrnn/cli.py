"""The command line: parses, loads settings, hands over. What a command needs is imported when it runs."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from streamrnn import __version__, config
from streamrnn.commands import benching as bench
from streamrnn.commands import demonstrating as demo
from streamrnn.commands import inspecting, retraining, verifying
from streamrnn.commands import replaying as replay
from streamrnn.commands import versions as models
from streamrnn.errors import StreamrnnError
from streamrnn.process.signals import ending_in_order
from streamrnn.process.terminal import plain
from streamrnn.supervising.cores import worker_count


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """--config and a flag for every option, from the options' one declaration; the usage stays a command's own."""
    own = parser.format_usage().removeprefix("usage: ").rstrip()
    parser.usage = f"{own} [--config FILE] [--SECTION.OPTION VALUE ...]".replace("%", "%%")
    group = parser.add_argument_group("settings: each is a key of the file and a variable of the environment too")
    group.add_argument("--config", type=Path, metavar="FILE", help="TOML file of settings")
    for option in config.options():
        default = f" (default: {option.default_text})" if option.default_text else ""
        group.add_argument(
            f"--{option.key}",
            metavar=option.type_text.upper()
            if "|" not in option.type_text
            else option.type_text.replace(" | ", "|"),
            help=(option.help + default).replace("%", "%%"),
        )


def _settings(args: argparse.Namespace) -> config.Settings:
    flags = {o.key: value for o in config.options() if (value := getattr(args, o.key, None)) is not None}
    return config.load_settings(args.config, flags)


def _serve(args: argparse.Namespace) -> int:
    settings = _settings(args)
    workers = worker_count(settings.process.workers)
    if workers > 1:
        from streamrnn.supervising.supervisor import supervise

        return supervise(settings, workers)
    from streamrnn.service import serve

    return serve(settings)


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", dest="process.workers", metavar="N", help="short for --process.workers")


def _replay(args: argparse.Namespace) -> int:
    return replay.run_replay(args, _settings(args))


def _retrain(args: argparse.Namespace) -> int:
    return retraining.run_retrain(args, _settings(args))


def _verify(args: argparse.Namespace) -> int:
    return verifying.run_verify(args, _settings(args))


def _config(args: argparse.Namespace) -> int:
    if args.example:
        print(config.example_toml())
        return 0
    effective = config.masked(_settings(args))
    print(json.dumps(effective, indent=2) if args.json else config.to_toml(effective))
    return 0


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--example", action="store_true", help="print a commented file of all options")
    parser.add_argument("--json", action="store_true", help="print JSON instead of TOML")


class _Command(NamedTuple):
    """A command: what adds its own options, what runs it, and whether it takes every setting as a flag."""

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    has_settings: bool = False


COMMANDS = {
    "demo": _Command("see it work on real data; nothing else is needed", demo.add_arguments, demo.run_demo),
    "serve": _Command("run the daemon", _add_serve, _serve, True),
    "replay": _Command("send a file's rows as ticks", replay.add_arguments, _replay, True),
    "models": _Command(
        "list, show, stage, compare, promote and prune model versions", models.add_arguments, models.run_models
    ),
    "retrain": _Command("make, judge and publish the next model", retraining.add_arguments, _retrain, True),
    "verify": _Command("recompute what was published and name differences", verifying.add_arguments, _verify, True),
    "inspect": _Command("show what a running daemon holds", inspecting.add_arguments, inspecting.run_inspect),
    "bench": _Command("measure the service beside a relay and a loop", bench.add_arguments, bench.run_bench),
    "config": _Command("print the effective settings", _add_config, _config, True),
}


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser("streamrnn", description="One living recurrent state per Kafka stream.")
    parser.add_argument("--version", action="version", version=f"streamrnn {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        own = commands.add_parser(name, help=command.help, allow_abbrev=False)
        command.add_arguments(own)
        if command.has_settings:
            _add_settings(own)
        own.set_defaults(run=command.run)
    return parser


def _refuse(unknown: Sequence[str], parser: argparse.ArgumentParser) -> None:
    """Name what was not understood, never its value: it may be a secret."""
    names = [argument.partition("=")[0] for argument in unknown if argument.startswith("-")]
    for name in names:
        if "." in name:
            config.load_settings(None, {name.lstrip("-"): ""})
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(names) or f'{len(unknown)} too many'}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; errors raised on purpose are one line and their own exit code."""
    parser = build_parser()
    args, unknown = parser.parse_known_args(argv)
    try:
        _refuse(unknown, parser)
        with ending_in_order():
            code: int = args.run(args)
    except StreamrnnError as error:
        print(f"streamrnn: {plain(error)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # who read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code
