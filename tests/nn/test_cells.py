"""Cells against their equations in plain numpy, torch's own modules, and themselves in other company."""

import math
from collections.abc import Callable
from typing import TypeVar, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from streamrnn.nn.cells import LSTM, Cell, Stack, linear, load_torch, make_cell, make_stack
from streamrnn.nn.spec import CellKind

Module = TypeVar("Module", bound=nn.Module)
KINDS: tuple[CellKind, ...] = get_args(CellKind)
Vector = NDArray[np.float64]
Weights = dict[str, Vector]


def with_random_weights(module: Module, seed: int = 3, std: float = 0.5) -> Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=std, generator=generator)
    return module


def random_state(cell: Cell | Stack, batch: int, hidden: int, seed: int = 5) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(batch, hidden, generator=generator) for name in cell.state_names}


def sigmoid(a: Vector) -> Vector:
    return 1 / (1 + np.exp(-a))


def gates(w: Weights, x: Vector, h: Vector, count: int) -> list[tuple[Vector, Vector]]:
    """Per gate: what the input gives and what the state gives."""
    inputs = np.split(w["weight_ih"] @ x + w["bias_ih"], count)
    if "weight_hh" not in w:
        return [(a, np.zeros_like(a)) for a in inputs]
    return list(zip(inputs, np.split(w["weight_hh"] @ h + w["bias_hh"], count), strict=True))


def elman(w: Weights, x: Vector, h: Vector, c: Vector) -> tuple[Vector, Vector]:
    [(a, u)] = gates(w, x, h, 1)
    return np.tanh(a + u), c


def gated(w: Weights, x: Vector, h: Vector, c: Vector) -> tuple[Vector, Vector]:
    g, i, f, candidate = (a + u for a, u in gates(w, x, h, 4))
    c = sigmoid(g) * c + sigmoid(i) * np.tanh(candidate)
    return sigmoid(f) * h + c, c


def gru(w: Weights, x: Vector, h: Vector, c: Vector) -> tuple[Vector, Vector]:
    (ra, ru), (za, zu), (na, nu) = gates(w, x, h, 3)
    n, z = np.tanh(na + sigmoid(ra + ru) * nu), sigmoid(za + zu)
    return (1 - z) * n + z * h, c


def lstm(w: Weights, x: Vector, h: Vector, c: Vector) -> tuple[Vector, Vector]:
    i, f, g, o = (a + u for a, u in gates(w, x, h, 4))
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def mingru(w: Weights, x: Vector, h: Vector, c: Vector) -> tuple[Vector, Vector]:
    (z, _), (candidate, _) = gates(w, x, h, 2)
    return (1 - sigmoid(z)) * h + sigmoid(z) * candidate, c


