"""What ought to be predicted for every tick, in float64, and how far off an output topic is."""

from typing import NamedTuple

import msgspec
import numpy as np
import torch
from confluent_kafka import Consumer, TopicPartition
from numpy.typing import NDArray

from streamrnn.bench.job import Job
from streamrnn.bench.ticker import START_MS, ticks_of
from tests.bench.peers.net import Net, Task, decode
from tests.bench.peers.running import Ends


class Saying(msgspec.Struct, frozen=True):
    """What is read of a prediction."""

    stream: str
    time: int
    prediction: dict[str, list[float]]


class Compared(NamedTuple):
    """Ticks answered, the largest difference from what ought to be said, and answers that came more than once."""

    ticks: int
    worst: float
    again: int


def expected(job: Job, weights: str) -> NDArray[np.float64]:
    """(ticks,) by number: every turn is a wave of all streams."""
    net, records = Net(weights).double(), ticks_of(job)
    h, said = net.fresh(job.streams).double(), []
    for _ in range(0, job.ticks, job.streams):
        read = [decode(next(records).value) for _ in range(job.streams)]
        values = torch.tensor([(tick.temp, tick.load) for tick in read], dtype=torch.float64)
        now, h = net.wave(values, h)
        said.append(now.numpy())
    return np.concatenate(said)


def compare(task: Task, job: Job, due: NDArray[np.float64]) -> Compared:
    """The output topic as it is now beside what is due; ValueError for an answer to a tick that never was."""
    said, times = np.full(len(due), np.nan), np.zeros(len(due), np.int64)
    decoder = msgspec.json.Decoder(Saying)
    for value in _values(task):
        saying = decoder.decode(value)
        number = (saying.time - START_MS) // 1000 * job.streams + int(saying.stream.removeprefix("stream-"))
        if not 0 <= number < len(due):
            raise ValueError(f"no tick of {saying.stream} at {saying.time}")
        (said[number],) = saying.prediction["temp"]
        times[number] += 1
    answered = times > 0
    worst = float(np.abs(said - due)[answered].max(initial=0.0))
    return Compared(
        int(answered.sum()), worst if np.isfinite(said[answered]).all() else np.inf, int((times > 1).sum())
    )


def _values(task: Task) -> list[bytes]:
    """Every value in the output topic, committed ones where there are transactions."""
    ends = Ends(task.bootstrap, task.output, task.partitions)
    due = ends.each()
    ends.close()
    options = {"bootstrap.servers": task.bootstrap, "group.id": "check", "log_level": 2}
    consumer = Consumer(options | {"isolation.level": "read_committed", "enable.auto.commit": False})
    parts = [TopicPartition(task.output, number, 0) for number in range(task.partitions)]
    values: list[bytes] = []
    try:
        consumer.assign(parts)
        while any(at.offset < end for at, end in zip(consumer.position(parts), due, strict=True)):
            found = consumer.consume(10_000, 1.0)
            if not found:
                break  # the last transaction never ended: its records are nobody's
            values += [message.value() for message in found]
    finally:
        consumer.close()
    return values
