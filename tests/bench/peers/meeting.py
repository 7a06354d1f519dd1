"""The ground on which all meet: one model, one topic of ticks, what is due for each; the turn of one of them."""

import asyncio
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from streamrnn.bench.job import Job, Measured, make_settings, make_spec
from streamrnn.bench.ticker import fill, lay_out
from streamrnn.kafka.admin import create_topic
from streamrnn.nn.model import Model
from streamrnn.registry import Registry
from tests.bench.peers.checking import Compared, compare, expected
from tests.bench.peers.field import Contestant, relay_output
from tests.bench.peers.net import Task
from tests.bench.peers.running import measure


@dataclass(frozen=True, slots=True)
class Meeting:
    """The ticks (of `job`), the weights, what ought to be predicted, and a folder for what the contestants keep."""

    job: Job
    folder: Path
    due: NDArray[np.float64]

    def turn(self, contestant: Contestant, python: str) -> tuple[Measured, Compared | None]:
        """Run one over the backlog, into a topic of its own, and compare what it said."""
        task = self._task(contestant)
        if contestant.says:
            asyncio.run(create_topic(make_settings(self.job).kafka, task.output, self.job.partitions, 1))
        measured = measure(contestant, python, task, self.job.ticks, self.job.limit_s)
        return measured, compare(task, self.job, self.due) if contestant.says else None

    def _task(self, contestant: Contestant) -> Task:
        own = Path(tempfile.mkdtemp(dir=self.folder))
        (own / "models").symlink_to(self.folder / "models")
        return Task(
            bootstrap=self.job.bootstrap,
            topic=self.job.topic,
            output=f"out-{uuid.uuid4().hex[:8]}" if contestant.says else relay_output(self.job.topic),
            partitions=self.job.partitions,
            weights=str(self.folder / "weights.npz"),
            folder=str(own),
        )


def meet(job: Job, folder: Path) -> Meeting:
    """Make the model and the topic, and fill it."""
    _make_model(folder)
    asyncio.run(lay_out(job))
    asyncio.run(fill(job))
    return Meeting(job, folder, expected(job, str(folder / "weights.npz")))


def _make_model(folder: Path) -> None:
    """The bench's model, with statistics as those of the ticks: in a registry, and as arrays for the peers."""
    torch.manual_seed(7)
    model = Model(make_spec("gru", 64))
    torch.nn.init.normal_(model.head.weight, std=0.3)
    levels = {"channel_mean": [20.0, 20.0], "channel_std": [5.0, 5.0], "feature_mean": [20.0, 20.0]}
    model.set_stats(**levels, target_mean=0.1, target_std=2.0)
    registry = Registry(folder / "models")
    registry.set_champion("bench", registry.publish(model))
    cell = dict(model.stack.named_parameters())
    arrays = {name: cell[f"cells.0.{name}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    arrays |= {"head_weight": model.head.weight, "head_bias": model.head.bias}
    arrays |= {"mean": model.channel_mean, "std": model.channel_std}
    arrays |= {"change_mean": model.target_mean[0], "change_std": model.target_std[0]}
    np.savez(folder / "weights.npz", **{name: array.detach().numpy() for name, array in arrays.items()})
