"""`streamrnn bench`: its options, its tables, its last line of JSON. Imports what it measures only when run."""

import argparse
import asyncio
import json
import os
import platform
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, get_args

from rich.console import Console
from rich.table import Table

from streamrnn.bench.job import CONTENDERS, Contender, EngineRow, Job, Measured
from streamrnn.nn.spec import CellKind

if TYPE_CHECKING:
    from streamrnn.bench.rounds import Results

GOALS = {"service/relay": 0.35, "service/loop": 6.0}
NAMES: dict[Contender, str] = {
    "service": "streamrnn",
    "relay": "bare relay",
    "loop": "loop by hand",
}
CAPTION = "bare relay: getmany -> send_batch; loop by hand: one message, json.loads, nn.GRUCell, send"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `streamrnn bench`."""
    kinds = get_args(CellKind)
    add = parser.add_argument
    add("--bootstrap", default="", help="a Kafka to run on; its topics stay (default: embedded broker)")
    add("--only", choices=("service", "engine"), help="run one half: the service or the engine alone")
    add("--rounds", type=_positive, default=3, help="times every contender runs, in turns (default 3)")
    add("--ticks", type=_positive, default=300_000, help="backlog of each run (default 300000)")
    add("--limit-s", type=float, default=10.0, help="longest run over that backlog (default 10)")
    add("--latency-s", type=float, default=6.0, help="length of a run at half load; 0 leaves them out (default 6)")
    add("--streams", type=_positive, default=1000, help="streams that tick in turn (default 1000)")
    add("--partitions", type=_positive, default=4, help="partitions of the topics (default 4)")
    add("--cell", choices=kinds, default="gru", help="the service's cell (default gru)")
    add("--hidden", type=_positive, default=64, help="the service's and the loop's hidden size (default 64)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where the engine steps (default auto)")
    add("--cells", nargs="+", choices=kinds, default=list(kinds), help="engine alone: cells (default all)")
    add("--hiddens", nargs="+", type=_positive, default=[32, 64, 128], help="engine alone: sizes (32 64 128)")
    add("--batches", nargs="+", type=_positive, default=[64, 1024, 8192], help="engine alone: ticks (64 1024 8192)")
    add("--engine-s", type=float, default=0.25, help="engine alone: seconds for a measurement (default 0.25)")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not above 0")
    return value


def run_bench(args: argparse.Namespace) -> int:
    """Measure, print a table of each half, and everything as one last line of JSON."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    results = asyncio.run(_measure(args))
    if results.full:
        console.print(_contenders(results))
    if results.engine:
        console.print(_engine(results.engine))
    print(json.dumps(_report(args, results)), flush=True)
    return 0


async def _measure(args: argparse.Namespace) -> "Results":
    from streamrnn.bench.rounds import Results, run_engine, run_rounds

    job = _job(args)
    results = Results()
    if args.only != "engine":
        results = await run_rounds(job, args.rounds, args.latency_s, _say)
    if args.only != "service":
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
        cell=args.cell,
        hidden=args.hidden,
        device=args.device,
        cells=tuple(args.cells),
        hiddens=tuple(args.hiddens),
        batches=tuple(args.batches),
    )


def _engine_job(args: argparse.Namespace, job: Job) -> Job:
    import msgspec

    return msgspec.structs.replace(job, role="engine", limit_s=args.engine_s)


def _middle(runs: list[Measured], name: str) -> float:
    values: list[float] = [getattr(run, name) for run in runs]
    return median(values)


def _contenders(results: "Results") -> Table:
    """Medians over the rounds; latency from the tick's timestamp (whole ms) to the acknowledged prediction."""
    table = Table(title="through the broker, each in its own process: full speed | at half load", caption=CAPTION)
    for name in ("", "ticks/s", "CPU us/tick", "streamrnn is", "ticks/s", "p50 ms", "p99 ms", "p99.9 ms"):
        table.add_column(name, justify="left" if not name else "right")
    for who in CONTENDERS:
        full, half = results.full[who], results.half.get(who)
        speed = [f"{_middle(full, 'ticks_per_s'):,.0f}", f"{_middle(full, 'cpu_us_per_tick'):.1f}"]
        late = ["", "", "", ""]
        if half:
            late = [f"{_middle(half, 'ticks_per_s'):,.0f}"]
            late += [f"{_middle(half, name):.2f}" for name in ("p50_ms", "p99_ms", "p999_ms")]
        table.add_row(NAMES[who], *speed, f"{results.ratio('service', who):.2f} x", *late)
    return table


def _engine(rows: list[EngineRow]) -> Table:
    """Engine.step as a whole beside nn.GRUCell of the same size with index_select and index_copy_."""
    table = Table(title=f"the engine's step on {rows[0].device}, beside index_select + nn.GRUCell + index_copy_")
    for name in ("cell", "hidden", "batch", "step us", "ticks/s", "plain us", "speedup"):
        table.add_column(name, justify="left" if name == "cell" else "right")
    for row in rows:
        times = (f"{row.step_us:,.0f}", f"{row.ticks_per_s:,.0f}", f"{row.plain_us:,.0f}", f"{row.speedup:.2f} x")
        table.add_row(row.cell, str(row.hidden), str(row.batch), *times)
    return table


def _report(args: argparse.Namespace, results: "Results") -> dict[str, Any]:
    """All that was measured, and on what."""
    report: dict[str, Any] = {"machine": _machine(), "options": {k: v for k, v in vars(args).items() if _plain(v)}}
    if results.full:
        report["full_speed"] = {who: _summary(runs) for who, runs in results.full.items()}
        report["half_load"] = {who: _summary(runs) for who, runs in results.half.items()}
        ratios = {f"service/{who}": results.ratio("service", who) for who in CONTENDERS if who != "service"}
        report["ratios"] = {name: {"is": value, "goal": GOALS[name]} for name, value in ratios.items()}
    report["engine"] = [
        {name: getattr(row, name) for name in (*row.__struct_fields__, "ticks_per_s", "speedup")}
        for row in results.engine
    ]
    return report


def _plain(value: object) -> bool:
    return isinstance(value, str | int | float | list | None)


def _summary(runs: list[Measured]) -> dict[str, Any]:
    names = runs[0].__struct_fields__
    return {name: _middle(runs, name) for name in names} | {"runs": [run.ticks_per_s for run in runs]}


def _machine() -> dict[str, Any]:
    libraries = {name: version(name) for name in ("torch", "aiokafka", "numpy")}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cores": cores, "cpu": _processor(), "python": platform.python_version()} | libraries


def _processor() -> str:
    """The processor's name; Python itself knows it on few systems."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
