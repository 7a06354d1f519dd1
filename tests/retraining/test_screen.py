"""What is said of gradients, and only then; and how scores look in a pipe."""

import io

import msgspec
import pytest
from rich.console import Console

from streamrnn.retraining.screen import Screen
from streamrnn.train.recipe import Epoch
from tests.models.published import REPORT


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


@pytest.mark.parametrize("is_terminal", [False, True])
def test_scores_have_a_frame_on_a_terminal_alone(is_terminal: bool) -> None:
    """In a pipe its lines are read one by one, as by `GET /retrain`."""
    out, (model, other) = io.StringIO(), REPORT.scores
    scores = [model, msgspec.structs.replace(other, kind="persistence")]
    report = msgspec.structs.replace(REPORT, scores=scores)
    Screen(Console(file=out, force_terminal=is_terminal), False).scores(report)
    assert ("━" in out.getvalue()) == is_terminal
    assert out.getvalue().isascii() != is_terminal
    assert "persistence" in out.getvalue()
