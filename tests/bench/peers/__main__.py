"""Runs ours beside its peers: the same weights, the same ticks on one topic of one Apache Kafka, in turns.

    python -m tests.bench.peers --kafka-home /opt/kafka --ticks 400000 --peers-python /opt/peers/bin/python

Each is measured from outside (running.py), and its every answer is compared with a float64 oracle (checking.py).
A peer that cannot be imported is named and skipped: pip install ".[bench-peers]", in an environment of its own
where its dependencies clash with ours, and --peers-python.
"""

import argparse
import sys
import tempfile
import uuid
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from streamrnn.bench.job import Job
from streamrnn.errors import EngineError
from tests.bench.peers.field import FIELD, Contestant
from tests.bench.peers.meeting import Meeting, meet
from tests.bench.peers.results import MOST_OFF, Results, table
from tests.bench.peers.running import missing
from tests.kafka.conftest import KEEP_ALL, real_kafka


def run(meeting: Meeting, args: argparse.Namespace) -> Results:
    """All rounds, each beginning with another contestant."""
    results = Results()
    field = [contestant for contestant in FIELD if not args.only or contestant.name in args.only]
    for contestant in field:
        if (why := missing(args.peers_python, contestant)) is not None:
            results.skipped[contestant.name] = why
    for number in range(args.rounds):
        first = number % len(field)
        for contestant in field[first:] + field[:first]:
            if contestant.name not in results.skipped | results.failed:
                _turn(meeting, contestant, args.peers_python, results)
    return results


def _turn(meeting: Meeting, contestant: Contestant, python: str, results: Results) -> None:
    name = contestant.name
    try:
        measured, compared = meeting.turn(contestant, python)
    except (EngineError, ValueError) as error:
        results.failed[name] = str(error)
        return
    results.runs.setdefault(name, []).append(measured)
    line = f"{name:26}{measured.ticks_per_s:>11,.0f} ticks/s{measured.cpu_us_per_tick:>9.2f} us CPU"
    if compared is not None:
        results.compared.setdefault(name, []).append(compared)
        line += f"   {compared.ticks:,} answered, {compared.again} twice, {compared.worst:.1e} off at most"
    print(line, file=sys.stderr, flush=True)


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description=__doc__.split("\n")[0])
    add = parser.add_argument
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--kafka-home", type=Path, help="a Kafka distribution, from which a broker is started")
    where.add_argument("--bootstrap", help="a Kafka that runs, instead; the topics stay")
    add("--ticks", type=int, default=400_000, help="backlog, whole turns of all streams (default: 400000)")
    add("--limit-s", type=float, default=20.0, help="longest run over it (default: 20)")
    add("--rounds", type=int, default=2, help="times each runs (default: 2)")
    add("--streams", type=int, default=1000, help="(default: 1000)")
    add("--partitions", type=int, default=4, help="(default: 4)")
    add("--peers-python", default=sys.executable, help="an interpreter that has the peers (default: this one)")
    add("--only", nargs="+", choices=[contestant.name for contestant in FIELD], help="run these alone")
    return parser.parse_args(words)


def _job(args: argparse.Namespace) -> Job:
    return Job(
        role="service",
        bootstrap=args.bootstrap,
        topic=f"peers-{uuid.uuid4().hex[:8]}",
        idempotent=True,
        ticks=args.ticks - args.ticks % args.streams,
        limit_s=args.limit_s,
        streams=args.streams,
        partitions=args.partitions,
    )


def main() -> int:
    """0 if everybody said the same."""
    args = arguments()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="peers-")))
        if args.kafka_home:
            args.bootstrap = stack.enter_context(real_kafka(args.kafka_home, folder / "kafka", KEEP_ALL))
        results = run(meet(_job(args), folder), args)
    Console(width=None if sys.stdout.isatty() else 140).print(table(results))
    if not results.is_right():
        print(f"not all said the same, to {MOST_OFF}: {results.failed} {results.compared}", file=sys.stderr)
    return 0 if results.is_right() else 1


if __name__ == "__main__":
    sys.exit(main())
