"""The command line: parses, loads settings, hands over. Each command's module is imported when it runs."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from streamrnn import __version__, config
from streamrnn.errors import StreamrnnError


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """--config and a flag for every option, from the options' one declaration."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file of settings")
    for option in config.options():
        default = f" (default: {option.default_text})" if option.default_text else ""
        parser.add_argument(
            f"--{option.key}",
            metavar=option.type_text.upper() if "|" not in option.type_text else option.type_text,
            help=(option.help + default).replace("%", "%%"),
        )


def _settings(args: argparse.Namespace) -> config.Settings:
    flags = {o.key: value for o in config.options() if (value := getattr(args, o.key, None)) is not None}
    return config.load_settings(args.config, flags)


def _serve(args: argparse.Namespace) -> int:
    from streamrnn.service import serve

    return serve(_settings(args))


def _config(args: argparse.Namespace) -> int:
    if args.example:
        print(config.example_toml())
        return 0
    effective = config.masked(_settings(args))
    print(json.dumps(effective, indent=2) if args.json else config.to_toml(effective))
    return 0


def _replay(args: argparse.Namespace) -> int:
    from streamrnn.replay.command import run_replay

    return run_replay(args, _settings(args))


def _demo(args: argparse.Namespace) -> int:
    from streamrnn.demo.command import run_demo

    return run_demo(args)


def _inspect(args: argparse.Namespace) -> int:
    from streamrnn.inspecting import run_inspect

    return run_inspect(args)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser("streamrnn", description="One living recurrent state per Kafka stream.")
    parser.add_argument("--version", action="version", version=f"streamrnn {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the daemon", allow_abbrev=False)
    _add_settings(serve)
    serve.set_defaults(run=_serve)

    from streamrnn.replay import command as replay_command

    replay = commands.add_parser("replay", help="send a file's rows as ticks", allow_abbrev=False)
    replay_command.add_arguments(replay)
    _add_settings(replay)
    replay.set_defaults(run=_replay)

    from streamrnn.demo import command as demo_command

    demo = commands.add_parser("demo", help="see it work on real data: nothing else is needed")
    demo_command.add_arguments(demo)
    demo.set_defaults(run=_demo)

    shown = commands.add_parser("config", help="print the effective settings", allow_abbrev=False)
    _add_settings(shown)
    shown.add_argument("--example", action="store_true", help="print a commented file of all options")
    shown.add_argument("--json", action="store_true", help="print JSON instead of TOML")
    shown.set_defaults(run=_config)

    from streamrnn import inspecting

    inspect = commands.add_parser("inspect", help="show the streams a running daemon holds")
    inspecting.add_arguments(inspect)
    inspect.set_defaults(run=_inspect)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; errors raised on purpose are one line and their own exit code."""
    args = build_parser().parse_args(argv)
    try:
        code: int = args.run(args)
    except StreamrnnError as error:
        print(f"streamrnn: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return code
