"""Runs the contenders in turns, each in its own process on a fresh broker, and gathers what they measured."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

import msgspec

from streamrnn.bench.job import (
    CatchingUp,
    Contender,
    EngineRow,
    Job,
    Measured,
    Metering,
    RestoredRow,
    ScaleRow,
    StepsRow,
    WrittenRow,
)
from streamrnn.bench.running import START_S, answer, broker, child
from streamrnn.bench.ticker import fill, tick
from streamrnn.process.scratch import ScratchFolder

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Results:
    """All rounds, in order: at full speed, half load, given rates, the engine alone, snapshots, daemons by size,
    engines by their streams, the service by its partitions, with its metrics and without, over a whole topic."""

    full: dict[Contender, list[Measured]] = field(default_factory=dict)
    half: dict[Contender, list[Measured]] = field(default_factory=dict)
    half_rate: dict[Contender, float] = field(default_factory=dict)
    rates: dict[float, dict[Contender, list[Measured]]] = field(default_factory=dict)
    engine: list[EngineRow] = field(default_factory=list)
    steps: list[StepsRow] = field(default_factory=list)
    written: dict[int, list[WrittenRow]] = field(default_factory=dict)
    restored: dict[int, list[RestoredRow]] = field(default_factory=dict)
    daemons: dict[int, list[Measured]] = field(default_factory=dict)
    scale: dict[int, list[ScaleRow]] = field(default_factory=dict)
    partitions: dict[int, list[Measured]] = field(default_factory=dict)
    metrics: dict[Metering, list[Measured]] = field(default_factory=dict)
    catching_up: dict[CatchingUp, list[Measured]] = field(default_factory=dict)

    def ratio(self, above: Contender, below: Contender) -> float:
        """Median over the rounds of one contender's ticks/s by another's in the same round."""
        pairs = zip(self.full[above], self.full[below], strict=True)
        return median(a.ticks_per_s / b.ticks_per_s for a, b in pairs)


async def run_rounds(results: Results, job: Job, rounds: int, latency_s: float, say: Say) -> None:
    """Full speed first, since it sets what half load is."""
    for number in range(rounds):
        for who in _rotated(job.contenders, number):
            measured = await at_full_speed(job, who)
            results.full.setdefault(who, []).append(measured)
            say(f"round {number + 1}/{rounds} full speed  {who:8}{measured.ticks_per_s:>11,.0f} ticks/s")
    if latency_s:
        results.half_rate.update(_half_rates(results))
    for number in range(rounds if latency_s else 0):
        for who in _rotated(job.contenders, number):
            measured = await _at_rate(job, who, results.half_rate[who], latency_s)
            results.half.setdefault(who, []).append(measured)
            say(f"round {number + 1}/{rounds} half load   {who:8}{measured.p50_ms:>8.2f} ms p50")


async def run_rates(results: Results, job: Job, rates: list[float], rounds: int, seconds: float, say: Say) -> None:
    """The latency of each contender at each rate; the loop by hand would not keep up."""
    contenders = tuple(who for who in job.contenders if who != "loop")
    for number in range(rounds):
        for rate in rates:
            for who in _rotated(contenders, number):
                measured = await _at_rate(job, who, rate, seconds)
                results.rates.setdefault(rate, {}).setdefault(who, []).append(measured)
                say(f"round {number + 1}/{rounds} {rate:,.0f}/s   {who:8}{measured.p50_ms:>8.2f} ms p50")


def _rotated(contenders: tuple[Contender, ...], number: int) -> tuple[Contender, ...]:
    """Each round begins with another contender, so that drift of the machine favours none."""
    first = number % len(contenders)
    return contenders[first:] + contenders[:first]


def _half_rates(results: Results) -> dict[Contender, float]:
    """Half the median of each; the relay gets the service's, so that their difference is what we add."""
    own = {who: median(m.ticks_per_s for m in runs) / 2 for who, runs in results.full.items()}
    return own | {"relay": own["service"]}


async def at_full_speed(job: Job, who: Contender | Metering) -> Measured:
    """One contender over a backlog of its own, on a fresh broker."""
    async with broker(job) as placed:
        await fill(placed)
        async with child(msgspec.structs.replace(placed, role=who)) as running:
            return msgspec.json.decode(await running.line(START_S + job.limit_s), type=Measured)


async def _at_rate(job: Job, who: Contender, rate: float, seconds: float) -> Measured:
    """Ticks at a rate, once the contender has shown with a first tick of each stream that it is up."""
    async with broker(job) as placed:
        await fill(msgspec.structs.replace(placed, ticks=job.streams))
        count = job.streams + int(rate * seconds)
        paced = msgspec.structs.replace(placed, role=who, rate=rate, ticks=count, limit_s=START_S + seconds)
        async with child(paced) as running:
            await running.line(START_S)
            ticking = asyncio.create_task(tick(paced))
            try:
                return msgspec.json.decode(await running.line(START_S + seconds), type=Measured)
            finally:
                ticking.cancel()
                await asyncio.gather(ticking, return_exceptions=True)


async def run_daemons(results: Results, job: Job, workers: list[int], rounds: int, say: Say) -> None:
    """Whole daemons in turns, each on a backlog of its own."""
    for number in range(rounds):
        for count in workers if number % 2 == 0 else reversed(workers):
            async with broker(job) as placed:
                await fill(placed)
                asked = msgspec.structs.replace(placed, role="daemon", workers=count)
                async with child(asked) as running:
                    measured = msgspec.json.decode(await running.line(4 * START_S + job.limit_s), type=Measured)
            results.daemons.setdefault(count, []).append(measured)
            say(f"round {number + 1}/{rounds} {count} workers{measured.ticks_per_s:>11,.0f} ticks/s")


async def run_engine(job: Job) -> list[EngineRow]:
    """The engine alone, in a process of its own."""
    rows = len(job.cells) * len(job.hiddens) * len(job.batches)
    async with child(job) as running:
        said = await running.line(START_S + rows * (5.0 + 4 * job.limit_s))
    return msgspec.json.decode(said, type=list[EngineRow])


async def run_snapshots(results: Results, job: Job, sizes: list[int], rounds: int, say: Say) -> None:
    """Steps over the fewest streams; then each size is written, and restored by a process that begins anew."""
    for number in range(rounds):
        with ScratchFolder("streamrnn-bench-") as folder:
            asked = msgspec.structs.replace(job, role="steps", streams=min(sizes), folder=f"{folder}/steps")
            results.steps.append(msgspec.json.decode(await answer(asked), type=StepsRow))
        say(f"round {number + 1}/{rounds} snapshots   step p99 {results.steps[-1].ratio:.2f} x as long during one")
        for size in sizes:
            took = await write_and_restore(results, msgspec.structs.replace(job, streams=size))
            say(f"round {number + 1}/{rounds} snapshots   {size:,} streams: {took}")


async def write_and_restore(results: Results, job: Job) -> str:
    """Snapshots of `job.streams` streams, read by a process that begins anew; in words, how long that took."""
    with ScratchFolder("streamrnn-bench-") as folder:
        asked = msgspec.structs.replace(job, role="write", folder=str(folder))
        wrote = msgspec.json.decode(await answer(asked), type=WrittenRow)
        asked = msgspec.structs.replace(job, role="restore", folder=str(folder))
        back = msgspec.json.decode(await answer(asked), type=RestoredRow)
    results.written.setdefault(job.streams, []).append(wrote)
    results.restored.setdefault(job.streams, []).append(back)
    return f"{wrote.full_s:.2f} s to write, {back.restore_s:.2f} s to restore"
