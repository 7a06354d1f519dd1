"""`streamrnn inspect`: what a running daemon holds, asked over HTTP and shown in the terminal."""

import argparse
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import urlopen

from rich.console import Console
from rich.table import Table

from streamrnn.errors import BrokerUnavailable, DataError

ANSWER_S = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `streamrnn inspect`."""
    parser.add_argument("stream", nargs="?", help="a stream's key; without it, a list of streams")
    parser.add_argument("--url", default="http://127.0.0.1:9464", help="the daemon (default: %(default)s)")
    parser.add_argument("--partition", type=int, help="where the same key lives in several partitions")
    parser.add_argument("--prefix", default="", help="list only streams whose key begins so")
    parser.add_argument("--limit", type=int, default=50, help="longest list (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def run_inspect(args: argparse.Namespace) -> int:
    """Ask and show; errors say whether nobody answered or the stream is not held."""
    show: Callable[[Any, Console], None]
    if args.stream is None:
        path = f"/streams?limit={args.limit}&prefix={quote(args.prefix, safe='')}"
        answers = {"status": _ask(args.url, "/status"), "streams": _ask(args.url, path)}
        show = _show_list
    else:
        where = "" if args.partition is None else f"?partition={args.partition}"
        answers = _ask(args.url, f"/streams/{quote(args.stream, safe='')}{where}")
        show = _show_stream
    if args.json:
        print(json.dumps(answers))
    else:
        show(answers, Console())
    return 0


def _ask(url: str, path: str) -> Any:
    try:
        with urlopen(url.rstrip("/") + path, timeout=ANSWER_S) as answer:
            return json.load(answer)
    except HTTPError as error:
        with error:
            raise DataError(f"{url}{path}: {error.read().decode(errors='replace').strip()}") from None
    except (URLError, OSError) as error:
        raise BrokerUnavailable(f"no daemon answers at {url}: {getattr(error, 'reason', error)}") from None
    except ValueError as error:
        raise DataError(f"{url}{path} answers, but not as streamrnn does: {error}") from None


def _show_list(answers: dict[str, Any], console: Console) -> None:
    status = answers["status"]
    ready = "ready" if status["ready"] else f"not ready: {status['reason']}"
    console.print(
        f"[bold]{status['model']}[/] on {status['device']}, {ready}, {status['streams']:,} streams, "
        f"{status['slab_bytes'] / 1e6:,.1f} MB of state"
    )
    table = Table("stream", "partition", "steps")
    for row in answers["streams"]:
        table.add_row(row["stream"], str(row["partition"]), f"{row['steps']:,}")
    console.print(table)


def _show_stream(view: dict[str, Any], console: Console) -> None:
    moment = datetime.fromtimestamp(view["last_time_ms"] / 1000, UTC).isoformat(sep=" ", timespec="milliseconds")
    console.print(
        f"[bold]{view['stream']}[/] partition {view['partition']}, {view['steps']:,} steps, "
        f"last tick at offset {view['last_offset']:,}, {moment}"
    )
    table = Table("feature", "last value", "predicted next", "rolling MSE", "persistence MSE")
    for name, value in view["last_values"].items():
        said = ", ".join(f"{p:.6g}" for p in view["last_prediction"].get(name, []))
        errors = [view[kind].get(name) for kind in ("mse", "persistence_mse")]
        table.add_row(name, f"{value:.6g}", said, *("" if e is None else f"{e:.4g}" for e in errors))
    console.print(table)
    for name, row in view["state"].items():
        shown = " ".join(f"{v:+.3f}" for v in row[:8])
        console.print(f"{name} ({len(row)}): {shown}{' ...' if len(row) > 8 else ''}")
