"""Quix Streams: a stateful apply, the state as bytes in its RocksDB store.

Chosen: bytes in and out, since its own JSON is slower than msgspec; no changelog topic, since the others write
none of their state either; its default commit interval. A stateful function gets one message at a time: there is
no batching across streams to choose.
"""

import numpy as np
import torch
from quixstreams import Application, State

from tests.bench.peers.net import Net, decode, said, task


def main() -> None:
    """Until killed."""
    asked = task()
    net = Net(asked.weights)
    app = Application(
        broker_address=asked.bootstrap,
        consumer_group=asked.output,
        auto_offset_reset="earliest",
        state_dir=f"{asked.folder}/quix",
        use_changelog_topics=False,
        auto_create_topics=False,
        loglevel="WARNING",
    )
    fresh = net.fresh()

    def predict(value: bytes, key: bytes, timestamp: int, headers: object, state: State) -> bytes:
        tick, kept = decode(value), state.get_bytes("h")
        h = fresh if kept is None else torch.from_numpy(np.frombuffer(kept, np.float32).copy()).view(1, -1)
        change, h = net.wave(torch.tensor([[tick.temp, tick.load]]), h)
        state.set_bytes("h", h.numpy().tobytes())
        return said(key.decode(), tick.time, change.item())

    ticks = app.dataframe(app.topic(asked.topic, value_deserializer="bytes", key_deserializer="bytes"))
    ticks = ticks.apply(predict, stateful=True, metadata=True)
    ticks.to_topic(app.topic(asked.output, value_serializer="bytes", key_serializer="bytes"))
    app.run()


main()
