"""The loop of somebody who has measured: 10,000 messages at once, ticks in waves of distinct streams, one table."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from confluent_kafka import Consumer, Message, Producer

from tests.bench.peers.net import HIDDEN, Net, decode, said, task

MOST = 10_000


class States:
    """A table of states that grows, and which row is whose."""

    def __init__(self, net: Net) -> None:
        self._net, self._rows, self._table = net, dict[bytes, int](), torch.zeros(1024, HIDDEN)

    def step(self, keys: Sequence[bytes], values: np.ndarray) -> np.ndarray:
        """(n,) predictions of n ticks, those of one stream in their order."""
        rows = np.array([self._rows.setdefault(key, len(self._rows)) for key in keys])
        while len(self._rows) > len(self._table):
            self._table = torch.cat((self._table, torch.zeros_like(self._table)))
        said = np.empty(len(keys), np.float32)
        for wave in waves(rows):
            at = torch.from_numpy(rows[wave])
            now, h = self._net.wave(torch.from_numpy(values[wave]), self._table.index_select(0, at))
            self._table.index_copy_(0, at, h)
            said[wave] = now.numpy()
        return said


def waves(rows: np.ndarray) -> list[np.ndarray]:
    """Which ticks are the first of their stream, the second, and so on."""
    count, of = defaultdict[int, int](int), np.empty(len(rows), np.int64)
    for i, row in enumerate(rows.tolist()):
        of[i] = count[row]
        count[row] += 1
    order = np.argsort(of, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(of[order])) + 1)


def main() -> None:
    """Until killed."""
    asked = task()
    states = States(Net(asked.weights))
    brokers = {"bootstrap.servers": asked.bootstrap}
    consumer = Consumer(brokers | {"group.id": asked.output, "auto.offset.reset": "earliest"})
    producer = Producer(brokers | {"linger.ms": 5, "queue.buffering.max.messages": 1_000_000})
    consumer.subscribe([asked.topic])
    while True:
        messages: list[Message] = [m for m in consumer.consume(MOST, 0.05) if not m.error()]
        producer.poll(0)
        if not messages:
            continue
        keys, ticks = [m.key() for m in messages], [decode(m.value()) for m in messages]
        values = np.array([(tick.temp, tick.load) for tick in ticks], np.float32)
        for key, tick, value in zip(keys, ticks, states.step(keys, values).tolist(), strict=True):
            producer.produce(asked.output, said(key.decode(), tick.time, value), key)
            producer.poll(0)


if __name__ == "__main__":
    main()
