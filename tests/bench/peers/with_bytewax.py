"""Bytewax: stateful_batch, which hands over all ticks of a key in a batch; its state is a tensor, snapshot by it.

Chosen: batches of 10,000 messages a partition, so that a key has several ticks in one, and nn.GRU over them (one
call for all of them); no recovery store. State is of a key, so there is no batching across streams to choose:
flat_map_batch would batch, and would keep its state outside of what Bytewax recovers.
"""

from collections.abc import Iterable

import torch
from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSinkMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.testing import run_main

from tests.bench.peers.net import Net, Tick, decode, said, task

MOST = 10_000
Said = tuple[int, float]


class Stream(StatefulBatchLogic):
    """The state of one key."""

    def __init__(self, net: Net, h: torch.Tensor | None) -> None:
        self._net, self._h = net, net.fresh() if h is None else h

    def on_batch(self, values: list[Tick]) -> tuple[Iterable[Said], bool]:
        """Predictions of the key's next ticks."""
        said, self._h = self._net.run(torch.tensor([(tick.temp, tick.load) for tick in values]), self._h)
        return list(zip((tick.time for tick in values), said.tolist(), strict=True)), self.RETAIN

    def snapshot(self) -> torch.Tensor:
        """The state; steps replace it, they do not write into it."""
        return self._h


def flow() -> Dataflow:
    """Kafka -> keyed ticks -> states -> Kafka."""
    asked = task()
    net, brokers = Net(asked.weights), [asked.bootstrap]
    made = Dataflow("peer")
    ticks = kop.input("in", made, brokers=brokers, topics=[asked.topic], batch_size=MOST)
    keyed = op.map("decode", ticks.oks, lambda message: (message.key.decode(), decode(message.value)))
    predictions = op.stateful_batch("step", keyed, lambda h: Stream(net, h))
    records = op.map("encode", predictions, lambda at: KafkaSinkMessage(at[0].encode(), said(at[0], *at[1])))
    kop.output("out", records, brokers=brokers, topic=asked.output)
    return made


run_main(flow())
