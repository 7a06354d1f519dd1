"""Asks how the costs change with the number of streams and of partitions: rounds of both, each run by itself."""

import msgspec

from streamrnn.bench.job import Job, ScaleRow
from streamrnn.bench.rounds import Results, Say, at_full_speed, write_and_restore
from streamrnn.bench.running import answer

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
