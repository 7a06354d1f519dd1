"""Recurrent cells and stacks of them: `step` moves B rows one tick, `scan` T ticks, with the same bits.

Parameters have torch's layout (weight_ih, weight_hh, bias_ih, bias_hh), so GRU and LSTM take torch's own.
Shapes: B rows, D input columns, H hidden, T ticks. Knows neither streams nor transforms.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamrnn.nn.spec import CellKind

State = dict[str, Tensor]


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x (B, K), weight (N, K), bias (N,) to (B, N), each row the same bits wherever it stands in the block.

    MKL's narrow kernels (N < 12, also as one thread's share) sum the last K mod 4 columns in an order that
    depends on the row's place; zero columns up to a multiple of 4 leave nothing over.
    """
    short = -x.shape[1] % 4
    if short and x.shape[1] > 4:
        x, weight = F.pad(x, (0, short)), F.pad(weight, (0, short))
    return F.linear(x, weight, bias)


class Cell(nn.Module):
    """One recurrent layer; state tensors are (B, H) float32 by name and may be strided views."""

    state_names: ClassVar[tuple[str, ...]] = ("h",)
    gates: ClassVar[int]
    is_recurrent: ClassVar[bool] = True

    def __init__(self, input_width: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.weight_ih = nn.Parameter(torch.empty(self.gates * hidden, input_width))
        self.bias_ih = nn.Parameter(torch.empty(self.gates * hidden))
        if self.is_recurrent:
            self.weight_hh = nn.Parameter(torch.empty(self.gates * hidden, hidden))
            self.bias_hh = nn.Parameter(torch.empty(self.gates * hidden))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Xavier input weights, orthogonal recurrent weights gate by gate (Saxe et al. 2014), zero biases."""
        for gate in self.weight_ih.chunk(self.gates):
            nn.init.xavier_uniform_(gate)
        nn.init.zeros_(self.bias_ih)
        if self.is_recurrent:
            nn.init.zeros_(self.bias_hh)
            for gate in self.weight_hh.chunk(self.gates):
                nn.init.orthogonal_(gate)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x (B, D) and state to output (B, H) and new state; inputs are not written to."""
        raise NotImplementedError

    def scan(self, xs: Tensor, state: State) -> tuple[Tensor, State]:
        """xs (T, B, D), T >= 1, to outputs (T, B, H) and the state after T steps."""
        outputs = []
        for x in xs:
            output, state = self.step(x, state)
            outputs.append(output)
        return torch.stack(outputs), state

    def _input(self, x: Tensor) -> Tensor:
        return linear(x, self.weight_ih, self.bias_ih)

    def _recurrent(self, h: Tensor) -> Tensor:
        return linear(h, self.weight_hh, self.bias_hh)


class Elman(Cell):
    """h' = tanh(W x + U h + b) (Elman 1990)."""

    gates = 1

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One tick of B rows."""
        h = torch.tanh(self._input(x) + self._recurrent(state["h"]))
        return h, {"h": h}


class Gated(Cell):
    """The gated cell of the source text; it is no LSTM.

    g, i, f = sigmoid(W_* x + U_* h + b_*); c' = g*c + i*tanh(W_c x + U_c h + b_c); h' = f*h + c'.
    The state h accumulates c' under its own gate and is not squashed: |h| is unbounded, and with f near 1
    it grows with the number of ticks. Rows of the weights are in the order g, i, f, c.
    """

    state_names = ("h", "c")
    gates = 4

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One tick of B rows."""
        a = self._input(x) + self._recurrent(state["h"])
        g, i, f = torch.sigmoid(a[:, : 3 * self.hidden]).chunk(3, dim=1)
        c = g * state["c"] + i * torch.tanh(a[:, 3 * self.hidden :])
        h = f * state["h"] + c
        return h, {"h": h, "c": c}


class GRU(Cell):
    """Gated recurrent unit (Cho et al. 2014) in torch's form: r, z, n; h' = n + z * (h - n)."""

    gates = 3

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One tick of B rows."""
        h, wide = state["h"], 2 * self.hidden
        a, u = self._input(x), self._recurrent(h)
        r, z = torch.sigmoid(a[:, :wide] + u[:, :wide]).chunk(2, dim=1)
        n = torch.tanh(torch.addcmul(a[:, wide:], r, u[:, wide:]))
        h = torch.addcmul(n, z, h - n)
        return h, {"h": h}


class LSTM(Cell):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate Gers et al. 2000): i, f, g, o."""

    state_names = ("h", "c")
    gates = 4

    def reset_parameters(self) -> None:
        """As every cell, and the forget gate's bias at 1 (Jozefowicz et al. 2015)."""
        super().reset_parameters()
        nn.init.ones_(self.bias_ih[self.hidden : 2 * self.hidden])

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One tick of B rows."""
        a = self._input(x) + self._recurrent(state["h"])
        i, f, g, o = a.chunk(4, dim=1)
        c = torch.sigmoid(f) * state["c"] + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, {"h": h, "c": c}


class MinGRU(Cell):
    """z = sigmoid(W_z x + b_z); h' = (1 - z) * h + z * (W_h x + b_h) (Feng et al. 2024)."""

    gates = 2
    is_recurrent = False

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One tick of B rows."""
        z, candidate = self._input(x).chunk(2, dim=1)
        h = torch.lerp(state["h"], candidate, torch.sigmoid(z))
        return h, {"h": h}


CELLS: dict[CellKind, type[Cell]] = {
    "elman": Elman,
    "gated": Gated,
    "gru": GRU,
    "lstm": LSTM,
    "mingru": MinGRU,
}


def make_cell(kind: CellKind, input_width: int, hidden: int) -> Cell:
    """A new layer of the kind."""
    return CELLS[kind](input_width, hidden)


class Stack(nn.Module):
    """L layers, each fed by the one below; state by `cell.<layer>.<name>`."""

    def __init__(self, cells: list[Cell]) -> None:
        super().__init__()
        self.cells = nn.ModuleList(cells)
        self.state_names = tuple(f"cell.{n}.{name}" for n, cell in enumerate(cells) for name in cell.state_names)

    def _layers(self) -> list[Cell]:
        return [cell for cell in self.cells if isinstance(cell, Cell)]

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x (B, D) through every layer; the top layer's output (B, H) and all new states."""
        moved: State = {}
        for n, cell in enumerate(self._layers()):
            x, new = cell.step(x, {name: state[f"cell.{n}.{name}"] for name in cell.state_names})
            moved |= {f"cell.{n}.{name}": rows for name, rows in new.items()}
        return x, moved

    def scan(self, xs: Tensor, state: State) -> tuple[Tensor, State]:
        """xs (T, B, D), T >= 1, tick by tick: the same bits as T steps."""
        outputs = []
        for x in xs:
            output, state = self.step(x, state)
            outputs.append(output)
        return torch.stack(outputs), state


def make_stack(kind: CellKind, input_width: int, hidden: int, layers: int) -> Stack:
    """`layers` cells of one kind."""
    return Stack([make_cell(kind, hidden if n else input_width, hidden) for n in range(layers)])


TWINS: dict[str, type[Cell]] = {"GRU": GRU, "LSTM": LSTM, "RNN_TANH": Elman}
"""The cell that computes what a torch module of this mode computes."""


def load_torch(stack: Stack, source: nn.GRU | nn.LSTM | nn.RNN) -> None:
    """Copy the weights of a torch module of the same kind and shape; ValueError where they differ."""
    twin = TWINS.get(source.mode)
    if twin is None or not all(type(cell) is twin for cell in stack.cells):
        raise ValueError(f"torch's {source.mode} is not what {type(stack.cells[0]).__name__} computes")
    if source.bidirectional or source.proj_size or not source.bias:
        raise ValueError("only torch modules with biases, without projection, in one direction")
    if len(stack.cells) != source.num_layers:
        raise ValueError(f"{len(stack.cells)} layers here, {source.num_layers} there")
    pairs = [(f"{name}_l{n}", own) for n, cell in enumerate(stack.cells) for name, own in cell.named_parameters()]
    theirs = dict(source.named_parameters())
    for name, own in pairs:
        if own.shape != theirs[name].shape:
            raise ValueError(f"{name}: {tuple(own.shape)} here, {tuple(theirs[name].shape)} there")
    with torch.no_grad():
        for name, own in pairs:
            own.copy_(theirs[name])
