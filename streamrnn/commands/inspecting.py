"""`streamrnn inspect`: what a running daemon holds, asked over HTTP and shown in the terminal.

Keys and names come from whoever writes to the topic: they are shown, never obeyed. Knows no other layer
but errors and the terminal.
"""

import argparse
import json
from collections.abc import Callable
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import urlopen

from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamrnn.commands.arguments import count, natural
from streamrnn.errors import DataError, NotInTime
from streamrnn.process.terminal import counted, moment, plain

ANSWER_S = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `streamrnn inspect`."""
    parser.add_argument("stream", nargs="?", help="a stream's key; without it, a list of streams")
    parser.add_argument("--url", default="http://127.0.0.1:9464", help="the daemon (default: %(default)s)")
    parser.add_argument("--partition", type=natural, metavar="N", help="where a key lives in several partitions")
    parser.add_argument("--prefix", default="", metavar="TEXT", help="list only streams whose key begins so")
    parser.add_argument("--limit", type=count, default=50, metavar="N", help="longest list (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def run_inspect(args: argparse.Namespace) -> int:
    """Ask the daemon and show its answer; 0.

    NotInTime where no daemon answers, DataError where the daemon refuses or answers something else.
    """
    show: Callable[[Any, Console], None]
    if args.stream is None:
        path = f"/streams?limit={args.limit}&prefix={_quoted(args.prefix)}"
        answers = {"status": _ask(args.url, "/status"), "streams": _ask(args.url, path)}
        show = _show_list
    else:
        where = "" if args.partition is None else f"?partition={args.partition}"
        answers = _ask(args.url, f"/streams/{_quoted(args.stream)}{where}")
        show = _show_stream
    if args.json:
        print(json.dumps(answers))
        return 0
    try:
        show(answers, Console())
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(plain(f"{args.url} answers, but not as streamrnn does: {error!r}")) from None
    return 0


def _quoted(key: str) -> str:
    """A key as part of a path or query. An argument that is no UTF-8 goes as the bytes that it was."""
    return quote(key, safe="", errors="surrogateescape")


def _ask(url: str, path: str) -> Any:
    if not url.lower().startswith(("http://", "https://")):
        raise DataError(f"--url {plain(url)}: must begin with http:// or https://")
    try:
        with urlopen(url.rstrip("/") + path, timeout=ANSWER_S) as answer:
            return json.load(answer)
    except HTTPError as error:
        with error:
            said = _reason(error.read().decode(errors="replace").strip())
        raise DataError(plain(f"{url}{path}: {said}")) from None
    except (OSError, HTTPException) as error:
        why = getattr(error, "reason", error)
        raise NotInTime(plain(f"no daemon answers at {url}: {why}")) from None
    except (ValueError, RecursionError) as error:
        raise DataError(plain(f"{url}{path} answers, but not as streamrnn does: {error}")) from None


def _reason(body: str) -> str:
    """What an answer says went wrong: the error in its JSON, or the whole text."""
    try:
        return str(json.loads(body)["error"])
    except (ValueError, RecursionError, KeyError, TypeError):
        return body


def _number(value: float | None, form: str) -> str:
    """A number written as `form` says. None is empty: the daemon sends null for NaN and for what it lacks."""
    return "" if value is None else format(value, form)


def _head(console: Console, name: str, rest: str) -> None:
    """Print a name in bold, and the rest of its line. Neither is taken for markup."""
    console.print(Text.assemble((plain(name), "bold"), plain(rest)), soft_wrap=True)


def _show_list(answers: dict[str, Any], console: Console) -> None:
    status = answers["status"]
    ready = "ready" if status["ready"] else f"not ready: {status['reason']}"
    held = f"{counted(status['streams'], 'stream')}, {status['slab_bytes'] / 1e6:,.1f} MB of state"
    table = Table("stream", "partition", "steps")
    for row in answers["streams"]:
        table.add_row(Text(plain(row["stream"])), str(row["partition"]), f"{row['steps']:,}")
    _head(console, status["model"] or "no model yet", f" on {status['device']}, {ready}, {held}")
    console.print(table)


def _show_stream(view: dict[str, Any], console: Console) -> None:
    where = f" partition {view['partition']}, {view['steps']:,} steps, last tick at offset {view['last_offset']:,}"
    when = moment(view["last_time_ms"])
    table = Table("feature", "last value", "predicted next", "rolling MSE", "persistence MSE")
    for name, value in view["last_values"].items():
        said = ", ".join(_number(p, ".6g") for p in view["last_prediction"].get(name, []))
        errors = [_number(view[kind].get(name), ".4g") for kind in ("mse", "persistence_mse")]
        table.add_row(Text(plain(name)), _number(value, ".6g"), said, *errors)
    state = [(name, len(row), " ".join(_number(v, "+.3f") for v in row[:8])) for name, row in view["state"].items()]
    _head(console, view["stream"], f"{where}, {when}")
    console.print(table)
    for name, width, shown in state:
        _head(console, name, f" ({width}): {shown}{' ...' if width > 8 else ''}")
