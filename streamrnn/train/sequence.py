"""Many ticks through a stack with gradients, the fastest way there is: torch's fused GRU, LSTM and RNN on the
stack's own weights, and for the rest a loop with the input products taken out of it.

Same values as Stack.scan up to rounding. Shapes: T ticks, B rows, D input columns, H hidden.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamrnn.nn.cells import GRU, LSTM, Cell, Elman, MinGRU, Stack, State

FUSED: dict[type[Cell], type[nn.GRU] | type[nn.LSTM] | type[nn.RNN]] = {GRU: nn.GRU, LSTM: nn.LSTM, Elman: nn.RNN}


class Sequencer:
    """Runs a stack over sequences; `dropout` falls on what goes from layer to layer while training."""

    def __init__(self, stack: Stack, dropout: float = 0.0) -> None:
        self._cells = [cell for cell in stack.cells if isinstance(cell, Cell)]
        self._fused = [_fused(cell) for cell in self._cells]
        self._dropout = dropout

    def run(self, xs: Tensor, state: State, training: bool = True) -> tuple[Tensor, State]:
        """xs (T, B, D) and state to outputs (T, B, H) of the top layer and the state after T ticks."""
        moved: State = {}
        for n, (cell, fused) in enumerate(zip(self._cells, self._fused, strict=True)):
            if n:
                xs = F.dropout(xs, self._dropout, training)
            own = {name: state[f"cell.{n}.{name}"] for name in cell.state_names}
            xs, new = _run_fused(fused, xs, own) if fused is not None else _run_plain(cell, xs, own)
            moved |= {f"cell.{n}.{name}": rows for name, rows in new.items()}
        return xs, moved


def _fused(cell: Cell) -> nn.RNNBase | None:
    """torch's module of the cell's kind, holding the cell's own parameters."""
    kind = FUSED.get(type(cell))
    if kind is None:
        return None
    module = kind(cell.weight_ih.shape[1], cell.hidden, device="meta")
    for name, parameter in cell.named_parameters():
        setattr(module, f"{name}_l0", parameter)
    return module


def _run_fused(module: nn.RNNBase, xs: Tensor, state: State) -> tuple[Tensor, State]:
    if isinstance(module, nn.LSTM):
        output, (h, c) = module(xs, (state["h"][None].contiguous(), state["c"][None].contiguous()))
        return output, {"h": h[0], "c": c[0]}
    output, h = module(xs, state["h"][None].contiguous())
    return output, {"h": h[0]}


def _run_plain(cell: Cell, xs: Tensor, state: State) -> tuple[Tensor, State]:
    """The cell's own steps; minGRU's gates do not depend on its state, so they are taken all at once."""
    if not isinstance(cell, MinGRU):
        return cell.scan(xs, state)
    z, candidate = F.linear(xs, cell.weight_ih, cell.bias_ih).chunk(2, dim=-1)
    z, h, outputs = torch.sigmoid(z), state["h"], []
    kept, new = 1 - z, z * candidate
    for t in range(len(xs)):
        h = torch.addcmul(new[t], kept[t], h)
        outputs.append(h)
    return torch.stack(outputs), {"h": h}