EQUATIONS: dict[CellKind, Callable[[Weights, Vector, Vector, Vector], tuple[Vector, Vector]]] = {
    "elman": elman,
    "gated": gated,
    "gru": gru,
    "lstm": lstm,
    "mingru": mingru,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_the_cells_equations_row_by_row_in_float64(kind: CellKind) -> None:
    cell = with_random_weights(make_cell(kind, 5, 6))
    weights = {name: p.detach().double().numpy() for name, p in cell.named_parameters()}
    x, state = torch.randn(4, 5), random_state(cell, 4, 6)
    output, new = cell.step(x, state)
    for row in range(4):
        h, c = state["h"][row].double().numpy(), state.get("c", torch.zeros(4, 6))[row].double().numpy()
        h, c = EQUATIONS[kind](weights, x[row].double().numpy(), h, c)
        np.testing.assert_allclose(output[row].detach().numpy(), h, atol=1e-6)
        np.testing.assert_allclose(new["h"][row].detach().numpy(), h, atol=1e-6)
        if "c" in new:
            np.testing.assert_allclose(new["c"][row].detach().numpy(), c, atol=1e-6)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(("kind", "theirs"), [("gru", nn.GRU), ("lstm", nn.LSTM), ("elman", nn.RNN)])
def test_a_stack_with_torchs_weights_says_what_torch_says(kind: CellKind, theirs: type, layers: int) -> None:
    torch.manual_seed(1)
    source = theirs(7, 24, num_layers=layers)
    stack = make_stack(kind, 7, 24, layers)
    load_torch(stack, source)
    xs, state = torch.randn(50, 9, 7), random_state(stack, 9, 24)
    h = torch.stack([state[f"cell.{n}.h"] for n in range(layers)])
    with torch.inference_mode():
        ours, end = stack.scan(xs, state)
        if kind == "lstm":
            c = torch.stack([state[f"cell.{n}.c"] for n in range(layers)])
            said, (h, c) = source(xs, (h, c))
            torch.testing.assert_close(end[f"cell.{layers - 1}.c"], c[-1], atol=1e-6, rtol=0)
        else:
            said, h = source(xs, h)
    torch.testing.assert_close(ours, said, atol=1e-6, rtol=0)
    torch.testing.assert_close(end[f"cell.{layers - 1}.h"], h[-1], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("kind", "source", "why"),
    [
        ("gated", nn.LSTM(3, 4), "LSTM is not what Gated computes"),
        ("gru", nn.LSTM(3, 4), "LSTM is not what GRU computes"),
        ("elman", nn.RNN(3, 4, nonlinearity="relu"), "RNN_RELU is not what Elman computes"),
        ("lstm", nn.LSTM(3, 4, proj_size=2), "without projection"),
        ("gru", nn.GRU(3, 4, bidirectional=True), "in one direction"),
        ("gru", nn.GRU(3, 4, bias=False), "with biases"),
        ("gru", nn.GRU(3, 4, num_layers=2), "1 layers here, 2 there"),
        ("gru", nn.GRU(5, 4), r"weight_ih_l0: \(12, 3\) here, \(12, 5\) there"),
    ],
)
def test_weights_that_would_compute_something_else_are_refused(kind: CellKind, source: nn.GRU, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        load_torch(make_stack(kind, 3, 4, 1), source)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_ticks_stepped_one_by_one_give_the_bits_of_one_scan(kind: CellKind, layers: int) -> None:
    stack = with_random_weights(make_stack(kind, 3, 8, layers))
    xs, state = torch.randn(20, 32, 3), random_state(stack, 32, 8)
    outputs, end = stack.scan(xs, state)
    for x, said in zip(xs, outputs, strict=True):
        output, state = stack.step(x, state)
        assert torch.equal(output, said)
    assert set(end) == set(state) == set(stack.state_names)
    assert all(torch.equal(end[name], state[name]) for name in end)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cells_own_scan_gives_the_bits_of_its_steps(kind: CellKind) -> None:
    cell = with_random_weights(make_cell(kind, 3, 8))
    xs, state = torch.randn(5, 4, 3), random_state(cell, 4, 8)
    outputs, end = cell.scan(xs, state)
    for x in xs:
        output, state = cell.step(x, state)
    assert torch.equal(outputs[-1], output)
    assert all(torch.equal(end[name], state[name]) for name in end)


@given(kind=st.sampled_from(KINDS), width=st.integers(1, 40), hidden=st.integers(1, 70), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_a_rows_bits_do_not_depend_on_its_place_or_neighbours(
    kind: CellKind, width: int, hidden: int, seed: int
) -> None:
    stack = with_random_weights(make_stack(kind, width, hidden, 2), seed)
    torch.manual_seed(seed)
    xs, state = torch.randn(3, 64, width), random_state(stack, 64, hidden, seed)
    order = torch.randperm(64)
    with torch.inference_mode():
        outputs, end = stack.scan(xs, state)
        moved, moved_end = stack.scan(xs[:, order], {name: rows[order] for name, rows in state.items()})
    assert torch.equal(moved, outputs[:, order])
    assert all(torch.equal(moved_end[name], end[name][order]) for name in end)


@given(width=st.integers(1, 150), outputs=st.integers(1, 40), seed=st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_linear_gives_equal_rows_equal_bits_at_any_width(width: int, outputs: int, seed: int) -> None:
    torch.manual_seed(seed)
    x, weight, bias = torch.randn(1, width).repeat(64, 1), torch.randn(outputs, width), torch.randn(outputs)
    said = linear(x, weight, bias)
    assert (said == said[0]).all()
    exact = x[0].double() @ weight.double().T + bias.double()
    torch.testing.assert_close(said[0].double(), exact, atol=2e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_state_may_be_strided_views_and_nothing_given_is_written_to(kind: CellKind) -> None:
    stack = with_random_weights(make_stack(kind, 3, 8, 2))
    plain, x = random_state(stack, 32, 8), torch.randn(32, 3)
    slab = torch.full((32, 8 * len(plain) + 5), math.nan)
    views = {name: slab[:, 8 * n : 8 * (n + 1)] for n, name in enumerate(plain)}
    for name, view in views.items():
        view.copy_(plain[name])
    before = (slab.clone(), x.clone())
    output, new = stack.step(x, views)
    torch.testing.assert_close((slab, x), before, atol=0, rtol=0, equal_nan=True)
    expected, expected_new = stack.step(x, plain)
    torch.testing.assert_close(output, expected, atol=1e-6, rtol=0)
    assert all(torch.allclose(new[name], expected_new[name], atol=1e-6, rtol=0) for name in new)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_weight_and_are_the_ones_finite_differences_give(kind: CellKind) -> None:
    cell = with_random_weights(make_cell(kind, 2, 3)).double()
    names = [name for name, _ in cell.named_parameters()]
    xs = torch.randn(4, 2, 2, dtype=torch.float64)
    state = {name: torch.randn(2, 3, dtype=torch.float64) for name in cell.state_names}

    def scanned(*weights: Tensor) -> Tensor:
        parameters = {f"cell.{name}": weight for name, weight in zip(names, weights, strict=True)}
        end: dict[str, Tensor] = torch.func.functional_call(Scanner(cell), parameters, (xs, state))
        return torch.cat(list(end.values()))

    assert torch.autograd.gradcheck(scanned, [p.detach().clone().requires_grad_() for p in cell.parameters()])


class Scanner(nn.Module):
    """A cell as a function of its weights, for functional_call."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, xs: Tensor, state: dict[str, Tensor]) -> dict[str, Tensor]:
        return self.cell.scan(xs, state)[1]


def test_the_gated_cells_h_is_unbounded_and_the_lstms_is_not() -> None:
    """With every gate open and the candidate at 1, c grows by 1 a tick and h by c."""
    reached = {}
    for kind in ("gated", "lstm"):
        cell = make_cell(kind, 1, 1)
        for parameter in cell.parameters():
            nn.init.zeros_(parameter)
        nn.init.constant_(cell.bias_ih, 40.0)
        _, end = cell.scan(torch.zeros(10, 1, 1), {"h": torch.zeros(1, 1), "c": torch.zeros(1, 1)})
        reached[kind] = end["h"].item()
    assert reached["gated"] == pytest.approx(55.0)
    assert 0 < reached["lstm"] <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_weights_start_orthogonal_and_biases_at_zero_but_the_lstms_forget_gate(kind: CellKind) -> None:
    cell = make_cell(kind, 3, 8)
    forget = torch.zeros(cell.gates * 8)
    if isinstance(cell, LSTM):
        forget[8:16] = 1
    assert torch.equal(cell.bias_ih.detach(), forget)
    for gate in cell.weight_hh.chunk(cell.gates) if cell.is_recurrent else ():
        torch.testing.assert_close(gate @ gate.T, torch.eye(8), atol=1e-5, rtol=0)
    assert ("weight_hh" in dict(cell.named_parameters())) == (kind != "mingru")


def test_resetting_a_used_cell_forgets_its_biases_too() -> None:
    cell = with_random_weights(make_cell("lstm", 2, 4))
    cell.reset_parameters()
    assert cell.bias_hh.abs().sum() == 0
    assert cell.bias_ih.sum() == 4
