"""What every peer has in common: its task, the model in plain torch, a tick in, a prediction out.

Knows no framework, and nothing of streamrnn: a peer may run under an interpreter that has neither.
"""

import sys
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

HIDDEN = 64
FEATURES = ("temp", "load")


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """Where the ticks are, where the predictions go, the weights (.npz), and a folder for the peer's own state."""

    bootstrap: str
    topic: str
    output: str
    partitions: int
    weights: str
    folder: str


class Tick(msgspec.Struct, frozen=True):
    """The value of a tick."""

    time: int
    temp: float
    load: float


decode = msgspec.json.Decoder(Tick).decode
encode = msgspec.json.Encoder().encode


def task() -> Task:
    """The task that this process was started with."""
    torch.set_num_threads(1)
    return msgspec.json.decode(sys.argv[1], type=Task)


def said(stream: str, time_ms: int, temp: float) -> bytes:
    """The value of a prediction."""
    return encode({"stream": stream, "time": time_ms, "prediction": {"temp": [temp]}})


class Net:
    """GRU-64 and a linear head over two standardised features: the next `temp` is the last and a change.

    The GRU is the same weights as a cell, for one tick of many streams, and as a layer, for many ticks of one.
    """

    def __init__(self, weights: str | Path) -> None:
        arrays = {name: torch.from_numpy(array) for name, array in np.load(weights).items()}
        self._mean, self._std = arrays["mean"], arrays["std"]
        self._change_mean, self._change_std = arrays["change_mean"], arrays["change_std"]
        self._cell, self._layer = nn.GRUCell(len(FEATURES), HIDDEN), nn.GRU(len(FEATURES), HIDDEN)
        self._head = nn.Linear(HIDDEN, 1)
        with torch.no_grad():
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(self._cell, name).copy_(arrays[name])
                getattr(self._layer, f"{name}_l0").copy_(arrays[name])
            self._head.weight.copy_(arrays["head_weight"])
            self._head.bias.copy_(arrays["head_bias"])

    def fresh(self, rows: int = 1) -> Tensor:
        """(rows, H) of streams that have had no tick."""
        return torch.zeros(rows, HIDDEN)

    @torch.inference_mode()
    def wave(self, values: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One tick of each of B streams: values (B, 2), h (B, H) to predictions (B,) and the states after."""
        h = self._cell((values - self._mean) / self._std, h)
        return self._decoded(values, h), h

    @torch.inference_mode()
    def run(self, values: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """T ticks of one stream: values (T, 2), h (1, H) to predictions (T,) and the state after."""
        outputs, h = self._layer((values - self._mean) / self._std, h)
        return self._decoded(values, outputs), h

    def double(self) -> "Net":
        """Itself in float64."""
        self._cell, self._head = self._cell.double(), self._head.double()
        return self

    def _decoded(self, values: Tensor, h: Tensor) -> Tensor:
        return values[:, 0] + self._head(h)[:, 0] * self._change_std + self._change_mean
