"""A guard against getting slower: ratios of what one run measures side by side, never seconds.

Where there are processes, processor time a tick is compared: it hardly depends on what else the machine does.
An attempt that fails may have been disturbed, so there are more; a step or a service that has become twice as slow
fails them all, on another kind of processor too.
"""

import msgspec
import pytest

from streamrnn.bench.job import Job
from streamrnn.bench.rounds import at_full_speed, run_engine

STEP = {64: 0.4, 1024: 0.5}
"""By ticks in a batch: time of index_select + nn.GRUCell + index_copy_ by that of Engine.step, at least; GRU-64.
On 2026-11-26 it was .64 to .86 and .87 to 1.1 on an EPYC. Raise a bound when a change moved the ratio for good."""
SERVICE_CPU = 2.3
"""Processor time of the service a tick by that of the bare relay, at most; on 2026-11-26 it was .98 to 1.75."""
SERVICE_SPEED = 0.3
"""Ticks/s of the service by those of the bare relay, at least; on 2026-11-26 it was .57 to .88."""
ATTEMPTS = 3

JOB = Job(role="service", bootstrap="", ticks=80_000, limit_s=5.0)


async def step_ratios() -> dict[int, float]:
    """By batch, how many times faster than the plain step ours is: medians of five rounds in turns."""
    shapes = {"cells": ("gru",), "hiddens": (64,), "batches": tuple(STEP)}
    job = msgspec.structs.replace(JOB, role="engine", limit_s=0.4, **shapes)
    return {row.batch: row.speedup for row in await run_engine(job)}


async def service_ratios() -> tuple[float, float]:
    """(processor time a tick, ticks/s) of the service by the relay's."""
    service, relay = await at_full_speed(JOB, "service"), await at_full_speed(JOB, "relay")
    return service.cpu_us_per_tick / relay.cpu_us_per_tick, service.ticks_per_s / relay.ticks_per_s


@pytest.mark.timeout(240)
async def test_the_step_is_no_slower_beside_the_plain_one_than_it_was() -> None:
    seen = []
    for _ in range(ATTEMPTS):
        seen.append(await step_ratios())
        if all(seen[-1][batch] >= least for batch, least in STEP.items()):
            return
    pytest.fail(f"plain step / ours is to be at least {STEP}, and was {seen}")


@pytest.mark.timeout(240)
async def test_the_service_costs_no_more_beside_the_relay_than_it_did() -> None:
    seen = []
    for _ in range(ATTEMPTS):
        cost, speed = await service_ratios()
        seen.append((round(cost, 2), round(speed, 2)))
        if cost <= SERVICE_CPU and speed >= SERVICE_SPEED:
            return
    pytest.fail(f"ours / relay is to be at most {SERVICE_CPU} in CPU, at least {SERVICE_SPEED} in speed: {seen}")
