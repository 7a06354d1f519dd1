"""`streamrnn verify`: its options. Imports what it does only when run."""

import argparse
import asyncio
import json
from functools import partial

from streamrnn.commands.arguments import LARGEST_COUNT, count, one_of
from streamrnn.config import Settings

NOT_CLEAN = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `streamrnn verify`."""
    add = parser.add_argument
    add("--partition", type=_offset, action="append", default=[], metavar="N", help="only this one; repeatable")
    add(
        "--since",
        type=_offset,
        metavar="OFFSET",
        help="first tick of the state where no pedigree is committed (default: the log's first)",
    )
    add(
        "--guarantee",
        **one_of("at_least_once", "exactly_once"),
        help="what to hold it to (default: delivery.guarantee)",
    )
    add("--strict", action="store_true", help="doubled records are faults, at least once too")
    add("--limit", type=count, default=10, metavar="N", help="examples of each kind of fault (default: 10)")
    add("--json", action="store_true", help="end with a line of JSON")


def _offset(text: str) -> int:
    if text.isascii() and text.isdigit() and (len(text) <= len(str(LARGEST_COUNT)) or int(text) < 1 << 63):
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 on")


def run_verify(args: argparse.Namespace, settings: Settings) -> int:
    """Verify and print the report; 0 when all was checked and nothing is wrong, else 1."""
    from rich.console import Console

    from streamrnn.registry import load_label, load_model
    from streamrnn.verifying.summary import print_report, progress
    from streamrnn.verifying.verify import Options, verify

    options = Options(tuple(args.partition), args.since, args.guarantee, args.strict, args.limit)
    model = load_model(settings.model)
    with progress(Console(stderr=True, highlight=False)) as watch:
        report = asyncio.run(
            verify(settings, model, options, watch=watch, load=partial(load_label, settings.model))
        )
    print_report(report, Console(highlight=False))
    if args.json:
        print(json.dumps(report.as_json()))
    return 0 if report.is_clean else NOT_CLEAN
