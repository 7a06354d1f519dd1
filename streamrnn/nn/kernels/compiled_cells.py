"""The cells of nn/cells.py on a tile of rows, compiled; each row's bits depend on that row alone.

Products are chains of multiply-adds (matmul.py); all else is element by element, rounded once an operation.
Shapes: m rows, H hidden, P = H rounded up to 16, G gates, D input columns. A gate's columns begin at a
multiple of P; columns H .. P - 1 hold what zero weights give and are never read back.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from streamrnn.nn.cells import Cell, Stack
from streamrnn.nn.kernels.matmul import add_product, fma, pack, padded, set_product
from streamrnn.nn.spec import CellKind
from streamrnn.process.compiling import called, spliced

KINDS: dict[CellKind, int] = {"elman": 0, "gated": 1, "gru": 2, "lstm": 3, "mingru": 4}
_ELMAN, _GATED, _GRU, _LSTM = (KINDS[kind] for kind in ("elman", "gated", "gru", "lstm"))
_ONE, _HALF = np.float32(1), np.float32(0.5)

# Minimax rational approximation of tanh on [-7.9, 7.9], where float32 reaches 1 (the form Eigen uses).
_EDGE = np.float32(7.90531110763549805)
_P1, _P3, _P5, _P7 = (
    np.float32(p) for p in (4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08)
)
_P9, _P11, _P13 = (np.float32(p) for p in (-8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16))
_Q0, _Q2, _Q4, _Q6 = (
    np.float32(q) for q in (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06)
)


class Packed(NamedTuple):
    """A stack's weights in one flat float32 array, and (L, 5) int64 of where each layer's parts begin.

    A row of `places`: D, input weights, input biases, recurrent weights, biases of the GRU's n gate.
    """

    kind: int
    hidden: int
    weights: NDArray[np.float32]
    places: NDArray[np.int64]


def pack_stack(stack: Stack, kind: CellKind) -> Packed:
    """The weights of a stack as the compiled step reads them."""
    parts: list[NDArray[np.float32]] = []
    places = []
    begin = 0
    cells = [cell for cell in stack.cells if isinstance(cell, Cell)]
    for cell in cells:
        row = [cell.weight_ih.shape[1]]
        for part in _layer_parts(cell, kind):
            row.append(begin)
            parts.append(part.ravel())
            begin += part.size
        places.append(row)
    return Packed(KINDS[kind], cells[0].hidden, np.concatenate(parts), np.array(places, dtype=np.int64))


def _layer_parts(cell: Cell, kind: CellKind) -> list[NDArray[np.float32]]:
    """Input weights, input biases, recurrent weights, n gate's recurrent bias; empty where there are none."""
    nothing = np.zeros(0, dtype=np.float32)
    w, b = _by_gate(cell.weight_ih, cell), _by_gate(cell.bias_ih, cell)[:, 0]
    if not cell.is_recurrent:
        return [pack(w), b, nothing, nothing]
    u, c = _by_gate(cell.weight_hh, cell), _by_gate(cell.bias_hh, cell)[:, 0]
    joint = 2 * padded(cell.hidden) if kind == "gru" else len(b)
    b[:joint] += c[:joint]
    return [pack(w), b, pack(u), c[joint:]]


def _by_gate(parameter: torch.Tensor, cell: Cell) -> NDArray[np.float32]:
    """(G H, D) or (G H,) to (G P, D or 1) with zero rows at the end of each gate."""
    given = parameter.detach().float().cpu().numpy().reshape(cell.gates, cell.hidden, -1)
    wide = np.zeros((cell.gates, padded(cell.hidden), given.shape[2]), dtype=np.float32)
    wide[:, : cell.hidden] = given
    return wide.reshape(-1, given.shape[2])


@spliced
def tanh(x: Any) -> Any:
    """tanh within 2.8e-7; NaN stays NaN (the comparisons are written so)."""
    x = _EDGE if x > _EDGE else x
    x = -_EDGE if x < -_EDGE else x
    s = x * x
    p = fma(s, fma(s, fma(s, fma(s, fma(s, fma(s, _P13, _P11), _P9), _P7), _P5), _P3), _P1)
    return x * p / fma(s, fma(s, fma(s, _Q6, _Q4), _Q2), _Q0)


@spliced
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)) within 1.6e-7."""
    return fma(_HALF, tanh(_HALF * x), _HALF)


@called
def _elman(a: Any, h: Any, wide: int) -> None:
    for j in range(wide):
        h[j] = tanh(a[j])


@called
def _gated(a: Any, h: Any, c: Any, wide: int) -> None:
    g, i, f, n = a[:wide], a[wide : 2 * wide], a[2 * wide : 3 * wide], a[3 * wide : 4 * wide]
    for j in range(wide):
        c[j] = fma(sigmoid(g[j]), c[j], sigmoid(i[j]) * tanh(n[j]))
    for j in range(wide):
        h[j] = fma(sigmoid(f[j]), h[j], c[j])


@called
def _gru(a: Any, u: Any, h: Any, wide: int) -> None:
    r, z, n = a[:wide], a[wide : 2 * wide], a[2 * wide : 3 * wide]
    for j in range(wide):
        u[j] = tanh(fma(sigmoid(r[j]), u[j], n[j]))
    for j in range(wide):
        h[j] = fma(sigmoid(z[j]), h[j] - u[j], u[j])


@called
def _lstm(a: Any, h: Any, c: Any, wide: int) -> None:
    i, f, g, o = a[:wide], a[wide : 2 * wide], a[2 * wide : 3 * wide], a[3 * wide : 4 * wide]
    for j in range(wide):
        c[j] = fma(sigmoid(f[j]), c[j], sigmoid(i[j]) * tanh(g[j]))
    for j in range(wide):
        h[j] = sigmoid(o[j]) * tanh(c[j])


@called
def _mingru(a: Any, h: Any, wide: int) -> None:
    z, n = a[:wide], a[wide : 2 * wide]
    for j in range(wide):
        h[j] = fma(sigmoid(z[j]), n[j] - h[j], h[j])


@called
def step_layer(
    kind: int, hidden: int, place: Any, weights: Any, x: Any, h: Any, c: Any, a: Any, u: Any, rows: int
) -> None:
    """Move h and c (m, P) of one layer by x (m, >= D), in place; a (m, 4 P) and u (m, P) are scratch."""
    wide, width = h.shape[1], place[0]
    gates = 4 if kind in (_GATED, _LSTM) else 3 if kind == _GRU else 1 if kind == _ELMAN else 2
    set_product(x, rows, width, weights[place[1] :], weights[place[2] :], a, 0, gates * wide)
    if kind == _GRU:
        add_product(h, rows, hidden, weights[place[3] :], a, 0, 2 * wide)
        set_product(h, rows, hidden, weights[place[3] + 2 * wide * hidden :], weights[place[4] :], u, 0, wide)
    elif kind in (_ELMAN, _GATED, _LSTM):
        add_product(h, rows, hidden, weights[place[3] :], a, 0, gates * wide)
    for r in range(rows):
        if kind == _ELMAN:
            _elman(a[r], h[r], wide)
        elif kind == _GATED:
            _gated(a[r], h[r], c[r], wide)
        elif kind == _GRU:
            _gru(a[r], u[r], h[r], wide)
        elif kind == _LSTM:
            _lstm(a[r], h[r], c[r], wide)
        else:
            _mingru(a[r], h[r], wide)
