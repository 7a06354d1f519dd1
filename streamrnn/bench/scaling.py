"""Asks how the service's costs change with one thing at a time: its streams, partitions, metrics, a whole topic."""

import msgspec

from streamrnn.bench.job import CatchingUp, Job, Measured, Metering, ScaleRow
from streamrnn.bench.rounds import Results, Say, at_full_speed, write_and_restore
from streamrnn.bench.running import START_S, answer, broker, child
from streamrnn.bench.ticker import fill

METERINGS: tuple[Metering, ...] = ("service", "unmetered")
CATCHING_UP: tuple[CatchingUp, ...] = ("service", "replay")
LEAST_KEPT = 1000
"""Streams, of fewer of which no snapshot is timed."""


def sizes_up_to(most: int) -> list[int]:
    """Powers of ten, and `most`."""
    return [*(size for power in range(1, len(str(most))) if (size := 10**power) < most), most]


async def run_scale(results: Results, job: Job, most: int, rounds: int, say: Say) -> None:
    """Engines of ever more streams, and their snapshots."""
    for number in range(rounds):
        for size in sizes_up_to(most):
            asked = msgspec.structs.replace(job, role="scale", streams=size)
            row = msgspec.json.decode(await answer(asked), type=ScaleRow)
            results.scale.setdefault(size, []).append(row)
            said = f"{row.costs[0].p50_us:.2f} us a tick"
            if size >= LEAST_KEPT:
                said += f", {await write_and_restore(results, asked)}"
            say(f"round {number + 1}/{rounds} scale       {size:,} streams: {said}")


async def run_partitions(results: Results, job: Job, counts: list[int], rounds: int, say: Say) -> None:
    """The service over as many ticks in ever more partitions, in turns from the fewest and from the most."""
    for number in range(rounds):
        for count in counts if number % 2 == 0 else reversed(counts):
            measured = await at_full_speed(msgspec.structs.replace(job, partitions=count), "service")
            results.partitions.setdefault(count, []).append(measured)
            said = f"{measured.cpu_us_per_tick:.2f} us of CPU a tick"
            say(f"round {number + 1}/{rounds} partitions  {count}: {said}")


async def run_metrics(results: Results, job: Job, rounds: int, say: Say) -> None:
    """The service with its metrics and without, in turns."""
    for number in range(rounds):
        for who in METERINGS[:: 1 if number % 2 == 0 else -1]:
            measured = await at_full_speed(job, who)
            results.metrics.setdefault(who, []).append(measured)
            say(f"round {number + 1}/{rounds} metrics     {who}: {measured.cpu_us_per_tick:.2f} us of CPU a tick")


async def run_catching_up(results: Results, job: Job, rounds: int, say: Say) -> None:
    """The service over a whole topic, and begun anew without snapshots, so that it replays all of it."""
    for number in range(rounds):
        async with broker(job) as placed:
            await fill(placed)
            for who in CATCHING_UP:
                async with child(msgspec.structs.replace(placed, role=who)) as running:
                    said = await running.line(START_S + job.limit_s)
                measured = msgspec.json.decode(said, type=Measured)
                results.catching_up.setdefault(who, []).append(measured)
                say(f"round {number + 1}/{rounds} catching up {who}: {measured.ticks_per_s:,.0f} ticks/s")
