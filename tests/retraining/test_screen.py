"""What is said of gradients, and only then."""

import io

import pytest
from rich.console import Console

from streamrnn.retraining.screen import Screen
from streamrnn.train.recipe import Epoch


def epoch(number: int, mean: float, largest: float) -> Epoch:
    return Epoch(number, 1.0, 1.0, mean, largest, 1e-3, 0.1)


@pytest.mark.parametrize(
    ("epochs", "said"),
    [
        ([epoch(1, 0.5, 50.0), epoch(2, 1e-3, 1e-3)], ""),
        (
            [epoch(1, 5.0, 300.0), epoch(2, 5.0, 2e4), epoch(3, 0.5, 0.6), epoch(4, 9.0, 201.0)],
            "gradients exploded in epochs 1-2, 4: norm up to 2e+04, clipped to 2\n",
        ),
        ([epoch(7, 1e-9, 1e-8)], "gradients vanished in epochs 7: mean norm below 1e-06\n"),
    ],
)
def test_exploding_and_vanishing_gradients_are_said_and_ordinary_ones_not(epochs: list[Epoch], said: str) -> None:
    out = io.StringIO()
    Screen(Console(file=out), False).gradients(epochs, 2.0)
    assert out.getvalue() == said
