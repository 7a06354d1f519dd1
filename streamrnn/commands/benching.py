"""`streamrnn bench`: its options, its tables, its last line of JSON. Imports what it measures only when run."""

import argparse
import asyncio
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from rich.console import Console

from streamrnn.bench.job import Contender, Job, Measured
from streamrnn.commands.arguments import one_of
from streamrnn.config.input import Codec
from streamrnn.errors import ConfigError
from streamrnn.nn.spec import CellKind

if TYPE_CHECKING:
    from streamrnn.bench.rounds import Results

PARTS = ("service", "latency", "engine", "snapshots", "workers", "scale", "partitions", "metrics", "replay")
"""From `workers` on they are run only where they are asked for."""
DRAWN = ("scale", "partitions")
GOALS: dict[tuple[Contender, Contender], float] = {
    ("service", "relay"): 0.35,
    ("service", "loop"): 6.0,
    ("exact", "service"): 0.7,
}
"""Ticks/s of one by those of the other, at least."""
STEP_GOAL = 1.5
"""p99 of a step during a snapshot by that without, at most."""
RESTORE_GOALS_S = {100_000: 1.0, 1_000_000: 8.0}
"""By streams, at most."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `streamrnn bench`."""
    kinds = get_args(CellKind)
    add = parser.add_argument
    add("--bootstrap", default="", help="a Kafka to run on; its topics stay (default: embedded broker)")
    add("--only", **one_of(*PARTS), help=f"one part: {', '.join(PARTS)}")
    add("--rounds", type=_positive, default=3, help="times every contender runs, in turns (default: 3)")
    add("--ticks", type=_positive, default=300_000, help="backlog of each run (default: 300000)")
    add("--limit-s", type=float, default=10.0, help="longest run over that backlog (default: 10)")
    add("--latency-s", type=float, default=6.0, help="length of a run at a rate; 0 leaves them out (default: 6)")
    _add_numbers(parser, "--rates", [200, 2_000, 20_000], "latency: ticks a second")
    add("--codec", **one_of(*get_args(Codec)), default="json", help="format of all values (default: json)")
    add("--streams", type=_positive, default=1000, help="streams that tick in turn (default: 1000)")
    add("--partitions", type=_positive, default=4, help="partitions of the topics (default: 4)")
    _add_numbers(parser, "--workers", [1, 2], "of the daemons beside each other")
    add("--commit-interval-ms", type=_positive, default=100, help="the service's commit interval (default: 100)")
    add("--cell", **one_of(*kinds), default="gru", help="the service's cell (default: gru)")
    add("--hidden", type=_positive, default=64, help="the service's and the loop's hidden size (default: 64)")
    add("--device", **one_of("auto", "cpu", "cuda"), default="auto", help="where the engine steps (default: auto)")
    add("--cells", nargs="+", **one_of(*kinds), default=list(kinds), help="engine alone: cells (default: all)")
    _add_numbers(parser, "--hiddens", [32, 64, 128], "engine alone: sizes")
    _add_numbers(parser, "--batches", [64, 1024, 8192], "engine alone: ticks")
    add("--engine-s", type=float, default=0.25, help="engine alone: seconds for a measurement (default: 0.25)")
    _add_numbers(parser, "--streams-kept", [100_000, 1_000_000], "snapshots: numbers of streams")
    add("--most-streams", type=_positive, default=1_000_000, help="scale: up to so many streams (default: 1000000)")
    _add_numbers(parser, "--scale-batches", [1024, 4096], "scale: ticks")
    _add_numbers(parser, "--partition-counts", [1, 4, 16, 64, 256], "partitions: of a topic")
    add("--plot", metavar="FILE", help="scale: also draw it, as SVG")


def _add_numbers(parser: argparse.ArgumentParser, option: str, default: list[int], said: str) -> None:
    """An option of one or more whole numbers above 0."""
    said += f" (default: {' '.join(map(str, default))})"
    parser.add_argument(option, nargs="+", type=_positive, default=default, help=said)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not above 0")
    return value


def run_bench(args: argparse.Namespace) -> int:
    """Measure, print a table of each part, then print all numbers as one last line of JSON."""
    from streamrnn.bench import tables

    if args.plot is not None and args.only not in DRAWN:
        raise ConfigError(f"--plot draws what --only {' or '.join(DRAWN)} measures")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    results = asyncio.run(_measure(args))
    for table in tables.all_of(results):
        console.print(table)
    if args.plot is not None:
        _draw(results, Path(args.plot))
    print(json.dumps(_report(args, results)), flush=True)
    return 0


def _draw(results: "Results", path: Path) -> None:
    from streamrnn.bench.picture import picture

    path.write_text(picture(results), encoding="utf-8")


