"""A child process of the bench: reads one Job from standard input, says `ready`, works, prints its result.

A contender that gets its ticks at a rate says `live` when its first predictions are acknowledged.

It ends when its standard input does: no parent, no child.
"""

import asyncio
import json
import logging
import struct
import sys
from collections.abc import Callable, Coroutine
from functools import partial

import msgspec
import torch

from streamrnn.bench.daemons import daemon_speed
from streamrnn.bench.engine_alone import engine_table
from streamrnn.bench.heartbeat import Heartbeat
from streamrnn.bench.job import Job, Measured, make_settings, make_spec
from streamrnn.bench.metering import Counted, Recovered, Unmetered
from streamrnn.bench.progress import Progress
from streamrnn.bench.relay import Predict, loop_by_hand, relay
from streamrnn.bench.scale import scaled
from streamrnn.bench.snapshots import restored, steps_during, written
from streamrnn.config.input import Codec
from streamrnn.metrics import Metrics
from streamrnn.nn.model import Model
from streamrnn.process.children import end_with_input
from streamrnn.process.interpreter import new_event_loop
from streamrnn.service import Service

METERS: dict[str, Callable[[Progress], Metrics]] = {"service": Counted, "exact": Counted, "unmetered": Unmetered}
"""The metrics of contenders that are the service."""


async def contend(job: Job) -> Measured:
    """Run one contender until its ticks or its time are used up."""
    stop = asyncio.Event()
    on_first = partial(_say, "live") if job.rate else None
    early = job.streams if job.rate else 0
    progress, heartbeat = Progress(job.ticks, job.limit_s, stop, on_first=on_first, early=early), Heartbeat()
    beating = asyncio.create_task(heartbeat.beat())
    if job.role in METERS:
        await _serve(job, METERS[job.role](progress), stop)
    elif job.role == "relay":
        await _until(stop, relay(make_settings(job), progress.published))
    else:
        await _until(stop, loop_by_hand(make_settings(job), by_hand(job), progress.published))
    beating.cancel()
    p99_ms, max_ms, own_ms = heartbeat.late_ms(*progress.span_s)
    measured = progress.measured()
    return msgspec.structs.replace(measured, late_p99_ms=p99_ms, late_max_ms=max_ms, late_own_ms=own_ms)


async def replay(job: Job) -> Measured:
    """A restart without snapshots: the service's states are made anew of all ticks that it had committed."""
    stop = asyncio.Event()
    recovered = Recovered(job.ticks, stop)
    await _serve(job, recovered, stop)
    return recovered.measured()


async def _serve(job: Job, metrics: Metrics, stop: asyncio.Event) -> None:
    """The service as it is, model of random weights: what they say does not change the work."""
    torch.manual_seed(7)
    service = Service(make_settings(job), Model(make_spec(job.cell, job.hidden)), metrics)
    await service.run(stop)


async def _until(stop: asyncio.Event, endless: Coroutine[None, None, None]) -> None:
    """Run what never ends until `stop`; its failure is raised here."""
    working, stopping = asyncio.create_task(endless), asyncio.create_task(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in (working, stopping):
        task.cancel()
    for outcome in await asyncio.gather(working, stopping, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome


READERS: dict[Codec, Callable[[bytes], dict[str, float]]] = {
    "json": json.loads,
    "msgpack": msgspec.msgpack.decode,
    "float32": lambda value: dict(zip(("temp", "load"), struct.unpack("<2f", value), strict=True)),
}
"""How people read a tick first, by codec."""


def by_hand(job: Job) -> Predict:
    """What people write first: one value read, one nn.GRUCell call for one stream, json.dumps."""
    torch.set_num_threads(1)
    hidden, read = job.hidden, READERS[job.codec]
    cell, head = torch.nn.GRUCell(2, hidden), torch.nn.Linear(hidden, 1)
    states: dict[bytes, torch.Tensor] = {}

    @torch.inference_mode()
    def predict(key: bytes, value: bytes) -> bytes:
        tick = read(value)
        x = torch.tensor([[tick["temp"], tick["load"]]])
        before = states.get(key)
        states[key] = h = cell(x) if before is None else cell(x, before)
        change = head(h).item()
        prediction = {"temp": [tick["temp"] + change]}
        said = {"stream": key.decode(), "time": tick.get("time"), "prediction": prediction}
        return json.dumps(said).encode()

    return predict


OTHERS: dict[str, Callable[[Job], Coroutine[None, None, msgspec.Struct]]] = {
    "steps": steps_during,
    "write": written,
    "restore": restored,
    "daemon": daemon_speed,
    "scale": scaled,
    "replay": replay,
}
"""What is measured besides contenders, by role."""


def _say(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    """One job."""
    logging.basicConfig(level=logging.WARNING)
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    end_with_input()
    _say("ready")
    if job.role == "engine":
        said = msgspec.json.encode(engine_table(job))
    else:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            said = msgspec.json.encode(runner.run(OTHERS.get(job.role, contend)(job)))
    _say(said.decode())


if __name__ == "__main__":
    main()
