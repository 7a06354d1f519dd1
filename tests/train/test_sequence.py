"""Sequences at full speed against the stack's own scan: values, gradients, and weights that move."""

from itertools import pairwise
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from streamrnn.nn.cells import Stack, make_stack
from streamrnn.nn.spec import CellKind
from streamrnn.train.sequence import Sequencer

KINDS: tuple[CellKind, ...] = get_args(CellKind)
T, B, D, H = 30, 5, 3, 8


def make(kind: CellKind, layers: int) -> Stack:
    torch.manual_seed(3)
    stack = make_stack(kind, D, H, layers)
    for parameter in stack.parameters():
        nn.init.normal_(parameter, std=0.4)
    return stack


def inputs(stack: Stack) -> tuple[Tensor, dict[str, Tensor]]:
    torch.manual_seed(4)
    state = {name: torch.randn(B, H, requires_grad=True) for name in stack.state_names}
    return torch.randn(T, B, D, requires_grad=True), state


def check_equal(ours: tuple[Tensor, dict[str, Tensor]], theirs: tuple[Tensor, dict[str, Tensor]]) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_end_are_those_of_a_scan_from_the_same_state(kind: CellKind, layers: int) -> None:
    stack = make(kind, layers)
    xs, state = inputs(stack)
    for ticks in (T, 1):
        said, end = Sequencer(stack).run(xs[:ticks], state)
        assert set(end) == set(stack.state_names)
        check_equal((said, end), stack.scan(xs[:ticks], state))


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_in_parts_is_the_whole(kind: CellKind) -> None:
    stack = make(kind, 2)
    xs, start = inputs(stack)
    outputs, state = [], start
    for a, b in pairwise([0, 11, 12, T]):
        output, state = Sequencer(stack).run(xs[a:b], state)
        outputs.append(output)
    check_equal((torch.cat(outputs), state), Sequencer(stack).run(xs, start))


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_through_a_scan(kind: CellKind, layers: int) -> None:
    """Of every weight, every input and every row of the state, from the outputs and the end."""
    stack = make(kind, layers)
    xs, state = inputs(stack)
    weights = torch.randn(T, B, H)
    leaves = [*stack.parameters(), xs, *state.values()]

    def gradients(output: Tensor, end: dict[str, Tensor]) -> tuple[Tensor, ...]:
        loss = (weights * output).mean() + sum(rows.square().mean() for rows in end.values())
        return torch.autograd.grad(loss, leaves)

    ours, theirs = gradients(*Sequencer(stack).run(xs, state)), gradients(*stack.scan(xs, state))
    for ours_of_leaf, of_leaf in zip(ours, theirs, strict=True):
        assert of_leaf.abs().max() > 0
        torch.testing.assert_close(ours_of_leaf, of_leaf, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_falls_between_layers_and_nowhere_else(kind: CellKind) -> None:
    """Not on the inputs (the first layer ends as without it) nor on the outputs (they are the top layer's h)."""
    stack = make(kind, 3)
    xs, state = inputs(stack)
    _, end = stack.scan(xs, state)
    output, dropped = Sequencer(stack, 0.5).run(xs, state)
    for name in stack.state_names:
        is_first = name.startswith("cell.0.")
        assert torch.allclose(dropped[name], end[name], atol=1e-6) == is_first, name
    torch.testing.assert_close(output[-1], dropped["cell.2.h"], atol=0, rtol=0)
    check_equal(Sequencer(make(kind, 1), 0.9).run(xs, state), make(kind, 1).scan(xs, state))


@pytest.mark.parametrize("kind", KINDS)
def test_there_is_no_dropout_but_in_training(kind: CellKind) -> None:
    stack = make(kind, 3)
    xs, state = inputs(stack)
    check_equal(Sequencer(stack, 0.5).run(xs, state, training=False), stack.scan(xs, state))


def test_what_is_dropped_is_made_up_for_by_the_rest() -> None:
    """Means over many rows stay: the second layer of minGRU is linear in its inputs where its gate is open."""
    stack = make_stack("mingru", 1, 1, 2)
    for cell, slope in zip(stack.cells, (0.0, 1.0), strict=True):
        weights = dict(cell.named_parameters())
        nn.init.zeros_(weights["weight_ih"])
        with torch.no_grad():
            weights["weight_ih"][1] = slope
            weights["bias_ih"].copy_(torch.tensor([40.0, 1 - slope]))
    torch.manual_seed(1)
    state = {name: torch.zeros(20_000, 1) for name in stack.state_names}
    output, _ = Sequencer(stack, 0.25).run(torch.zeros(1, 20_000, 1), state)
    assert sorted(set(output.flatten().tolist())) == pytest.approx([0, 4 / 3])
    assert output.mean().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_that_an_optimiser_moves_or_that_are_loaded_are_seen(kind: CellKind) -> None:
    stack = make(kind, 2)
    sequencer, (xs, state) = Sequencer(stack), inputs(stack)
    optimizer = torch.optim.AdamW(stack.parameters(), lr=0.1)
    before, _ = sequencer.run(xs, state)
    torch.autograd.backward(before.square().sum())
    optimizer.step()
    moved, end = sequencer.run(xs, state)
    assert not torch.allclose(moved, before, atol=1e-3)
    check_equal((moved, end), stack.scan(xs, state))
    stack.load_state_dict(make(kind, 2).state_dict())
    check_equal(sequencer.run(xs, state), (before, stack.scan(xs, state)[1]))
