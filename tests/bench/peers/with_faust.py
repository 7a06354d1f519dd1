"""Faust (faust-streaming): an agent that takes batches across streams, its states in a Table.

Chosen: take_events of up to 4,000 at once, stepped in waves of distinct streams with one GRUCell call each; bytes
and not its JSON; a memory store. A Table has a changelog topic, which cannot be had without.
"""

from collections import defaultdict

import faust
import numpy as np
import torch

from tests.bench.peers.net import Net, decode, said, task

MOST = 4000
asked = task()
net = Net(asked.weights)
app = faust.App(
    asked.output,
    broker=f"kafka://{asked.bootstrap}",
    store="memory://",
    datadir=f"{asked.folder}/faust",
    topic_partitions=asked.partitions,
    topic_replication_factor=1,
    topic_disable_leader=True,
    web_enabled=False,
    stream_buffer_maxsize=2 * MOST,
    producer_linger=0.005,
    producer_max_batch_size=1_000_000,
)
raw = {"key_type": bytes, "key_serializer": "raw", "value_type": bytes, "value_serializer": "raw"}
ticks, predictions = app.topic(asked.topic, **raw), app.topic(asked.output, **raw)
states = app.Table("states", partitions=asked.partitions, schema=faust.Schema(**raw), use_partitioner=True)
"""With a partitioner, since a batch has ticks of several partitions."""


@app.agent(ticks)
async def step(stream: faust.Stream) -> None:
    """Predict batch after batch."""
    async for events in stream.take_events(MOST, within=0.05):
        waves = defaultdict(list)
        seen: dict[bytes, int] = defaultdict(int)
        for event in events:
            waves[seen[event.key]].append(event)
            seen[event.key] += 1
        for wave in waves.values():
            await _step(wave)


async def _step(wave: list[faust.Event]) -> None:
    """One tick of each of the wave's streams."""
    read = [decode(event.value) for event in wave]
    empty = net.fresh().numpy().tobytes()
    kept = b"".join(states.get(event.key) or empty for event in wave)
    h = torch.from_numpy(np.frombuffer(kept, np.float32).reshape(len(wave), -1).copy())
    now, h = net.wave(torch.tensor([(tick.temp, tick.load) for tick in read]), h)
    for event, tick, value, row in zip(wave, read, now.tolist(), h.numpy(), strict=True):
        states[event.key] = row.tobytes()
        await predictions.send(key=event.key, value=said(event.key.decode(), tick.time, value))


if __name__ == "__main__":
    faust.Worker(app, loglevel="WARNING").execute_from_commandline()
