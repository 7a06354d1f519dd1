"""The processes that make one fit together, and their sums. The only home of torch.distributed.

Each has all of the history and every rank the same weights; a batch's pieces are dealt out, and the gradients
weighted by what they were taken over, so that a step is the one that a single process would make.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, Protocol

import numpy as np
import torch

# An optimizer imports it, and imported only then its functions' defaults hold the group for good: its threads
# outlive destroy_process_group, and one that lets go of a tensor while Python ends aborts the process.
import torch.distributed.nn.functional
from torch import Tensor, distributed
from torch.nn import Parameter

from streamrnn.errors import ConfigError, EngineError
from streamrnn.train.losses import Total

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun sets; LOCAL_RANK too, which picks the GPU."""


class Team(Protocol):
    """Every rank makes the same calls in the same order."""

    @property
    def rank(self) -> int:
        """Which of the processes this is; 0 is the one that speaks and writes."""

    @property
    def size(self) -> int:
        """How many there are."""

    def sum(self, tensor: Tensor) -> None:
        """Becomes the sum over all ranks, the same bits in each."""

    def spread(self, tensor: Tensor) -> None:
        """Becomes rank 0's."""

    def join(self, parameters: Sequence[Parameter], part: Total) -> Total:
        """The loss over the parts of all ranks; the gradients become those of its mean, from each part's mean."""


@dataclass(frozen=True, slots=True)
class Solo:
    """A team of one: nothing to do."""

    rank: int = 0
    size: int = 1

    def sum(self, tensor: Tensor) -> None:
        """It is the sum."""

    def spread(self, tensor: Tensor) -> None:
        """It is rank 0's."""

    def join(self, parameters: Sequence[Parameter], part: Total) -> Total:
        """They are what they are to be."""
        return part


@dataclass(frozen=True, slots=True)
class Ranks:
    """Processes joined by torch.distributed's default group; EngineError when one is gone or too slow."""

    rank: int
    size: int

    def sum(self, tensor: Tensor) -> None:
        """By an all-reduce."""
        with self._heard():
            distributed.all_reduce(tensor)

    def spread(self, tensor: Tensor) -> None:
        """By a broadcast."""
        with self._heard():
            distributed.broadcast(tensor, 0)

    def join(self, parameters: Sequence[Parameter], part: Total) -> Total:
        """In one message: every gradient, the loss and the number of its terms."""
        own = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        terms = part.terms.to(own[0].dtype)
        flat = torch.cat([*((gradient * terms).flatten() for gradient in own), part.summed[None], terms[None]])
        self.sum(flat)
        mean = flat[:-2] / flat[-1].clamp_min(1)
        at = 0
        for parameter in parameters:
            parameter.grad = mean[at : at + parameter.numel()].view_as(parameter)
            at += parameter.numel()
        return Total(flat[-2], flat[-1])

    @contextmanager
    def _heard(self) -> Iterator[None]:
        said = ""
        try:
            yield
        except RuntimeError as error:
            said = _first_words(error)
        if said:
            # not as its cause: the frames in that hold the group, whose threads must end before the process
            raise EngineError(
                f"rank {self.rank} of {self.size}: another rank of the fit is gone, or silent for too long; "
                f"its own message says why ({said})"
            )


def spread_bytes(team: Team, raw: bytes | None) -> bytes | None:
    """Rank 0's bytes or None, whatever the others have."""
    length = torch.tensor([-1 if raw is None else len(raw)])
    team.spread(length)
    count = int(length)
    if count <= 0:
        return None if count else b""
    held = np.zeros(count, dtype=np.uint8)
    if team.rank == 0 and raw is not None:
        held[:] = np.frombuffer(raw, dtype=np.uint8)
    team.spread(torch.from_numpy(held))
    return held.tobytes()


class _Place(NamedTuple):
    rank: int
    size: int
    gpu: int
    store: str


@contextmanager
def join_team(timeout_s: float = 300.0) -> Iterator[Team]:
    """The team that torchrun's environment variables describe, for the length of a `with`; Solo without them.

    timeout_s: how long to wait for the others, at the start and in each sum. ConfigError for variables that do not
    go together, EngineError when not all come.
    """
    place = _place(os.environ)
    if place.size == 1:
        yield Solo()
        return
    _join(place, timeout_s)
    try:
        yield Ranks(place.rank, place.size)
    finally:
        distributed.destroy_process_group()


def _join(place: _Place, timeout_s: float) -> None:
    """Tensors on a GPU go through NCCL, others through gloo."""
    backend = "gloo"
    if torch.cuda.is_available():
        if place.gpu >= torch.cuda.device_count():
            raise ConfigError(f"LOCAL_RANK is {place.gpu}, and there are {torch.cuda.device_count()} GPUs")
        torch.cuda.set_device(place.gpu)
        backend = "cpu:gloo,cuda:nccl"
    try:
        distributed.init_process_group(
            backend, rank=place.rank, world_size=place.size, timeout=timedelta(seconds=timeout_s)
        )
    except (RuntimeError, ValueError) as error:
        raise EngineError(
            f"rank {place.rank} of {place.size}: the fit's other ranks did not come to {place.store} "
            f"in {timeout_s:g} s ({_first_words(error)})"
        ) from error


def _place(environment: Mapping[str, str]) -> _Place:
    if not any(name in environment for name in ("RANK", "WORLD_SIZE")):
        return _Place(0, 1, 0, "")
    missing = [name for name in VARIABLES if not environment.get(name)]
    if missing:
        raise ConfigError(f"a fit by several processes is started by torchrun: {', '.join(missing)} not set")
    rank, size, gpu, port = (_number(environment, n) for n in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT"))
    if not (rank < size and 0 < port < 65536):
        raise ConfigError(f"RANK {rank} of WORLD_SIZE {size} at MASTER_PORT {port}: no such place")
    return _Place(rank, size, gpu, f"{environment['MASTER_ADDR']}:{port}")


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "0")
    if not text.isdecimal():
        raise ConfigError(f"{name} is {text!r}, not a number")
    return int(text)


def _first_words(error: BaseException) -> str:
    """Without the place in a C++ file before them and the advice after."""
    line = str(error).strip().partition("\n")[0]
    return re.sub(r"^\[\S+:\d+\] ", "", line).partition(". ")[0] or type(error).__name__
