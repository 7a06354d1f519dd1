"""The loop that people write first: one message, one nn.GRUCell call, one produce; a dict of states."""

import torch
from confluent_kafka import Consumer, Producer

from tests.bench.peers.net import Net, decode, said, task


def main() -> None:
    """Until killed."""
    asked = task()
    net, states = Net(asked.weights), dict[bytes, torch.Tensor]()
    brokers = {"bootstrap.servers": asked.bootstrap}
    consumer = Consumer(brokers | {"group.id": asked.output, "auto.offset.reset": "earliest"})
    producer = Producer(brokers | {"linger.ms": 5, "queue.buffering.max.messages": 1_000_000})
    consumer.subscribe([asked.topic])
    fresh = net.fresh()
    while True:
        message = consumer.poll(0.1)
        producer.poll(0)
        if message is None or message.error():
            continue
        key, tick = message.key(), decode(message.value())
        value, states[key] = net.wave(torch.tensor([[tick.temp, tick.load]]), states.get(key, fresh))
        producer.produce(asked.output, said(key.decode(), tick.time, value.item()), key)


main()