async def _measure(args: argparse.Namespace) -> "Results":
    from streamrnn.bench.rounds import Results, run_daemons, run_engine, run_rates, run_rounds, run_snapshots
    from streamrnn.bench.scaling import run_catching_up, run_metrics, run_partitions, run_scale

    job = _job(args)
    results = Results()
    if args.only in (None, "snapshots"):
        await run_snapshots(results, job, args.streams_kept, args.rounds, _say)
    if args.only in (None, "service"):
        await run_rounds(results, job, args.rounds, args.latency_s, _say)
    if args.only in (None, "latency") and args.latency_s:
        await run_rates(results, job, args.rates, args.rounds, args.latency_s, _say)
    if args.only == "workers":
        await run_daemons(results, job, args.workers, args.rounds, _say)
    if args.only == "scale":
        await run_scale(results, _scale_job(args, job), args.most_streams, args.rounds, _say)
    if args.only in ("scale", "partitions"):
        await run_partitions(results, job, args.partition_counts, args.rounds, _say)
    if args.only == "metrics":
        await run_metrics(results, job, args.rounds, _say)
    if args.only == "replay":
        await run_catching_up(results, job, args.rounds, _say)
    if args.only in (None, "engine"):
        _say("engine alone")
        results.engine.extend(await run_engine(_engine_job(args, job)))
    return results


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _job(args: argparse.Namespace) -> Job:
    return Job(
        role="service",
        bootstrap=args.bootstrap,
        idempotent=bool(args.bootstrap),
        ticks=args.ticks,
        limit_s=args.limit_s,
        streams=args.streams,
        partitions=args.partitions,
        commit_interval_ms=args.commit_interval_ms,
        cell=args.cell,
        hidden=args.hidden,
        device=args.device,
        codec=args.codec,
        cells=tuple(args.cells),
        hiddens=tuple(args.hiddens),
        batches=tuple(args.batches),
    )


def _engine_job(args: argparse.Namespace, job: Job) -> Job:
    import msgspec

    return msgspec.structs.replace(job, role="engine", limit_s=args.engine_s)


def _scale_job(args: argparse.Namespace, job: Job) -> Job:
    import msgspec

    return msgspec.structs.replace(job, limit_s=args.engine_s, batches=tuple(args.scale_batches))


def _report(args: argparse.Namespace, results: "Results") -> dict[str, Any]:
    """All that was measured, and on which machine."""
    import msgspec

    from streamrnn.bench.tables import middle

    report: dict[str, Any] = {"machine": _machine(), "options": {k: v for k, v in vars(args).items() if _plain(v)}}
    if results.full:
        report["full_speed"] = {who: _summary(runs, "ticks_per_s") for who, runs in results.full.items()}
        report["half_load"] = {who: _summary(runs, "p99_ms") for who, runs in results.half.items()}
        report["ratios"] = {
            f"{a}/{b}": _beside(results.ratio(a, b), goal) for (a, b), goal in GOALS.items() if a in results.full
        }
    report["rates"] = {
        f"{rate:g}": {who: _summary(runs, "p50_ms") for who, runs in by_whom.items()}
        for rate, by_whom in results.rates.items()
    }
    if results.steps:
        report["steps"] = _summary(results.steps, "ratio")
        report["steps"]["p99 during/without"] = _beside(middle(results.steps, "ratio"), STEP_GOAL)
    if results.written:
        written, restored = results.written, results.restored
        report["written"] = {size: _summary(rows, "full_s") for size, rows in written.items()}
        report["restored"] = {size: _summary(rows, "restore_s") for size, rows in restored.items()}
        report["restore_s"] = {
            size: _beside(middle(rows, "restore_s"), RESTORE_GOALS_S.get(size)) for size, rows in restored.items()
        }
    report["scale"] = {size: msgspec.to_builtins(rows) for size, rows in results.scale.items()}
    parts: tuple[tuple[str, Mapping[Any, Sequence[Measured]]], ...] = (
        ("workers", results.daemons),
        ("partitions", results.partitions),
        ("metrics", results.metrics),
        ("catching_up", results.catching_up),
    )
    for part, by_name in parts:
        report[part] = {name: _summary(runs, "cpu_us_per_tick") for name, runs in by_name.items()}
    report["workers"] = {count: _summary(runs, "ticks_per_s") for count, runs in results.daemons.items()}
    report["engine"] = [
        {name: getattr(row, name) for name in (*row.__struct_fields__, "ticks_per_s", "speedup")}
        for row in results.engine
    ]
    return report


def _beside(value: float, goal: float | None) -> dict[str, float | None]:
    return {"is": value, "goal": goal}


def _plain(value: object) -> bool:
    return isinstance(value, str | int | float | list | None)


def _summary(rows: Sequence[Any], each: str) -> dict[str, Any]:
    """Medians of all there is in the rows, and one of it of each round."""
    from streamrnn.bench.tables import middle

    return {name: middle(rows, name) for name in rows[0].__struct_fields__} | {
        "runs": [getattr(row, each) for row in rows]
    }


def _machine() -> dict[str, Any]:
    libraries = {name: version(name) for name in ("torch", "aiokafka", "numpy")}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cores": cores, "cpu": _processor(), "python": platform.python_version()} | libraries


def _processor() -> str:
    """The processor's name. Python itself knows the name on few systems."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
