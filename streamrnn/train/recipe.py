"""How to fit, and what each epoch of a fit said: plain values. Knows no tensors."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from streamrnn.nn.spec import LossName

DeviceName = Literal["auto", "cpu", "cuda"]
Whole = Annotated[int, Meta(ge=1)]
Positive = Annotated[float, Meta(gt=0)]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to fit; a field with a description is an option of `streamrnn retrain`.

    width: over all the processes of a team. longest: ticks of a piece; 0: as many as fill `width` pieces evenly.
    warm_up: epochs over which the learning rate rises. average: that mean is what is validated and returned (Polyak
    & Juditsky 1992); 0 for none. by_stream: lest the lively drown the calm. calmest: a stream's errors are divided
    by no less than this part of an average stream's, lest one be asked to be right to a thousandth of itself.
    threads: steps of small networks wait longer for a second one than it helps, most of all on a busy machine.
    device: auto is a GPU where there is one.
    """

    epochs: Annotated[Whole, Meta(description="passes over the training part at most")] = 100
    learning_rate: Annotated[Positive, Meta(description="of AdamW at its highest")] = 3e-3
    weight_decay: Annotated[float, Meta(ge=0, description="of AdamW, on matrices")] = 1e-4
    clip: Annotated[Positive, Meta(description="largest norm of the gradients")] = 1.0
    chunk: Annotated[Whole, Meta(description="ticks that are back-propagated through")] = 64
    width: Annotated[Whole, Meta(description="pieces of streams side by side")] = 32
    longest: int = 0
    burn_in: Annotated[Whole, Meta(description="ticks that only warm a piece's state up")] = 64
    dropout: Annotated[float, Meta(ge=0, lt=1, description="on what each layer gives")] = 0.0
    loss: Annotated[LossName, Meta(description="what the fit makes small")] = "mse"
    patience: Annotated[Whole, Meta(description="epochs without a better validation loss before the end")] = 12
    warm_up: int = 2
    average: Annotated[
        float, Meta(ge=0, lt=1, description="how much of the mean of the weights each step keeps")
    ] = 0.99
    seed: Annotated[Whole, Meta(description="of everything random")] = 1
    budget_s: Annotated[Positive | None, Meta(description="wall time after which no epoch begins")] = None
    by_stream: Annotated[bool, Meta(description="divide each stream's errors by its own liveliness")] = False
    calmest: float = 0.0
    threads: Annotated[Whole, Meta(description="of the CPU")] = 1
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
