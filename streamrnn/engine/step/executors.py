"""Which executor steps batches on which device."""

from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from streamrnn.engine.rows.slab import Slab
from streamrnn.engine.rows.slots import Slots
from streamrnn.engine.rows.undo import Layer
from streamrnn.engine.step.blocks import Blocks
from streamrnn.engine.step.policies import Rules
from streamrnn.engine.step.score import Scorer
from streamrnn.engine.step.waves import Plan
from streamrnn.errors import EngineError
from streamrnn.nn.model import Model
from streamrnn.ticks import PredictionBatch, TickBatch

Kind = Literal["auto", "compiled", "blocks"]


class Executor(Protocol):
    """Steps a planned batch on the rows of a slab."""

    def run(
        self, ticks: TickBatch, plan: Plan, fresh: NDArray[np.bool_], layer: Layer | None, has_misses: bool
    ) -> PredictionBatch:
        """Step every tick in plan order, and note in its slot when the stream was last used and what is owed to it.

        fresh (n,) marks the ticks whose row is to be initialised first. layer: is told what undoing takes; None for
        a warm step. has_misses: whether each tick's errors are told.
        """


def pick_device(device: str) -> torch.device:
    """`auto` is CUDA where there is one; EngineError when `cuda` is asked for and absent."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise EngineError("engine.device is cuda, but torch finds no CUDA device")
    return torch.device(device)


def make_executor(
    kind: Kind, block: int, model: Model, slab: Slab, slots: Slots, scorer: Scorer, rules: Rules
) -> Executor:
    """`auto` is `compiled` on the CPU and `blocks` elsewhere; block is the rows of an execution of `blocks`."""
    if kind == "compiled" or (kind == "auto" and slab.fresh.floats.device.type == "cpu"):
        from streamrnn.engine.step.compiled import Compiled  # numba is loaded only where it is used

        return Compiled(model, slab, slots, scorer, rules)
    return Blocks(model, slab, slots, scorer, block, rules)
