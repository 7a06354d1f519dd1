"""How to fit, and what each epoch of a fit said: plain values. Knows no tensors."""

from dataclasses import dataclass
from typing import Literal

from streamrnn.nn.spec import LossName

DeviceName = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to fit. chunk: ticks back-propagated through; width: pieces side by side, over all the processes of a
    team; longest: ticks of a piece (0: as many as fill `width` pieces evenly); burn_in: ticks that only warm a
    piece's state up; patience: epochs without a better validation loss before the end; budget_s: wall time after
    which no epoch begins;
    average: how much of the running mean of the weights each step keeps, 0 for none; that mean is what is
    validated and returned (Polyak & Juditsky 1992);
    by_stream: divide each stream's errors by the size of its own changes, lest the lively drown the calm; calmest:
    but by no less than this part of an average stream's, lest one be asked to be right to a thousandth of itself;
    threads: of the CPU. Steps of small networks wait longer for a second one than it helps, most of all on a
    busy machine. device: auto is a GPU where there is one."""

    epochs: int = 100
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    clip: float = 1.0
    chunk: int = 64
    width: int = 32
    longest: int = 0
    burn_in: int = 64
    dropout: float = 0.0
    loss: LossName = "mse"
    patience: int = 12
    warm_up: int = 2
    average: float = 0.99
    seed: int = 1
    budget_s: float | None = None
    by_stream: bool = False
    calmest: float = 0.0
    threads: int = 1
    device: DeviceName = "auto"


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass: mean losses, the mean and largest norm of the gradients before clipping, and what it took."""

    number: int
    train_loss: float
    validation_loss: float
    gradient_norm: float
    largest_gradient_norm: float
    learning_rate: float
    seconds: float
